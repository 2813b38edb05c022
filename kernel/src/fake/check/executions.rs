//! Invariants of threads and vCPUs.

use super::Survey;
use crate::fake::FakeArch;
use crate::object::budget::Budget;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::reply::Reply;
use crate::object::vcpu::Vcpu;
use abi::ObjectKind;
use arena::Handle;

impl Survey<'_, '_> {
    /// Checks every thread and vCPU on its own.
    pub(super) fn executions(&self) {
        for item in self.alive_executions() {
            let execution: &Execution = self.part(item.address());
            let context = (item, execution.state());
            assert_ne!(
                execution.state(),
                State::Dead,
                "the dead have no capability"
            );
            let parked = matches!(execution.state(), State::Parked | State::AwaitingLock);
            assert!(!parked, "nobody is parked at rest: {context:?}");
            assert!(
                !execution.has(flag::STOP_REQUESTED | flag::SHIPPED),
                "{context:?}"
            );
            let ready = execution.state() == State::Ready;
            let current = self.machine.kernel.cores[execution.core_index()]
                .current
                .get();
            let runs = current == Some(item);
            assert_eq!(ready, execution.has(flag::QUEUED) || runs, "{context:?}");
            assert!(!(execution.has(flag::QUEUED) && runs), "{context:?}");
            self.calls(item, execution);
            self.budgets(item, execution);
        }
    }

    /// Checks that caller and callee know each other.
    fn calls(&self, item: ExecutionRef, execution: &Execution) {
        if let Some(caller) = execution.caller.get() {
            let caller: &Execution = self.part(caller.address());
            assert_eq!(
                caller.state(),
                State::AwaitingReply,
                "a caller awaits its reply"
            );
            assert_eq!(caller.callee.get(), item.address(), "from its callee");
        }
        if execution.state() == State::AwaitingReply {
            let callee = execution.callee.get();
            let caller = match self.alive.get(&callee) {
                Some(ObjectKind::Reply) => self.get::<Reply>(callee).caller.get(),
                Some(_) => self.part::<Execution>(callee).caller.get(),
                None => panic!("a callee is alive"),
            };
            assert_eq!(caller, Some(item), "a callee knows its caller");
        }
        if execution.is_vcpu() {
            let vcpu: &Vcpu<FakeArch> = self.get(item.address());
            let waits = matches!(
                execution.state(),
                State::Calling | State::AwaitingReply | State::Unrouted
            );
            assert!(!waits || vcpu.exit_pending.get() == 1, "an exit is pending");
            assert_eq!(vcpu.in_guest.get() == 1, {
                let current = self.machine.kernel.cores[execution.core_index()]
                    .current
                    .get();
                current == Some(item)
            });
        }
    }

    /// Checks that budgets and those who run on them know each other.
    fn budgets(&self, item: ExecutionRef, execution: &Execution) {
        let own = execution.own_budget.get();
        if own != 0 {
            assert_eq!(
                self.alive.get(&own),
                Some(&ObjectKind::Budget),
                "a budget is alive"
            );
            let budget: &Budget = self.get(own);
            assert_eq!(budget.owner.get(), Some(item), "a budget knows its owner");
            assert_eq!(budget.core.get(), execution.core.get());
        }
        if let Some(budget) = execution.budget.get() {
            let kind = self.alive.get(&budget.address());
            assert_eq!(kind, Some(&ObjectKind::Budget), "a lent budget is alive");
            let budget: &Budget = self.get(budget.address());
            assert!(budget.owner.get().is_some(), "a budget in use has an owner");
            let lent =
                execution.own_budget.get() != execution.budget.get().map_or(0, Handle::address);
            assert!(
                !lent || execution.caller.get().is_some(),
                "who borrows has a caller"
            );
        }
    }
}
