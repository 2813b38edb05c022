//! Calls on threads and budgets. Those that touch a running thread are made on its core.

use super::Outcome;
use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::right::CONTROL;
use crate::cap::slot::{Cap, Role, Slot, SlotRef, nth};
use crate::cap::table::{self, Resolved};
use crate::delete::Ending;
use crate::ipc::KEEPS_OWN_BUDGET;
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::object::thread::Thread;
use abi::call::{Binding, CallNumber, ThreadRegister};
use abi::{Error, ObjectKind, Rights};
use arena::Handle;
use core::mem::offset_of;

impl<A: Arch> Visit<'_, A> {
    /// Makes a call on a thread, on the thread's core.
    pub(super) fn thread_call(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
        number: CallNumber,
    ) -> Result<Outcome, Error> {
        let target = self.resolve_at::<Thread<A>>(thread, CONTROL)?;
        if self.is_shipped(caller, &target.object.execution().core) {
            return Ok(Outcome::Waiting);
        }
        let arguments = core::array::from_fn(|index| thread.frame.argument(index));
        self.thread_call_here(target, number, arguments)
    }

    /// Makes a call on a thread of this core.
    fn thread_call_here(
        &self,
        target: Resolved<'_, Thread<A>>,
        number: CallNumber,
        [_, first, second, third, ..]: [u64; 8],
    ) -> Result<Outcome, Error> {
        let (object, item) = (target.object, execution_of(target.handle));
        match number {
            CallNumber::ThreadStart => {
                self.check_stopped(object.execution())?;
                let values = [
                    (ThreadRegister::ProgramCounter, first),
                    (ThreadRegister::StackPointer, second),
                    (ThreadRegister::Argument, third),
                ];
                for (register, value) in values {
                    object.frame.set_register(register.number(), value);
                }
                object.execution().lower(flag::FAULTED | flag::REPLIED);
            }
            CallNumber::ThreadResume => {
                self.check_stopped(object.execution())?;
                self.check_configured(object, item)?;
                object.execution().lower(flag::FAULTED);
                self.make_ready(item);
            }
            CallNumber::ThreadStop => self.stop(item),
            CallNumber::ThreadPriority => {
                if first >= abi::PRIORITIES as u64 {
                    return Err(Error::OutOfRange);
                }
                self.set_priority(item, first);
            }
            CallNumber::ThreadRecovery => {
                if first > second {
                    return Err(Error::BadArgument);
                }
                object.recovery_start.set(first);
                object.recovery_end.set(second);
                object.recovery_target.set(third);
            }
            CallNumber::ThreadRead => {
                Self::check_readable(object.execution())?;
                let value = object.frame.register(first).ok_or(Error::NoSuchRegister)?;
                return Ok(Outcome::value(value));
            }
            _ => {
                Self::check_readable(object.execution())?;
                let set = object.frame.set_register(first, second);
                set.ok_or(Error::NoSuchRegister)?;
            }
        }
        Ok(Outcome::ok())
    }

    /// Checks that an execution is stopped.
    pub(crate) fn check_stopped(&self, execution: &Execution) -> Result<(), Error> {
        let is_stopped = execution.state() == State::Stopped;
        is_stopped.then_some(()).ok_or(Error::WrongState)
    }

    /// Checks that a thread's registers are its user's: it is stopped or has faulted.
    fn check_readable(execution: &Execution) -> Result<(), Error> {
        let is_readable = execution.has(flag::FAULTED) || execution.state() == State::Stopped;
        is_readable.then_some(()).ok_or(Error::WrongState)
    }

    /// Checks that a thread has what it needs to run.
    fn check_configured(&self, thread: &Thread<A>, item: ExecutionRef) -> Result<(), Error> {
        let has_table = thread.cap_table().tag().object_kind() == Some(ObjectKind::CapTable);
        let has_budget = thread.execution().budget.get().is_some();
        let is_configured = has_table && has_budget && self.has_space(item);
        is_configured.then_some(()).ok_or(Error::NotConfigured)
    }

    /// Returns the budget that is bound to an execution.
    pub(crate) fn own_budget(&self, execution: &Execution) -> Option<Handle<Budget>> {
        let own = Handle::<Budget>::from_address(execution.own_budget.get())?;
        self.entry.find(own).map(|_| own)
    }

    /// Binds something to a stopped thread.
    pub(super) fn thread_bind(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let target = self.resolve_at::<Thread<A>>(thread, CONTROL)?;
        if self.is_shipped(caller, &target.object.execution().core) {
            return Ok(Outcome::Waiting);
        }
        self.check_stopped(target.object.execution())?;
        let binding = binding(thread.frame.argument(1))?;
        if binding.role == Role::GuestSpace {
            return Err(Error::BadArgument);
        }
        let place = target.handle.address() + offset_of!(Thread<A>, slots) as u64;
        let place = nth(place, binding.role as u64 - 1).ok_or(Error::BadArgument)?;
        let execution = target.object.execution();
        let outcome = self.rebind(caller, thread, (place, execution, binding))?;
        let is_bound = thread.frame.argument(2) != 0;
        if is_bound && binding.role == Role::Budget && thread.frame.argument(3) != 0 {
            execution.detail.set(KEEPS_OWN_BUDGET);
        }
        Ok(outcome)
    }

    /// Puts a copy of the capability that argument 2 names into a slot of an execution, or empties
    /// the slot.
    pub(crate) fn rebind(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
        (place, execution, binding): (SlotRef, &Execution, Bound),
    ) -> Result<Outcome, Error> {
        if thread.frame.argument(2) == 0 {
            return Ok(self.unbind(caller, place));
        }
        let from = self.slot_at(thread, thread.frame.argument(2))?;
        let slot = self.slot(from);
        table::check(slot, binding.kind, binding.need)?;
        if binding.kind == ObjectKind::Frame && slot.tag().device() {
            return Err(Error::BadArgument);
        }
        self.check_core(execution, slot)?;
        self.bind(from, place, binding.role)?;
        Ok(Outcome::ok())
    }

    /// Checks that what `from` names is on the core of an execution, and free.
    fn check_core(&self, execution: &Execution, slot: &Slot) -> Result<(), Error> {
        let object = slot.object.get();
        let found = match slot.tag().object_kind() {
            Some(ObjectKind::Budget) => {
                let budget = self.entry.at::<Budget>(object);
                budget.map(|it| (&it.core, it.owner.get().is_some()))
            }
            Some(ObjectKind::Endpoint) => {
                let endpoint = self.entry.at::<Endpoint>(object);
                endpoint.map(|it| (&it.core, false))
            }
            Some(ObjectKind::Notification) => {
                let found = self.entry.at::<Notification>(object);
                let is_taken = |it: &Notification| it.bound.get().or(it.waiter.get()).is_some();
                found.map(|it| (&it.core, is_taken(it)))
            }
            _ => return Ok(()),
        };
        match found {
            Some((_, true)) => Err(Error::WrongState),
            Some((core, false)) if core.get() == execution.core.get() => Ok(()),
            _ => Err(Error::WrongCore),
        }
    }

    /// Puts a copy of a capability into an empty slot of an object, and tells both sides of each
    /// other.
    pub(crate) fn bind(&self, from: SlotRef, place: SlotRef, role: Role) -> Result<(), Error> {
        if !self.slot(place).tag().is_empty() {
            return Err(Error::WrongState);
        }
        let source = self.slot(from);
        self.insert_child(from, place, &Cap::of(source).derive(Rights::ALL, role))?;
        let object = source.object.get();
        let owner = ExecutionRef::from_address(self.owner_of(place.address()));
        match role {
            Role::Budget => {
                let handle = Handle::<Budget>::from_address(object);
                if let (Some(item), Some(handle)) = (owner, handle) {
                    let (execution, budget) = (self.execution(item), self.entry.get(handle));
                    execution.own_budget.set(object);
                    execution.budget.set(Some(handle));
                    budget.owner.set(owner);
                    self.note_turns(budget);
                }
            }
            Role::Notification => {
                // Fast paths may have noted that there is none.
                self.entry.forget();
                if let Some(notification) = self.entry.at::<Notification>(object) {
                    notification.bound.set(owner);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes in the execution that a budget is bound to whether the budget has a turn.
    fn note_turns(&self, budget: &Budget) {
        if let Some(item) = budget.owner.get() {
            let owner = self.execution(item);
            owner.lower(flag::TURNS);
            owner.raise(if budget.takes_turns() { flag::TURNS } else { 0 });
        }
    }

    /// Empties a slot of an object, in a round of its own.
    pub(crate) fn unbind(&self, caller: ExecutionRef, place: SlotRef) -> Outcome {
        let slot = self.slot(place);
        if slot.tag().is_empty() {
            return Outcome::ok();
        }
        self.condemn_binding(place);
        self.begin_round(caller, Ending::Finish)
    }

    /// Sets amount and period of a budget, on the budget's core.
    pub(super) fn budget_configure(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let budget = self.resolve_at::<Budget>(thread, CONTROL)?;
        if self.is_shipped(caller, &budget.object.core) {
            return Ok(Outcome::Waiting);
        }
        let [amount, period, turn] = [1, 2, 3].map(|index| thread.frame.argument(index));
        let is_time = amount != 0 && amount <= period && period <= i64::MAX as u64;
        // A budget that ends gives way by that.
        let is_turn = turn == 0 || (amount == period && turn <= i64::MAX as u64);
        if !is_time || !is_turn {
            return Err(Error::BadArgument);
        }
        let (object, now) = (budget.object, self.arch.now());
        // Until now it is charged as it was; fast paths may have noted that it never is.
        self.charge(self.core, now);
        self.entry.forget();
        object.amount.set(amount);
        object.period.set(period);
        object.turn.set(turn);
        object.remaining.set(if turn == 0 { amount } else { turn });
        object.grace.set(0);
        object.since.set(now);
        self.note_turns(object);
        self.core.unsettled.set(1);
        let mut runs = object.owner.get();
        while let Some(item) = runs {
            self.wake_exhausted(item);
            runs = self.borrower(item, Some(budget.handle));
        }
        Ok(Outcome::ok())
    }
}

/// Returns the execution of a thread.
pub(crate) fn execution_of<T>(handle: Handle<T>) -> ExecutionRef {
    ExecutionRef::from_address(handle.address()).expect("a handle is not zero")
}

/// What can be bound to an execution: its role there, its kind, and the rights that it takes.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    pub role: Role,
    pub kind: ObjectKind,
    pub need: Rights,
}

/// Returns what a binding of this number takes.
pub(crate) fn binding(number: u64) -> Result<Bound, Error> {
    let rights = Rights::new();
    let (role, kind, need) = match Binding::from_number(number).ok_or(Error::BadArgument)? {
        Binding::Space => (Role::Space, ObjectKind::Space, CONTROL),
        Binding::GuestSpace => (Role::GuestSpace, ObjectKind::GuestSpace, CONTROL),
        Binding::CapTable => (Role::CapTable, ObjectKind::CapTable, CONTROL),
        Binding::Budget => (Role::Budget, ObjectKind::Budget, CONTROL),
        Binding::MessagePage => {
            let need = rights.with_read(true).with_write(true);
            (Role::MessagePage, ObjectKind::Frame, need)
        }
        Binding::FaultHandler => {
            let need = rights.with_call(true);
            (Role::FaultHandler, ObjectKind::Endpoint, need)
        }
        Binding::Notification => {
            let need = rights.with_wait(true);
            (Role::Notification, ObjectKind::Notification, need)
        }
    };
    Ok(Bound { role, kind, need })
}
