//! Interrupts in: lines that are raised and lowered from any core.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::right::INJECT;
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::Error;
use arena::Handle;
use core::sync::atomic::{Ordering, fence};

/// Where the lowered lines begin in `Vcpu::changes`.
const LOWERED: u32 = 32;

impl<A: Arch> Visit<'_, A> {
    /// Raises and lowers lines of a vCPU.
    pub(crate) fn inject_call(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let target = self.resolve_at::<Vcpu<A>>(thread, INJECT)?;
        let (raise, lower) = (thread.frame.argument(1), thread.frame.argument(2));
        if !self.are_lines(raise, lower) {
            return Err(Error::BadArgument);
        }
        Ok(Outcome::value(self.inject(target.handle, raise, lower)))
    }

    /// Returns whether a vCPU has these lines, and none of them is to be both raised and lowered.
    #[inline(always)]
    pub(crate) fn are_lines(&self, raise: u64, lower: u64) -> bool {
        (raise | lower) & !self.arch.guest_lines() == 0 && raise & lower == 0
    }

    /// Raises and lowers lines of a vCPU; returns those that were not pending before.
    pub(crate) fn inject(&self, handle: Handle<Vcpu<A>>, raise: u64, lower: u64) -> u64 {
        let new = Self::change_lines(self.entry.get(handle), raise, lower);
        fence(Ordering::SeqCst);
        self.poke(handle);
        new
    }

    /// Notes which lines of a vCPU change; returns those that are raised and were not pending before.
    #[inline(never)]
    pub(crate) fn change_lines(vcpu: &Vcpu<A>, raise: u64, lower: u64) -> u64 {
        let kept = !(raise << LOWERED) & !lower;
        let change = |before| Some(before & kept | raise | lower << LOWERED);
        let changes = vcpu.changes.shared();
        let before = changes.fetch_update(Ordering::SeqCst, Ordering::Relaxed, change);
        let before = before.unwrap_or_default();
        // A line is pending if it was raised and not lowered since, seen by its core or not.
        let pending = (vcpu.lines.get() & !(before >> LOWERED)) | before;
        raise & !pending
    }

    /// Lets the core of a vCPU look at it: it is in its guest, or idle.
    pub(crate) fn poke(&self, handle: Handle<Vcpu<A>>) {
        let vcpu = self.entry.get(handle);
        let core = vcpu.execution().core_index();
        if core == self.entry.core() {
            if let Some(item) = ExecutionRef::from_address(handle.address()) {
                self.attend_vcpu(item);
            }
            return;
        }
        let execution = vcpu.execution();
        let is_idle = execution.state() == State::Idle;
        let in_guest = vcpu.in_guest.shared().load(Ordering::SeqCst) != 0;
        if (is_idle || in_guest) && execution.inbox_queued.shared().swap(1, Ordering::SeqCst) == 0 {
            self.post(core, handle.address(), &execution.inbox_next);
        }
    }

    /// Takes what injectors asked for into the lines of a vCPU of this core.
    pub(crate) fn take_changes(&self, vcpu: &Vcpu<A>) {
        let changes = vcpu.changes.shared();
        if changes.load(Ordering::SeqCst) != 0 {
            let changes = changes.swap(0, Ordering::SeqCst);
            let raised = changes & u64::from(u32::MAX);
            vcpu.lines
                .set((vcpu.lines.get() | raised) & !(changes >> LOWERED));
        }
        let timer = self.arch.guest_timer_line(&vcpu.guest);
        vcpu.lines.set(vcpu.lines.get() | timer);
    }

    /// Lets an idle vCPU of this core run if it has a reason to.
    pub(crate) fn attend_vcpu(&self, item: ExecutionRef) {
        let vcpu = self.vcpu(item);
        if vcpu.execution().state() != State::Idle {
            return;
        }
        self.take_changes(vcpu);
        let (loaded, lines) = (self.is_loaded(item), vcpu.lines.get());
        if self.arch.guest_wakes(&vcpu.guest, loaded, lines) {
            self.remove_deadline(item);
            self.make_ready(item);
        }
    }

    /// Lets a vCPU wait for an interrupt, unless there is one.
    pub(crate) fn idle_vcpu(&self, item: ExecutionRef, execution: &Execution) {
        let vcpu = self.vcpu(item);
        execution.set_state(State::Idle);
        fence(Ordering::SeqCst);
        self.attend_vcpu(item);
        if execution.state() != State::Idle {
            return;
        }
        let loaded = self.is_loaded(item);
        self.add_deadline(item, self.arch.guest_timer(&vcpu.guest, loaded));
    }
}
