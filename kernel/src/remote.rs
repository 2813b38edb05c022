//! What cores ask of each other: an inbox per core, and an interrupt to look at it.
//!
//! A call that needs another core's state is *shipped*: the caller is parked, travels to that
//! core's inbox, is served there from its own registers, and travels home.

use crate::Visit;
use crate::arch::Arch;
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::word::Word;
use core::sync::atomic::Ordering;

impl<A: Arch> Visit<'_, A> {
    /// Puts an object into the inbox of a core, and interrupts that core.
    pub(crate) fn post(&self, core: usize, address: u64, next: &Word) {
        let Some(state) = self.cores.get(core) else {
            return;
        };
        let first = state.inbox.first.shared();
        let mut head = first.load(Ordering::Relaxed);
        loop {
            next.set(head);
            match first.compare_exchange_weak(head, address, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break,
                Err(newer) => head = newer,
            }
        }
        self.arch.send_ipi(1 << core);
    }

    /// Sends a parked caller to another core.
    pub(crate) fn ship(&self, caller: ExecutionRef, core: usize) {
        let execution = self.execution(caller);
        // Its own core may be stopping or killing it at the same time: only that core writes these.
        if execution.core_index() == self.entry.core() {
            execution.set_state(State::Parked);
            execution.raise(flag::SHIPPED);
        }
        self.post(core, caller.address(), &execution.inbox_next);
    }

    /// Sends a parked caller to `core` unless that is this core; returns whether it was sent.
    pub(crate) fn is_shipped(&self, caller: ExecutionRef, core: &Word) -> bool {
        let home = usize::try_from(core.get()).unwrap_or(usize::MAX);
        if home != self.entry.core() {
            self.ship(caller, home);
        }
        home != self.entry.core()
    }

    /// Sends a caller that was shipped here back to its own core.
    pub(crate) fn send_home(&self, caller: ExecutionRef) {
        let execution = self.execution(caller);
        let home = execution.core_index();
        self.post(home, caller.address(), &execution.inbox_next);
    }

    /// Looks at everything that other cores asked this one to look at.
    pub(crate) fn drain_inbox(&self) {
        let inbox = &self.core.inbox;
        let released = inbox.lock_released.shared();
        if released.load(Ordering::Relaxed) != 0 && released.swap(0, Ordering::Acquire) != 0 {
            self.wake_lock_waiters();
        }
        if inbox.first.get() == 0 {
            return;
        }
        let mut item = inbox.first.shared().swap(0, Ordering::SeqCst);
        while item != 0 {
            item = self.attend(item);
        }
    }

    /// Looks at one object; returns the next one.
    fn attend(&self, address: u64) -> u64 {
        if let Some(notification) = self.entry.at::<Notification>(address) {
            let next = notification.inbox_next.get();
            let queued = notification.inbox_queued.shared();
            queued.store(0, Ordering::SeqCst);
            self.wake_waiter(notification);
            return next;
        }
        let Some(item) = ExecutionRef::from_address(address) else {
            return 0;
        };
        let execution = self.execution(item);
        let next = execution.inbox_next.get();
        if execution.is_vcpu() {
            execution.inbox_queued.shared().store(0, Ordering::SeqCst);
            self.attend_vcpu(item);
        } else {
            self.attend_thread(item);
        }
        next
    }

    /// Serves a thread that was shipped here, or lets one that came home go on.
    fn attend_thread(&self, item: ExecutionRef) {
        let execution = self.execution(item);
        if execution.state() == State::Dead {
            return;
        }
        if execution.fence_pending.get() != 0 {
            self.fence_step(item);
        } else if execution.core_index() == self.entry.core() {
            self.unpark(item);
        } else {
            self.remote_call(item);
        }
    }
}
