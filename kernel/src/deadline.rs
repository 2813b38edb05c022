//! Executions that wait for a time: one list per core, earliest first.

use crate::Kernel;
use crate::arch::Arch;
use crate::object::execution::{ExecutionRef, State, flag};
use abi::Error;
use arena::Entry;

impl<A: Arch> Kernel<A> {
    /// Wakes an execution of this core at `deadline`; `u64::MAX` is never.
    pub(crate) fn add_deadline(&self, entry: &Entry<'_>, item: ExecutionRef, deadline: u64) {
        self.remove_deadline(entry, item);
        if deadline == u64::MAX {
            return;
        }
        let core = self.core(entry);
        let execution = self.execution(entry, item);
        execution.deadline.set(deadline);
        execution.raise(flag::TIMED);
        let (mut before, mut after) = (None, core.deadlines.get());
        while let Some(candidate) = after {
            let other = self.execution(entry, candidate);
            if other.deadline.get() > deadline {
                break;
            }
            before = Some(candidate);
            after = other.deadline_next.get();
        }
        execution.deadline_previous.set(before);
        execution.deadline_next.set(after);
        match before {
            Some(before) => self.execution(entry, before).deadline_next.set(Some(item)),
            None => core.deadlines.set(Some(item)),
        }
        if let Some(after) = after {
            self.execution(entry, after)
                .deadline_previous
                .set(Some(item));
        }
    }

    /// Forgets the deadline of an execution of this core, if it has one.
    pub(crate) fn remove_deadline(&self, entry: &Entry<'_>, item: ExecutionRef) {
        let execution = self.execution(entry, item);
        if !execution.has(flag::TIMED) {
            return;
        }
        execution.lower(flag::TIMED);
        let (before, after) = (
            execution.deadline_previous.take(),
            execution.deadline_next.take(),
        );
        match before {
            Some(before) => self.execution(entry, before).deadline_next.set(after),
            None => self.core(entry).deadlines.set(after),
        }
        if let Some(after) = after {
            self.execution(entry, after).deadline_previous.set(before);
        }
    }

    /// Wakes every execution of this core whose time has come.
    pub(crate) fn timer(&self, entry: &Entry<'_>) {
        let core = self.core(entry);
        // The machine's timer fires once: it has to be set again even for the same deadline.
        core.timer.set(0);
        let now = self.arch.now();
        while let Some(first) = core.deadlines.get() {
            if self.execution(entry, first).deadline.get() > now {
                break;
            }
            self.remove_deadline(entry, first);
            self.deadline_passed(entry, first);
        }
    }

    /// Does what the state of an execution means when its time has come.
    fn deadline_passed(&self, entry: &Entry<'_>, item: ExecutionRef) {
        match self.execution(entry, item).state() {
            State::Receiving | State::Waiting => {
                self.leave_queue(entry, item);
                self.finish_call(entry, item, Err(Error::TimedOut));
            }
            State::Exhausted | State::Idle => self.make_ready(entry, item),
            State::Stopped
            | State::Ready
            | State::Calling
            | State::AwaitingReply
            | State::AwaitingLock
            | State::Parked
            | State::Unrouted
            | State::Dead => {}
        }
    }
}
