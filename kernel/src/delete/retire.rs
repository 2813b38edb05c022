//! What each core does when something dies: the part of it that belongs to that core.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::slot::{Role, SlotRef, Tag};
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::interrupt::Interrupt;
use crate::object::notification::Notification;
use crate::object::reply::Reply;
use crate::object::space::AddressSpace;
use abi::{Error, ObjectKind};
use arena::Handle;

impl<A: Arch> Visit<'_, A> {
    /// Does this core's part for everything that dies in the round.
    pub(super) fn retire(&self) {
        let core = self.core;
        for (slot, tag) in self.round.items() {
            let object = self.slot(slot).object.get();
            match tag.role() {
                Role::Table if tag.original() => self.retire_object(object, tag),
                Role::Table => {}
                _ => self.retire_binding(slot, object, tag),
            }
        }
        let loaded = Handle::from_address(core.loaded_space.get());
        let loaded = loaded.and_then(|space| self.entry.part::<AddressSpace, A>(space));
        if loaded.is_some_and(|space| space.root.get() == 0) {
            self.arch.load_space(self.arch.space_word(None));
            core.loaded_space.set(0);
        }
        if let Some(guest) = core.loaded_guest.get()
            && !self.has_guest_space(guest)
        {
            self.unload_guest(guest);
        }
    }

    /// Retires an object of this core.
    fn retire_object(&self, object: u64, tag: Tag) {
        let here = self.entry.core() as u64;
        match tag.object_kind() {
            Some(ObjectKind::Thread | ObjectKind::Vcpu) => {
                if let Some(item) = ExecutionRef::from_address(object) {
                    let execution = self.execution(item);
                    if execution.core.get() == here {
                        self.kill(item, execution);
                    }
                }
            }
            Some(ObjectKind::Endpoint) => {
                let endpoint = self.entry.at::<Endpoint>(object);
                if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.core.get() == here) {
                    self.retire_endpoint(endpoint);
                }
            }
            Some(ObjectKind::Notification) => {
                let notification = self.entry.at::<Notification>(object);
                if let Some(notification) = notification.filter(|found| found.core.get() == here)
                    && let Some(waiter) = notification.waiter.get()
                {
                    self.leave_queue(waiter);
                    self.finish_call(waiter, Err(Error::NoCapability));
                }
            }
            Some(ObjectKind::Reply) => {
                let reply = self.entry.at::<Reply>(object);
                if let Some(reply) = reply.filter(|reply| reply.core.get() == here)
                    && let Some(caller) = reply.caller.take()
                {
                    self.server_gone(caller);
                }
            }
            Some(ObjectKind::Interrupt) if self.round_began_here() => {
                if let Some(interrupt) = self.entry.at::<Interrupt>(object) {
                    self.mask(interrupt);
                    interrupt.taken.set(0);
                }
            }
            Some(ObjectKind::Space) if self.round_began_here() => {
                self.free_tag(object);
            }
            _ => {}
        }
    }

    /// Masks the line of an interrupt.
    fn mask(&self, interrupt: &Interrupt) {
        interrupt.masked.set(1);
        self.arch.mask_interrupt(interrupt.number());
    }

    /// Wakes everyone in the queues of an endpoint that dies.
    fn retire_endpoint(&self, endpoint: &Endpoint) {
        while let Some(caller) = self.pop(&endpoint.callers) {
            let execution = self.execution(caller);
            if execution.is_vcpu() {
                execution.set_state(State::Unrouted);
            } else {
                self.server_gone(caller);
            }
        }
        while let Some(receiver) = self.pop(&endpoint.receivers) {
            self.remove_deadline(receiver);
            self.finish_call(receiver, Err(Error::NoCapability));
        }
    }

    /// Retires a binding of an object of this core.
    fn retire_binding(&self, slot: SlotRef, object: u64, tag: Tag) {
        let owner = self.owner_of(slot.address());
        if tag.role() == Role::Interrupt {
            if self.round_began_here()
                && let Some(interrupt) = self.entry.at::<Interrupt>(owner)
            {
                self.mask(interrupt);
            }
            return;
        }
        let item = ExecutionRef::from_address(owner);
        let found = item.and_then(|item| Some((item, self.entry.part::<Execution, A>(item)?)));
        let is_here = |execution: &Execution| execution.core_index() == self.entry.core();
        let Some((item, execution)) = found.filter(|(_, execution)| is_here(execution)) else {
            return;
        };
        match tag.role() {
            Role::Space | Role::CapTable | Role::GuestSpace => self.end(item, execution),
            Role::MessagePage if execution.is_vcpu() => self.end(item, execution),
            Role::Budget => {
                self.end(item, execution);
                self.unbind_budget(item, execution, object);
            }
            Role::Notification => {
                if let Some(found) = self.entry.at::<Notification>(object) {
                    found.bound.set(None);
                }
            }
            _ => {}
        }
        if execution.is_vcpu() && matches!(tag.role(), Role::GuestSpace | Role::MessagePage) {
            self.unload_guest(item);
        }
    }

    /// Takes the budget away from the execution that it was bound to.
    fn unbind_budget(&self, item: ExecutionRef, execution: &Execution, budget: u64) {
        execution.own_budget.set(0);
        execution.lower(flag::TURNS);
        let core = self.core;
        let handle = Handle::<Budget>::from_address(budget);
        if execution.budget.get() == handle {
            self.change_budget(item, None);
        }
        if core.budget.get() == handle {
            core.budget.set(None);
        }
        if let Some(budget) = handle.and_then(|handle| self.entry.find(handle)) {
            budget.owner.set(None);
        }
    }

    /// Returns whether this core began the round.
    fn round_began_here(&self) -> bool {
        self.round.core() == self.entry.core()
    }

    /// Stops an execution of this core: what it waits for is given up.
    pub(crate) fn stop(&self, item: ExecutionRef) {
        self.end(item, self.execution(item));
    }

    /// Does it.
    fn end(&self, item: ExecutionRef, execution: &Execution) {
        let state = execution.state();
        match state {
            State::Dead | State::Stopped => return,
            State::Parked => {
                execution.raise(flag::STOP_REQUESTED);
                return;
            }
            _ => {}
        }
        self.leave_queue(item);
        if !execution.is_vcpu() {
            self.abandon_call(item, execution, state);
        }
        execution.set_state(State::Stopped);
        let core = self.core;
        if core.current.get() == Some(item) {
            core.current.set(None);
        }
    }

    /// Gives a thread that is being stopped the result of the call that it waited in.
    fn abandon_call(&self, item: ExecutionRef, execution: &Execution, state: State) {
        if execution.has(flag::KERNEL_MESSAGE) {
            execution.lower(flag::KERNEL_MESSAGE);
            return;
        }
        let error = match state {
            State::Calling | State::AwaitingReply => Error::ServerGone,
            State::Receiving | State::Waiting => Error::TimedOut,
            _ => return,
        };
        let thread = self.thread(item);
        thread.frame.complete();
        thread.frame.set_result(0, error.number());
    }

    /// Ends an execution of this core.
    fn kill(&self, item: ExecutionRef, execution: &Execution) {
        self.end(item, execution);
        execution.set_state(State::Dead);
        self.round.forget_caller(item);
        if execution.is_vcpu() {
            self.unload_guest(item);
        }
        execution.budget.set(None);
        if let Some(caller) = execution.caller.take() {
            self.server_gone(caller);
        }
    }
}
