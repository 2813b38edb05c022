//! Invariants of the queues of endpoints, notifications and cores.

use super::Survey;
use crate::fake::FakeArch;
use crate::object::budget::Budget;
use crate::object::endpoint::{Endpoint, Queue};
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::object::notification::Notification;
use crate::object::reply::Reply;
use crate::object::thread::Thread;
use abi::ObjectKind;
use std::collections::HashMap;
use std::vec::Vec;

impl Survey<'_, '_> {
    /// Walks a queue, checks its links, and returns who is in it.
    pub(super) fn queue(&self, queue: &Queue) -> Vec<ExecutionRef> {
        let (mut found, mut before, mut at) = (Vec::new(), None, queue.first.get());
        while let Some(item) = at {
            let execution: &Execution = self.part(item.address());
            assert_eq!(
                execution.previous.get(),
                before,
                "queues are linked both ways"
            );
            assert!(
                self.alive.contains_key(&item.address()),
                "the dead are in no queue"
            );
            assert!(found.len() < 10_000, "queues end");
            found.push(item);
            before = at;
            at = execution.next.get();
        }
        assert_eq!(queue.last.get(), before, "the last is the last");
        found
    }

    /// Checks that who is in a queue is in the state for it, and the other way round.
    pub(super) fn queues(&self) {
        let mut place: HashMap<u64, (State, u64)> = HashMap::new();
        for (address, kind) in &self.alive {
            match kind {
                ObjectKind::Endpoint => self.endpoint(*address, &mut place),
                ObjectKind::Notification => self.notification(*address, &mut place),
                ObjectKind::Reply => {
                    if let Some(caller) = self.get::<Reply>(*address).caller.get() {
                        let caller: &Execution = self.part(caller.address());
                        assert_eq!(caller.callee.get(), *address, "a caller knows its Reply");
                    }
                }
                ObjectKind::Budget => {
                    if let Some(owner) = self.get::<Budget>(*address).owner.get() {
                        let owner: &Execution = self.part(owner.address());
                        assert_eq!(owner.own_budget.get(), *address, "an owner knows it");
                    }
                }
                _ => {}
            }
        }
        for item in self.alive_executions() {
            let execution: &Execution = self.part(item.address());
            let waits = matches!(
                execution.state(),
                State::Calling | State::Receiving | State::Waiting
            );
            let here = (execution.state(), execution.waits_at.get());
            let expected = waits.then_some(&here);
            assert_eq!(place.get(&item.address()), expected, "{item:?}");
        }
    }

    /// Checks the queues of an endpoint.
    fn endpoint(&self, address: u64, place: &mut HashMap<u64, (State, u64)>) {
        let endpoint: &Endpoint = self.get(address);
        let (callers, receivers) = (
            self.queue(&endpoint.callers),
            self.queue(&endpoint.receivers),
        );
        assert!(
            callers.is_empty() || receivers.is_empty(),
            "they would meet"
        );
        let priority = |item: &ExecutionRef| self.part::<Execution>(item.address()).priority.get();
        let sorted = callers
            .windows(2)
            .all(|pair| priority(&pair[0]) >= priority(&pair[1]));
        assert!(sorted, "callers wait in the order of their priorities");
        for item in callers {
            place.insert(item.address(), (State::Calling, address));
        }
        for item in receivers {
            place.insert(item.address(), (State::Receiving, address));
        }
    }

    /// Checks the waiter of a notification.
    fn notification(&self, address: u64, place: &mut HashMap<u64, (State, u64)>) {
        let notification: &Notification = self.get(address);
        let bits = notification.bits.get();
        if let Some(waiter) = notification.waiter.get() {
            assert_eq!(bits, 0, "nobody waits for what is there");
            place.insert(waiter.address(), (State::Waiting, address));
        }
        assert_eq!(
            notification.inbox_queued.get(),
            0,
            "inboxes are empty at rest"
        );
        if let Some(bound) = notification.bound.get() {
            let thread: &Thread<FakeArch> = self.get(bound.address());
            let receives = thread.execution().state() == State::Receiving;
            assert!(
                !(receives && bits != 0),
                "nobody receives while there are bits"
            );
            let slot = thread
                .slot(crate::cap::Role::Notification)
                .expect("threads have one");
            assert_eq!(slot.object.get(), address, "the bound thread knows it");
        }
    }
}
