//! Calls on interrupts, the firmware and I/O ports.

use super::Outcome;
use super::thread::CONTROL;
use crate::Kernel;
use crate::arch::{Arch, UserFrame};
use crate::cap::slot::{Cap, Role, SlotRef, Tag};
use crate::cap::{derivation, table};
use crate::object::interrupt::Interrupt;
use crate::object::slot_named;
use crate::object::thread::Thread;
use abi::{Error, ObjectKind, PortRange, Rights};
use arena::{Entry, Object};

impl<A: Arch> Kernel<A> {
    /// Makes an Interrupt capability.
    pub(super) fn interrupt_take(
        &self,
        entry: &Entry<'_>,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let control = table::slot_at(entry, thread, thread.frame.argument(0))?;
        let slot = slot_named::<A>(entry, control);
        table::check(slot, ObjectKind::InterruptControl, CONTROL)?;
        let line = u32::try_from(thread.frame.argument(1)).map_err(|_| Error::OutOfRange)?;
        let interrupt = self.interrupt_line(entry, line).ok_or(Error::OutOfRange)?;
        if line == 0 {
            return Err(Error::OutOfRange);
        }
        if interrupt.taken.get() != 0 {
            return Err(Error::InterruptTaken);
        }
        let to = self.empty_slot(entry, thread, 2)?;
        let object = self.interrupts.get() + u64::from(line) * Interrupt::STRIDE;
        let tag = Tag::new()
            .with_kind(ObjectKind::Interrupt as u8)
            .with_rights(Rights::ALL)
            .with_original(true);
        derivation::insert_child::<A>(
            entry,
            control,
            to,
            &Cap {
                tag,
                object,
                badge: 0,
            },
        )?;
        interrupt.taken.set(1);
        interrupt.masked.set(1);
        Ok(Outcome::ok())
    }

    /// Binds an interrupt to a notification.
    pub(super) fn interrupt_bind(
        &self,
        entry: &Entry<'_>,
        caller: crate::object::execution::ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let address = thread.frame.argument(0);
        let interrupt = table::resolve_at::<A, Interrupt>(entry, thread, address, CONTROL)?;
        let place = SlotRef::from_address(interrupt.handle.address()).ok_or(Error::NoCapability)?;
        if thread.frame.argument(1) == 0 {
            return Ok(self.unbind(entry, caller, place));
        }
        let from = table::slot_at(entry, thread, thread.frame.argument(1))?;
        let need = Rights::new().with_signal(true);
        table::check(slot_named::<A>(entry, from), ObjectKind::Notification, need)?;
        if !slot_named::<A>(entry, place).tag().is_empty() {
            return Err(Error::WrongState);
        }
        self.bind(entry, from, place, Role::Interrupt)?;
        interrupt.object.masked.set(0);
        self.arch.unmask_interrupt(interrupt.object.number());
        Ok(Outcome::ok())
    }

    /// Unmasks an interrupt after it was handled.
    pub(super) fn interrupt_acknowledge(
        &self,
        entry: &Entry<'_>,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let address = thread.frame.argument(0);
        let interrupt = table::resolve_at::<A, Interrupt>(entry, thread, address, CONTROL)?;
        let [binding] = &interrupt.object.binding;
        if binding.tag().object_kind().is_none() {
            return Err(Error::NotConfigured);
        }
        if interrupt.object.masked.replace(0) != 0 {
            self.arch.unmask_interrupt(interrupt.object.number());
        }
        Ok(Outcome::ok())
    }

    /// Makes an allow-listed firmware call.
    pub(super) fn firmware_call(
        &self,
        entry: &Entry<'_>,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let slot = table::slot_at(entry, thread, thread.frame.argument(0))?;
        table::check(slot_named::<A>(entry, slot), ObjectKind::Firmware, CONTROL)?;
        let arguments = core::array::from_fn(|index| thread.frame.argument(index + 1));
        let page = self.message_page(entry, thread);
        self.arch.firmware(arguments, page).map(Outcome::value)
    }

    /// Reads or writes an I/O port.
    pub(super) fn port(
        &self,
        entry: &Entry<'_>,
        thread: &Thread<A>,
        writes: bool,
    ) -> Result<Outcome, Error> {
        let slot = table::slot_at(entry, thread, thread.frame.argument(0))?;
        let slot = slot_named::<A>(entry, slot);
        let need = Rights::new().with_read(!writes).with_write(writes);
        table::check(slot, ObjectKind::IoPorts, need)?;
        let [port, size, value] = [1, 2, 3].map(|index| thread.frame.argument(index));
        let value = writes.then_some(value);
        if !matches!(size, 1 | 2 | 4) || value.is_some_and(|value| value >> (8 * size) != 0) {
            return Err(Error::BadArgument);
        }
        if !PortRange::from_bits(slot.badge.get()).holds(port, size) {
            return Err(Error::OutOfRange);
        }
        self.arch.port(port, size, value).map(Outcome::value)
    }
}
