//! Executions that wait for a time: one list per core, earliest first.

use crate::Visit;
use crate::arch::Arch;
use crate::object::execution::{ExecutionRef, State, flag};
use abi::Error;

impl<A: Arch> Visit<'_, A> {
    /// Wakes an execution of this core at `deadline`; `u64::MAX` is never.
    pub(crate) fn add_deadline(&self, item: ExecutionRef, deadline: u64) {
        self.remove_deadline(item);
        if deadline == u64::MAX {
            return;
        }
        let core = self.core;
        let execution = self.execution(item);
        self.core.unsettled.set(1);
        execution.deadline.set(deadline);
        execution.raise(flag::TIMED);
        let (mut before, mut after) = (None, core.deadlines.get());
        while let Some(candidate) = after {
            let other = self.execution(candidate);
            if other.deadline.get() > deadline {
                break;
            }
            before = Some(candidate);
            after = other.deadline_next.get();
        }
        execution.deadline_previous.set(before);
        execution.deadline_next.set(after);
        match before {
            Some(before) => self.execution(before).deadline_next.set(Some(item)),
            None => core.deadlines.set(Some(item)),
        }
        if let Some(after) = after {
            self.execution(after).deadline_previous.set(Some(item));
        }
    }

    /// Forgets the deadline of an execution of this core, if it has one.
    pub(crate) fn remove_deadline(&self, item: ExecutionRef) {
        let execution = self.execution(item);
        if !execution.has(flag::TIMED) {
            return;
        }
        execution.lower(flag::TIMED);
        let before = execution.deadline_previous.take();
        let after = execution.deadline_next.take();
        match before {
            Some(before) => self.execution(before).deadline_next.set(after),
            None => self.core.deadlines.set(after),
        }
        if let Some(after) = after {
            self.execution(after).deadline_previous.set(before);
        }
    }

    /// Wakes every execution of this core whose time has come.
    pub(crate) fn timer(&self) {
        let core = self.core;
        // The machine's timer fires once: it has to be set again even for the same deadline.
        core.timer.set(0);
        let now = self.arch.now();
        while let Some(first) = core.deadlines.get() {
            if self.execution(first).deadline.get() > now {
                break;
            }
            self.remove_deadline(first);
            self.deadline_passed(first);
        }
    }

    /// Does what the state of an execution means when its time has come.
    fn deadline_passed(&self, item: ExecutionRef) {
        match self.execution(item).state() {
            State::Receiving | State::Waiting => {
                self.leave_queue(item);
                self.finish_call(item, Err(Error::TimedOut));
            }
            State::Exhausted | State::Idle => self.make_ready(item),
            _ => {}
        }
    }
}
