//! vCPUs: the mechanism only. Every exit that the kernel does not own becomes a call on behalf of
//! the vCPU.

mod calls;
mod configure;
pub(crate) mod exit;
mod fence;
mod inject;

use crate::Visit;
use crate::arch::{Arch, GuestRegisters};
use crate::fast::SIGNALS;
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::object::space::GuestSpace;
use crate::object::vcpu::Vcpu;
use crate::visit::CURRENT;
use abi::ObjectKind;
use core::sync::atomic::{Ordering, fence};

impl<A: Arch> Visit<'_, A> {
    /// Returns the guest space that is bound to a vCPU.
    pub(crate) fn guest_space_of(&self, vcpu: &Vcpu<A>) -> Option<&GuestSpace> {
        let slot = vcpu.guest_space();
        (slot.own_tag().kind() == ObjectKind::GuestSpace as u8).then_some(())?;
        self.entry.again(slot.object.get(), CURRENT)
    }

    /// Returns whether a vCPU has a space with tables and a register page, so that it can run.
    pub(crate) fn has_guest_space(&self, item: ExecutionRef) -> bool {
        let vcpu = self.vcpu(item);
        let has_root = |GuestSpace { space: [it], .. }: &GuestSpace| it.root.get() != 0;
        self.guest_space_of(vcpu).is_some_and(has_root) && self.registers(vcpu).is_some()
    }

    /// Returns the general registers of a vCPU.
    pub fn registers(&self, vcpu: &Vcpu<A>) -> Option<GuestRegisters<'_>> {
        self.page_of(vcpu.register_page(), SIGNALS)
    }

    /// Returns whether the state of a vCPU is in this core.
    pub(crate) fn is_loaded(&self, item: ExecutionRef) -> bool {
        self.core.loaded_guest.get() == Some(item)
    }

    /// Takes the state of a vCPU out of this core.
    pub(crate) fn unload_guest(&self, item: ExecutionRef) {
        if self.is_loaded(item) {
            self.arch.guest_unload(&self.vcpu(item).guest);
            self.core.loaded_guest.set(None);
        }
    }

    /// Prepares the entry into the guest of a vCPU, the current one; returns the address of its
    /// registers.
    #[inline(always)]
    pub(crate) fn enter_guest(&self, item: ExecutionRef, vcpu: &Vcpu<A>) -> u64 {
        if !self.is_loaded(item) {
            self.load_guest(item, vcpu);
        }
        vcpu.in_guest.shared().store(1, Ordering::Relaxed);
        // Whoever raises a line after this fence sees that this core is in the guest and sends an
        // interrupt; whatever was raised before it is seen here.
        fence(Ordering::SeqCst);
        if vcpu.changes.get() | vcpu.flushes.get() != 0 {
            self.take_requests(vcpu);
        }
        let timer = self.arch.guest_timer_line(&vcpu.guest);
        let lines = vcpu.lines.get() | timer;
        vcpu.lines.set(lines);
        self.arch.guest_set_lines(&vcpu.guest, lines);
        vcpu.register_page().object.get()
    }

    /// Brings the state of a vCPU into this core, in place of another's.
    #[inline(never)]
    fn load_guest(&self, item: ExecutionRef, vcpu: &Vcpu<A>) {
        let core = self.core;
        if let Some(other) = core.loaded_guest.get() {
            self.arch.guest_unload(&self.vcpu(other).guest);
        }
        if let Some(space) = self.guest_space_of(vcpu) {
            let [space] = &space.space;
            let cores = space.cores.shared();
            cores.fetch_or(1 << self.entry.core(), Ordering::SeqCst);
            self.arch.guest_load(&vcpu.guest, space.root.get());
        }
        core.loaded_guest.set(Some(item));
    }

    /// Does what others asked of a vCPU that enters its guest: lines and flushes.
    #[inline(never)]
    fn take_requests(&self, vcpu: &Vcpu<A>) {
        self.take_changes(vcpu);
        let mut kinds = vcpu.flushes.shared().swap(0, Ordering::SeqCst);
        while kinds != 0 {
            self.arch
                .guest_flush(&vcpu.guest, u64::from(kinds.trailing_zeros()));
            kinds &= kinds - 1;
        }
    }

    /// Notes that the current vCPU, if there is one, is out of its guest: by an exit, or because
    /// of an interrupt of this core.
    pub(crate) fn leave_guest(&self, is_interrupt: bool) {
        let current = self.current_vcpu();
        let Some(vcpu) = current.filter(|vcpu| vcpu.in_guest.get() != 0) else {
            return;
        };
        if is_interrupt {
            let [interrupts, ..] = &vcpu.counts;
            interrupts.add(1);
        }
        self.leave_vcpu(vcpu);
    }

    /// Notes that a vCPU of this core is out of its guest: whoever sees that also sees what the guest
    /// did.
    #[inline(always)]
    pub(crate) fn leave_vcpu(&self, vcpu: &Vcpu<A>) {
        vcpu.in_guest.shared().store(0, Ordering::Release);
        let lines = vcpu.lines.get();
        vcpu.lines
            .set(self.arch.guest_remaining_lines(&vcpu.guest, lines));
    }

    /// Returns when the timer of a vCPU that runs next needs the kernel. One that is past is not
    /// waited for: its line is raised on the way into the guest.
    pub(crate) fn software_timer(&self, item: ExecutionRef, now: u64) -> u64 {
        let deadline = self.arch.guest_software_timer(&self.vcpu(item).guest);
        if deadline > now { deadline } else { u64::MAX }
    }

    /// Returns whether an execution is a vCPU whose registers are not in use.
    pub(crate) fn vcpu_is_still(execution: &Execution) -> bool {
        let state = execution.state();
        !matches!(state, State::Ready | State::Exhausted | State::Idle)
    }
}
