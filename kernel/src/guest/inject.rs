//! Interrupts in: lines that are raised and lowered from any core.

use crate::Kernel;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::table;
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::{Error, Rights};
use arena::{Entry, Handle};
use core::sync::atomic::{Ordering, fence};

/// Where the lowered lines begin in `Vcpu::changes`.
const LOWERED: u32 = 32;

impl<A: Arch> Kernel<A> {
    /// Raises and lowers lines of a vCPU.
    pub(crate) fn inject_call(
        &self,
        entry: &Entry<'_>,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let need = Rights::new().with_inject(true);
        let address = thread.frame.argument(0);
        let target = table::resolve_at::<A, Vcpu<A>>(entry, thread, address, need)?;
        let (raise, lower) = (thread.frame.argument(1), thread.frame.argument(2));
        if (raise | lower) & !self.arch.guest_lines() != 0 || raise & lower != 0 {
            return Err(Error::BadArgument);
        }
        Ok(Outcome::value(self.inject(
            entry,
            target.handle,
            raise,
            lower,
        )))
    }

    /// Raises and lowers lines of a vCPU; returns those that were not pending before.
    pub(crate) fn inject(
        &self,
        entry: &Entry<'_>,
        handle: Handle<Vcpu<A>>,
        raise: u64,
        lower: u64,
    ) -> u64 {
        let vcpu = entry.get(handle);
        let changes = vcpu.changes.shared();
        let mut before = changes.load(Ordering::Relaxed);
        loop {
            let kept = before & !(raise << LOWERED) & !lower;
            let after = kept | raise | lower << LOWERED;
            match changes.compare_exchange_weak(before, after, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(newer) => before = newer,
            }
        }
        // A line is pending if it was raised and not lowered since, seen by its core or not.
        let pending = (vcpu.lines.get() & !(before >> LOWERED)) | before;
        fence(Ordering::SeqCst);
        self.poke(entry, handle);
        raise & !pending
    }

    /// Lets the core of a vCPU look at it: it is in its guest, or idle.
    pub(crate) fn poke(&self, entry: &Entry<'_>, handle: Handle<Vcpu<A>>) {
        let vcpu = entry.get(handle);
        let core = vcpu.execution().core_index();
        if core == entry.core() {
            if let Some(item) = ExecutionRef::from_address(handle.address()) {
                self.attend_vcpu(entry, item);
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
        let timer = self.arch.guest_timer_line(&vcpu.guest, self.arch.now());
        vcpu.lines.set(vcpu.lines.get() | timer);
    }

    /// Lets an idle vCPU of this core run if it has a reason to.
    pub(crate) fn attend_vcpu(&self, entry: &Entry<'_>, item: ExecutionRef) {
        let vcpu = self.vcpu(entry, item);
        if vcpu.execution().state() != State::Idle {
            return;
        }
        self.take_changes(vcpu);
        if self
            .arch
            .guest_wakes(&vcpu.guest, self.is_loaded(entry, item), vcpu.lines.get())
        {
            self.remove_deadline(entry, item);
            self.make_ready(entry, item);
        }
    }

    /// Lets a vCPU wait for an interrupt, unless there is one.
    pub(crate) fn idle_vcpu(&self, entry: &Entry<'_>, item: ExecutionRef, execution: &Execution) {
        let vcpu = self.vcpu(entry, item);
        execution.set_state(State::Idle);
        fence(Ordering::SeqCst);
        self.take_changes(vcpu);
        let loaded = self.is_loaded(entry, item);
        if self.arch.guest_wakes(&vcpu.guest, loaded, vcpu.lines.get()) {
            return self.make_ready(entry, item);
        }
        let timer = self.arch.guest_timer(&vcpu.guest, loaded);
        self.add_deadline(entry, item, timer.map_or(u64::MAX, |timer| timer.deadline));
    }
}
