//! Calls on interrupts, the firmware and I/O ports.

use super::Outcome;
use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::right::{CONTROL, SIGNAL};
use crate::cap::slot::{Cap, Role, Slot, SlotRef};
use crate::cap::table;
use crate::object::interrupt::Interrupt;
use crate::object::thread::Thread;
use abi::{Error, ObjectKind, PortRange, Rights};
use arena::Object;

impl<A: Arch> Visit<'_, A> {
    /// Makes an Interrupt capability.
    pub(super) fn interrupt_take(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let control = self.slot_at(thread, thread.frame.argument(0))?;
        let slot = self.slot(control);
        table::check(slot, ObjectKind::InterruptControl, CONTROL)?;
        let line = u32::try_from(thread.frame.argument(1)).map_err(|_| Error::OutOfRange)?;
        let interrupt = self.interrupt_line(line).ok_or(Error::OutOfRange)?;
        if line == 0 {
            return Err(Error::OutOfRange);
        }
        if interrupt.taken.get() != 0 {
            return Err(Error::InterruptTaken);
        }
        let to = self.empty_slot(thread, 2)?;
        let object = self.interrupts.get() + u64::from(line) * Interrupt::STRIDE;
        self.insert_child(control, to, &Cap::original(ObjectKind::Interrupt, object))?;
        interrupt.taken.set(1);
        interrupt.masked.set(1);
        Ok(Outcome::ok())
    }

    /// Binds an interrupt to a notification.
    pub(super) fn interrupt_bind(
        &self,
        caller: crate::object::execution::ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let interrupt = self.resolve_at::<Interrupt>(thread, CONTROL)?;
        let place = SlotRef::from_address(interrupt.handle.address()).ok_or(Error::NoCapability)?;
        if thread.frame.argument(1) == 0 {
            return Ok(self.unbind(caller, place));
        }
        let from = self.slot_at(thread, thread.frame.argument(1))?;
        table::check(self.slot(from), ObjectKind::Notification, SIGNAL)?;
        self.bind(from, place, Role::Interrupt)?;
        interrupt.object.masked.set(0);
        self.arch.unmask_interrupt(interrupt.object.number());
        Ok(Outcome::ok())
    }

    /// Unmasks an interrupt after it was handled.
    pub(super) fn interrupt_acknowledge(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let interrupt = self.resolve_at::<Interrupt>(thread, CONTROL)?;
        let [binding] = &interrupt.object.binding;
        if binding.tag().object_kind().is_none() {
            return Err(Error::NotConfigured);
        }
        if interrupt.object.masked.replace(0) != 0 {
            self.arch.unmask_interrupt(interrupt.object.number());
        }
        Ok(Outcome::ok())
    }

    /// Returns the slot of argument 0, which has to have a capability for the machine.
    #[inline(never)]
    fn authority(
        &self,
        thread: &Thread<A>,
        kind: ObjectKind,
        need: Rights,
    ) -> Result<&Slot, Error> {
        let slot = self.slot(self.slot_at(thread, thread.frame.argument(0))?);
        table::check(slot, kind, need)?;
        Ok(slot)
    }

    /// Makes an allow-listed firmware call.
    pub(super) fn firmware_call(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        self.authority(thread, ObjectKind::Firmware, CONTROL)?;
        let arguments = core::array::from_fn(|index| thread.frame.argument(index + 1));
        let page = self.message_page(thread);
        self.arch.firmware(arguments, page).map(Outcome::value)
    }

    /// Reads or writes an I/O port.
    pub(super) fn port(&self, thread: &Thread<A>, writes: bool) -> Result<Outcome, Error> {
        let need = Rights::new().with_read(!writes).with_write(writes);
        let slot = self.authority(thread, ObjectKind::IoPorts, need)?;
        let (port, size) = (thread.frame.argument(1), thread.frame.argument(2));
        let value = if writes { thread.frame.argument(3) } else { 0 };
        if !matches!(size, 1 | 2 | 4) || value >> (8 * size) != 0 {
            return Err(Error::BadArgument);
        }
        if !PortRange::from_bits(slot.badge.get()).holds(port, size) {
            return Err(Error::OutOfRange);
        }
        let value = self.arch.port(port, size, writes.then_some(value));
        value.map(Outcome::value)
    }
}
