//! The kernel's calls: what is made and mapped.

use abi::{Error, ObjectKind, Rights, SlotAddress};
use alloc::vec::Vec;
use mem::{FRAME_SHIFT, Kernel, KernelRefusal, Made, Slot};
use rt::window::LARGE_BYTES;
use rt::{Capability, Frame, GuestSpace, Untyped};

/// The largest order of a folio, in frames: what a window takes.
pub const MAX_ORDER: u8 = (LARGE_BYTES.ilog2() - FRAME_SHIFT) as u8;

/// The spaces of the guests.
#[derive(Debug, Default)]
pub struct Capabilities {
    pub guests: Vec<(u64, GuestSpace)>,
}

/// Returns what the steward is told of a call.
#[inline]
fn told<T>(result: Result<T, Error>, what: &str) -> Result<(), KernelRefusal> {
    result.map(drop).map_err(|error| refused(error, what))
}

/// Notes in the log what the kernel refused.
#[cold]
fn refused(error: Error, what: &str) -> KernelRefusal {
    rt::error!("{=str}: {}", what, error);
    KernelRefusal
}

impl Kernel for Capabilities {
    fn make(&mut self, from: Slot, made: Made, order: u8, to: Slot) -> Result<(), KernelRefusal> {
        let kind = match made {
            Made::Untyped => ObjectKind::Untyped,
            Made::Frame => ObjectKind::Frame,
        };
        let size = u64::from(order) + u64::from(FRAME_SHIFT);
        let made = Untyped::own(from).retype(kind, size, 1, SlotAddress::own(to));
        told(made, "memory was not made")
    }

    fn delete(&mut self, slot: Slot) {
        // What is not there any more needs no deletion.
        let _ = told(Capability::own(slot).delete(), "memory was not taken back");
    }

    fn revoke(&mut self, frame: Slot) {
        let _ = told(
            Capability::own(frame).revoke(),
            "copies were not taken back",
        );
    }

    #[inline]
    fn map(&mut self, frame: Slot, guest: u64, address: u64) -> Result<(), KernelRefusal> {
        let rights = Rights::new()
            .with_read(true)
            .with_write(true)
            .with_execute(true);
        let is_it = |(number, _): &&(u64, GuestSpace)| *number == guest;
        let (_, space) = self.guests.iter().find(is_it).ok_or(KernelRefusal)?;
        let mapped = Frame::own(frame).map(space.capability(), address, rights);
        told(mapped, "a folio was not mapped")
    }

    fn unmap(&mut self, frame: Slot) {
        let _ = told(Frame::own(frame).unmap(), "a folio was not unmapped");
    }
}
