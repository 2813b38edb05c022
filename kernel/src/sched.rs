//! Who runs: fixed priorities with budgets, per core, without a tick.

use crate::Visit;
use crate::arch::Arch;
use crate::core_state::CoreState;
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use arena::Handle;

impl<A: Arch> Visit<'_, A> {
    /// Returns the index of an execution's priority in the ready queues.
    fn priority_of(execution: &Execution) -> usize {
        let priority = usize::try_from(execution.priority.get()).unwrap_or(0);
        priority.min(abi::PRIORITIES - 1)
    }

    /// Puts an execution of this core into the ready queue, unless it is there or current.
    pub(crate) fn make_ready(&self, item: ExecutionRef) {
        let execution = self.execution(item);
        let waited = execution.state();
        execution.set_state(State::Ready);
        let core = self.core;
        if execution.has(flag::QUEUED) || core.current.get() == Some(item) {
            return;
        }
        let goes_on = self.continues_turn(execution, waited);
        self.enqueue(item, goes_on);
    }

    /// Returns whether the current execution goes on without a decision: nothing happened since the
    /// last one that could change it.
    pub(crate) fn is_settled(&self) -> bool {
        let inbox = &self.core.inbox;
        let asked = inbox.first.get() | inbox.lock_released.get() | self.core.unsettled.get();
        let goes_on = |current| {
            let execution = self.execution(current);
            let charged = self.core.budget.address();
            execution.state() == State::Ready && execution.budget.address() == charged
        };
        asked == 0 && !self.round.keeps_lock() && self.core.current.get().is_some_and(goes_on)
    }

    /// Returns whether an execution goes on with its turn: it only waited for an answer, and part
    /// of the turn is left. Whoever waited for something else begins a new one, behind its equals.
    fn continues_turn(&self, execution: &Execution, waited: State) -> bool {
        let own = self.budget(self.own_budget(execution));
        let Some(budget) = own.filter(|budget| budget.takes_turns()) else {
            return false;
        };
        let was_call = matches!(waited, State::Calling | State::AwaitingReply);
        let continues = was_call && budget.left() > 0;
        if !continues {
            budget.begin_turn();
        }
        continues
    }

    /// Puts an execution into its ready queue.
    pub(crate) fn enqueue(&self, item: ExecutionRef, first: bool) {
        self.core.unsettled.set(1);
        let core = self.core;
        let execution = self.execution(item);
        let priority = Self::priority_of(execution);
        execution.raise(flag::QUEUED);
        core.ready_bits.set(core.ready_bits.get() | 1 << priority);
        let Some(queue) = core.ready.get(priority) else {
            return;
        };
        if first {
            self.push_first(queue, item);
        } else {
            self.push_last(queue, item);
        }
    }

    /// Takes an execution out of the ready queue, if it is there.
    pub(crate) fn dequeue(&self, item: ExecutionRef) {
        let execution = self.execution(item);
        if !execution.has(flag::QUEUED) {
            return;
        }
        let core = self.core;
        let priority = Self::priority_of(execution);
        execution.lower(flag::QUEUED);
        let Some(queue) = core.ready.get(priority) else {
            return;
        };
        self.remove(queue, item);
        if queue.is_empty() {
            core.ready_bits
                .set(core.ready_bits.get() & !(1 << priority));
        }
    }

    /// Changes the priority of an execution of this core.
    pub(crate) fn set_priority(&self, item: ExecutionRef, priority: u64) {
        let execution = self.execution(item);
        let queued = execution.has(flag::QUEUED);
        self.core.unsettled.set(1);
        self.dequeue(item);
        execution.priority.set(priority);
        if queued {
            self.enqueue(item, false);
        } else if execution.state() == State::Calling {
            let callers = &self.waits_at::<Endpoint>(execution).callers;
            self.remove(callers, item);
            self.push_by_priority(callers, item);
        }
    }

    /// Lets others of the current execution's priority run first.
    pub(crate) fn yield_current(&self) {
        let core = self.core;
        if let Some(current) = core.current.take() {
            self.enqueue(current, false);
        }
    }

    /// Decides who runs, charges time, and sets the timer.
    pub(crate) fn schedule(&self) {
        self.core.unsettled.set(0);
        let core = self.core;
        let now = self.arch.now();
        self.charge(core, now);
        let next = loop {
            match self.best(core) {
                Some(next) if !self.can_run(next) => self.stop(next),
                Some(next) if !self.has_time(next, now) => self.exhaust(core, next),
                next => break next,
            }
        };
        core.current.set(next);
        let budget = next.and_then(|next| self.execution(next).budget.get());
        core.budget.set(budget);
        self.load_current_space(core, next);
        self.set_timer(core, next, now);
    }

    /// Charges the time since the last charge.
    pub(crate) fn charge(&self, core: &CoreState, now: u64) {
        let since = core.since.replace(now);
        if let Some(budget) = self.budget(core.budget.get()) {
            budget.charge(now.saturating_sub(since));
            if budget.takes_turns() && budget.left() <= 0 {
                self.end_turn(core, budget);
            }
        }
    }

    /// Puts the current execution behind its equals, unless it only has the budget lent.
    fn end_turn(&self, core: &CoreState, budget: &Budget) {
        let Some(current) = core
            .current
            .get()
            .filter(|current| budget.owner.get() == Some(*current))
        else {
            return;
        };
        let execution = self.execution(current);
        if execution.state() == State::Ready {
            budget.begin_turn();
            if Self::has_equals(core, execution) {
                core.current.set(None);
                self.enqueue(current, false);
            }
        }
    }

    /// Returns whether somebody of the same priority is ready.
    fn has_equals(core: &CoreState, execution: &Execution) -> bool {
        core.ready_bits.get() >> Self::priority_of(execution) & 1 == 1
    }

    /// Returns the execution with the best claim to the core; it is in no queue then.
    fn best(&self, core: &CoreState) -> Option<ExecutionRef> {
        let current = core
            .current
            .get()
            .filter(|current| self.execution(*current).state() == State::Ready);
        let top = (core.ready_bits.get() != 0)
            .then(|| usize::try_from(core.ready_bits.get().ilog2()).unwrap_or(0));
        match (current, top) {
            (current, None) => current,
            (Some(current), Some(top)) if Self::priority_of(self.execution(current)) >= top => {
                Some(current)
            }
            (current, Some(top)) => {
                core.current.set(None);
                if let Some(current) = current {
                    self.enqueue(current, true);
                }
                let next = core.ready.get(top)?.first.get()?;
                self.dequeue(next);
                core.current.set(Some(next));
                Some(next)
            }
        }
    }

    /// Returns whether an execution still has what it needs to run.
    fn can_run(&self, item: ExecutionRef) -> bool {
        if self.execution(item).is_vcpu() {
            self.has_guest_space(item)
        } else {
            self.has_space(item)
        }
    }

    /// Returns whether the budget of `item` has time left, or its server grace.
    fn has_time(&self, item: ExecutionRef, now: u64) -> bool {
        let Some(budget) = self.budget(self.execution(item).budget.get()) else {
            return false;
        };
        if budget.is_unlimited() {
            return budget.amount.get() != 0;
        }
        budget.replenish(now);
        budget.left() > 0 || self.use_grace(item, budget)
    }

    /// Returns a budget that is still one.
    fn budget(&self, budget: Option<Handle<Budget>>) -> Option<&Budget> {
        self.entry.find(budget?)
    }

    /// Lets an execution whose budget is used up wait for the next period.
    fn exhaust(&self, core: &CoreState, item: ExecutionRef) {
        core.current.set(None);
        let execution = self.execution(item);
        if execution.state() != State::Ready {
            // The end of its grace was a fault, and the fault's handler has it now.
            return;
        }
        execution.set_state(State::Exhausted);
        let budget = self.budget(execution.budget.get());
        let wake = budget.map_or(u64::MAX, |budget| {
            if budget.amount.get() == 0 {
                u64::MAX
            } else {
                budget.next_period()
            }
        });
        self.add_deadline(item, wake);
    }

    /// Gives a server that runs on a client's budget a bounded time beyond it: as long again as
    /// the budget's amount, once a period. Behind that, the server's fault handler is told.
    fn use_grace(&self, item: ExecutionRef, budget: &Budget) -> bool {
        if budget.owner.get() == Some(item) || budget.amount.get() == 0 {
            return false;
        }
        let limit = budget.amount.get();
        if budget.grace.get() == 0 {
            budget.grace.set(limit);
            let left = budget.left().saturating_add_unsigned(limit);
            budget.remaining.set(left.cast_unsigned());
            if left > 0 {
                return true;
            }
        }
        self.timeout_fault(item);
        false
    }

    /// Sets the timer to whatever comes first: a deadline, the end of the budget, the end of the
    /// turn where somebody waits for it, or a guest's timer that has no hardware behind it.
    fn set_timer(&self, core: &CoreState, next: Option<ExecutionRef>, now: u64) {
        let first = core
            .deadlines
            .get()
            .map(|first| self.execution(first).deadline.get());
        let mut deadline = first.unwrap_or(u64::MAX);
        if let Some(next) = next {
            let execution = self.execution(next);
            if let Some(budget) = self.budget(execution.budget.get())
                && (!budget.is_unlimited()
                    || budget.takes_turns()
                        && budget.owner.get() == Some(next)
                        && Self::has_equals(core, execution))
            {
                deadline = deadline.min(now.saturating_add_signed(budget.left()));
            }
            if execution.is_vcpu() {
                deadline = deadline.min(self.software_timer(next, now));
            }
        }
        if core.timer.replace(deadline) != deadline {
            self.arch.set_timer(deadline);
        }
    }
}
