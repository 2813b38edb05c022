//! What each core does when something dies: the part of it that belongs to that core.

use crate::Kernel;
use crate::arch::{Arch, UserFrame};
use crate::cap::slot::{Role, SlotRef, Tag};
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::interrupt::Interrupt;
use crate::object::notification::Notification;
use crate::object::reply::Reply;
use crate::object::space::AddressSpace;
use crate::object::{owner_of, slot_named};
use abi::{Error, ObjectKind};
use arena::{Entry, Handle};

impl<A: Arch> Kernel<A> {
    /// Does this core's part for everything that dies in the round.
    pub(super) fn retire(&self, entry: &Entry<'_>) {
        let core = self.core(entry);
        for (slot, tag) in self.round.items() {
            let object = slot_named::<A>(entry, slot).object.get();
            match tag.role() {
                Role::Table if tag.original() => self.retire_object(entry, object, tag),
                Role::Table => {}
                _ => self.retire_binding(entry, slot, object, tag),
            }
        }
        let loaded = Handle::from_address(core.loaded_space.get());
        let loaded = loaded.and_then(|space| entry.part::<AddressSpace, A>(space));
        if loaded.is_some_and(|space| space.root.get() == 0) {
            self.arch.load_space(None);
            core.loaded_space.set(0);
        }
        if let Some(guest) = core.loaded_guest.get()
            && !self.has_guest_space(entry, guest)
        {
            self.unload_guest(entry, guest);
        }
    }

    /// Retires an object of this core.
    fn retire_object(&self, entry: &Entry<'_>, object: u64, tag: Tag) {
        let here = entry.core() as u64;
        match tag.object_kind() {
            Some(ObjectKind::Thread | ObjectKind::Vcpu) => {
                if let Some(item) = ExecutionRef::from_address(object)
                    && self.execution(entry, item).core.get() == here
                {
                    self.kill(entry, item);
                }
            }
            Some(ObjectKind::Endpoint) => {
                let endpoint = entry.at::<Endpoint>(object);
                if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.core.get() == here) {
                    self.retire_endpoint(entry, endpoint);
                }
            }
            Some(ObjectKind::Notification) => {
                let notification = entry.at::<Notification>(object);
                if let Some(notification) = notification.filter(|found| found.core.get() == here)
                    && let Some(waiter) = notification.waiter.get()
                {
                    self.leave_queue(entry, waiter);
                    self.finish_call(entry, waiter, Err(Error::NoCapability));
                }
            }
            Some(ObjectKind::Reply) => {
                let reply = entry.at::<Reply>(object);
                if let Some(reply) = reply.filter(|reply| reply.core.get() == here)
                    && let Some(caller) = reply.caller.take()
                {
                    self.server_gone(entry, caller);
                }
            }
            Some(ObjectKind::Interrupt) if self.round_began_here(entry) => {
                if let Some(interrupt) = entry.at::<Interrupt>(object) {
                    self.mask(interrupt);
                    interrupt.taken.set(0);
                }
            }
            Some(ObjectKind::Space) if self.round_began_here(entry) => {
                self.free_tag(entry, object);
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
    fn retire_endpoint(&self, entry: &Entry<'_>, endpoint: &Endpoint) {
        while let Some(caller) = self.pop(entry, &endpoint.callers) {
            let execution = self.execution(entry, caller);
            if execution.is_vcpu() {
                execution.set_state(State::Unrouted);
            } else {
                self.server_gone(entry, caller);
            }
        }
        while let Some(receiver) = self.pop(entry, &endpoint.receivers) {
            self.remove_deadline(entry, receiver);
            self.finish_call(entry, receiver, Err(Error::NoCapability));
        }
    }

    /// Retires a binding of an object of this core.
    fn retire_binding(&self, entry: &Entry<'_>, slot: SlotRef, object: u64, tag: Tag) {
        let owner = owner_of::<A>(entry, slot.address());
        if tag.role() == Role::Interrupt {
            if self.round_began_here(entry)
                && let Some(interrupt) = entry.at::<Interrupt>(owner)
            {
                self.mask(interrupt);
            }
            return;
        }
        let item = ExecutionRef::from_address(owner);
        let found = item.and_then(|item| Some((item, entry.part::<Execution, A>(item)?)));
        let is_here = |execution: &Execution| execution.core_index() == entry.core();
        let Some((item, execution)) = found.filter(|(_, execution)| is_here(execution)) else {
            return;
        };
        match tag.role() {
            Role::Space | Role::CapTable | Role::GuestSpace => self.stop(entry, item),
            Role::MessagePage if execution.is_vcpu() => self.stop(entry, item),
            Role::Budget => {
                self.stop(entry, item);
                self.unbind_budget(entry, item, object);
            }
            Role::Notification => {
                if let Some(found) = entry.at::<Notification>(object) {
                    found.bound.set(None);
                }
            }
            Role::MessagePage
            | Role::FaultHandler
            | Role::Route
            | Role::Fund
            | Role::Interrupt
            | Role::Table => {}
        }
        if execution.is_vcpu() && matches!(tag.role(), Role::GuestSpace | Role::MessagePage) {
            self.unload_guest(entry, item);
        }
    }

    /// Takes the budget away from the execution that it was bound to.
    fn unbind_budget(&self, entry: &Entry<'_>, item: ExecutionRef, budget: u64) {
        let execution = self.execution(entry, item);
        execution.own_budget.set(0);
        let core = self.core(entry);
        let handle = Handle::<Budget>::from_address(budget);
        if execution.budget.get() == handle {
            self.change_budget(entry, item, None);
        }
        if core.budget.get() == handle {
            core.budget.set(None);
        }
        if let Some(budget) = handle.and_then(|handle| entry.find(handle)) {
            budget.owner.set(None);
        }
    }

    /// Returns whether this core began the round.
    fn round_began_here(&self, entry: &Entry<'_>) -> bool {
        self.round.core() == entry.core()
    }

    /// Stops an execution of this core: what it waits for is given up.
    pub(crate) fn stop(&self, entry: &Entry<'_>, item: ExecutionRef) {
        let execution = self.execution(entry, item);
        let state = execution.state();
        match state {
            State::Dead | State::Stopped => return,
            State::Parked => {
                execution.raise(flag::STOP_REQUESTED);
                return;
            }
            _ => {}
        }
        self.leave_queue(entry, item);
        if !execution.is_vcpu() {
            self.abandon_call(entry, item, state);
        }
        execution.set_state(State::Stopped);
        let core = self.core(entry);
        if core.current.get() == Some(item) {
            core.current.set(None);
        }
    }

    /// Gives a thread that is being stopped the result of the call that it waited in.
    fn abandon_call(&self, entry: &Entry<'_>, item: ExecutionRef, state: State) {
        let execution = self.execution(entry, item);
        if execution.has(flag::KERNEL_MESSAGE) {
            execution.lower(flag::KERNEL_MESSAGE);
            return;
        }
        let error = match state {
            State::Calling | State::AwaitingReply => Error::ServerGone,
            State::Receiving | State::Waiting => Error::TimedOut,
            _ => return,
        };
        let thread = self.thread(entry, item);
        thread.frame.complete();
        thread.frame.set_result(0, error.number());
    }

    /// Ends an execution of this core.
    fn kill(&self, entry: &Entry<'_>, item: ExecutionRef) {
        let execution = self.execution(entry, item);
        self.stop(entry, item);
        execution.set_state(State::Dead);
        self.round.forget_caller(item);
        if execution.is_vcpu() {
            self.unload_guest(entry, item);
        }
        execution.budget.set(None);
        if let Some(caller) = execution.caller.take() {
            self.server_gone(entry, caller);
        }
    }
}
