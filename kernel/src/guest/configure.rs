//! Bindings and routes of a vCPU, and routes of a guest space.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::call::thread::{Bound, binding, execution_of};
use crate::cap::right::{CALL, CONTROL};
use crate::cap::slot::{Role, SlotRef, nth};
use crate::object::execution::{ExecutionRef, State};
use crate::object::space::GuestSpace;
use crate::object::thread::Thread;
use crate::object::vcpu::{BUDGET, DEVICES, EXITS, GUEST_SPACE, REGISTER_PAGE, Vcpu};
use abi::exit::{EXIT_CLASSES, MAX_ROUTES, RouteKey};
use abi::{Error, ObjectKind};
use arena::Handle;
use core::mem::offset_of;

/// Returns slot `index` of a vCPU.
fn slot_of<A: Arch>(vcpu: Handle<Vcpu<A>>, index: usize) -> Result<SlotRef, Error> {
    let slots = vcpu.address() + offset_of!(Vcpu<A>, slots) as u64;
    nth(slots, index as u64).ok_or(Error::OutOfRange)
}

impl<A: Arch> Visit<'_, A> {
    /// Binds something to a stopped vCPU.
    pub(crate) fn vcpu_bind(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let target = self.resolve_at::<Vcpu<A>>(thread, CONTROL)?;
        let execution = target.object.execution();
        if self.is_shipped(caller, &execution.core) {
            return Ok(Outcome::Waiting);
        }
        self.check_stopped(execution)?;
        let binding = binding(thread.frame.argument(1))?;
        let index = match binding.role {
            Role::GuestSpace => GUEST_SPACE,
            Role::MessagePage => REGISTER_PAGE,
            Role::Budget => BUDGET,
            _ => return Err(Error::BadArgument),
        };
        let place = slot_of(target.handle, index)?;
        self.rebind(caller, thread, (place, execution, binding))
    }

    /// Sets the endpoint of an exit class or a device route, and delivers an exit that waited.
    pub(crate) fn vcpu_route(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
        is_exit: bool,
    ) -> Result<Outcome, Error> {
        let target = self.resolve_at::<Vcpu<A>>(thread, CONTROL)?;
        let execution = target.object.execution();
        if self.is_shipped(caller, &execution.core) {
            return Ok(Outcome::Waiting);
        }
        let (first, count) = if is_exit {
            (EXITS, EXIT_CLASSES)
        } else {
            (DEVICES, MAX_ROUTES)
        };
        let index = usize::try_from(thread.frame.argument(1)).unwrap_or(usize::MAX);
        if index >= count {
            return Err(Error::OutOfRange);
        }
        let place = slot_of(target.handle, first + index)?;
        let binding = Bound {
            role: Role::Route,
            kind: ObjectKind::Endpoint,
            need: CALL,
        };
        let outcome = self.rebind(caller, thread, (place, execution, binding))?;
        let is_bound = thread.frame.argument(2) != 0;
        if is_bound && execution.state() == State::Unrouted {
            self.send_exit_again(execution_of(target.handle));
        }
        Ok(outcome)
    }

    /// Declares a device or memory range of a guest space.
    pub(crate) fn add_route(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let target = self.resolve_at::<GuestSpace>(thread, CONTROL)?;
        let [index, key, base, length] = [1, 2, 3, 4].map(|index| thread.frame.argument(index));
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let route = target.object.routes.get(index).ok_or(Error::OutOfRange)?;
        let key = RouteKey::from_number(key).ok_or(Error::BadArgument)?;
        if length == 0 {
            return Err(Error::BadArgument);
        }
        let end = base.checked_add(length).ok_or(Error::OutOfRange)?;
        if route.length.get() != 0 {
            return Err(Error::SlotOccupied);
        }
        let overlaps = target.object.routes.iter().any(|other| {
            other.length.get() != 0
                && other.is_in_space_of(key)
                && base < other.base.get() + other.length.get()
                && other.base.get() < end
        });
        if overlaps {
            return Err(Error::AlreadyMapped);
        }
        route.base.set(base);
        route.key.set(key.number());
        route.length.set(length);
        Ok(Outcome::ok())
    }
}
