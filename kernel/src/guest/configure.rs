//! Bindings and routes of a vCPU, and routes of a guest space.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::call::thread::{CONTROL, execution_of};
use crate::cap::slot::{Role, Slot, SlotRef};
use crate::object::execution::{ExecutionRef, State};
use crate::object::space::GuestSpace;
use crate::object::thread::Thread;
use crate::object::vcpu::{BUDGET, DEVICES, EXITS, GUEST_SPACE, REGISTER_PAGE, Vcpu};
use abi::call::Binding;
use abi::exit::{EXIT_CLASSES, MAX_ROUTES, RouteKey};
use abi::{Error, ObjectKind, Rights};
use arena::{Handle, Object};
use core::mem::offset_of;

/// Returns slot `index` of a vCPU.
fn slot_of<A: Arch>(vcpu: Handle<Vcpu<A>>, index: usize) -> Result<SlotRef, Error> {
    let address = vcpu.address() + offset_of!(Vcpu<A>, slots) as u64;
    SlotRef::from_address(address + index as u64 * Slot::STRIDE).ok_or(Error::OutOfRange)
}

impl<A: Arch> Visit<'_, A> {
    /// Binds something to a stopped vCPU.
    pub(crate) fn vcpu_bind(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let address = thread.frame.argument(0);
        let target = self.resolve_at::<Vcpu<A>>(thread, address, CONTROL)?;
        let execution = target.object.execution();
        if self.is_shipped(caller, &execution.core) {
            return Ok(Outcome::Waiting);
        }
        self.check_stopped(execution)?;
        let (index, role, kind, need) = vcpu_binding(thread.frame.argument(1))?;
        let place = slot_of(target.handle, index)?;
        if thread.frame.argument(2) == 0 {
            return Ok(self.unbind(caller, place));
        }
        let from = self.bindable(thread, kind, need)?;
        self.check_core(execution, from)?;
        if !self.slot(place).tag().is_empty() {
            return Err(Error::WrongState);
        }
        self.bind(from, place, role)?;
        self.after_bind((execution_of(target.handle), execution), from, role);
        Ok(Outcome::ok())
    }

    /// Sets the endpoint of an exit class or a device route, and delivers an exit that waited.
    pub(crate) fn vcpu_route(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
        is_exit: bool,
    ) -> Result<Outcome, Error> {
        let address = thread.frame.argument(0);
        let target = self.resolve_at::<Vcpu<A>>(thread, address, CONTROL)?;
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
        if thread.frame.argument(2) == 0 {
            return Ok(self.unbind(caller, place));
        }
        let need = Rights::new().with_call(true);
        let from = self.bindable(thread, ObjectKind::Endpoint, need)?;
        self.check_core(execution, from)?;
        if !self.slot(place).tag().is_empty() {
            return Err(Error::WrongState);
        }
        self.bind(from, place, Role::Route)?;
        if execution.state() == State::Unrouted {
            self.send_exit_again(execution_of(target.handle));
        }
        Ok(Outcome::ok())
    }

    /// Declares a device or memory range of a guest space.
    pub(crate) fn add_route(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let address = thread.frame.argument(0);
        let target = self.resolve_at::<GuestSpace>(thread, address, CONTROL)?;
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

/// Returns slot, role, kind and needed rights of a vCPU's binding.
fn vcpu_binding(number: u64) -> Result<(usize, Role, ObjectKind, Rights), Error> {
    match Binding::from_number(number) {
        Some(Binding::GuestSpace) => Ok((
            GUEST_SPACE,
            Role::GuestSpace,
            ObjectKind::GuestSpace,
            CONTROL,
        )),
        Some(Binding::MessagePage) => {
            let need = Rights::new().with_read(true).with_write(true);
            Ok((REGISTER_PAGE, Role::MessagePage, ObjectKind::Frame, need))
        }
        Some(Binding::Budget) => Ok((BUDGET, Role::Budget, ObjectKind::Budget, CONTROL)),
        Some(
            Binding::Space | Binding::CapTable | Binding::FaultHandler | Binding::Notification,
        )
        | None => Err(Error::BadArgument),
    }
}
