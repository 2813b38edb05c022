//! The kernel's calls: what is made, mapped and copied.

use abi::{Error, ObjectKind, Rights, SlotAddress};
use alloc::vec::Vec;
use mem::{FRAME_SHIFT, Kernel, KernelRefusal, Made, Slot};
use rt::window::{LARGE_BYTES, LARGE_FIRST, Window};
use rt::{Capability, Frame, GuestSpace, Space, Untyped};

/// Windows in which contents are copied, by who has the lock.
const COPY_WINDOWS: [u64; 2] = [LARGE_FIRST, LARGE_FIRST + LARGE_BYTES];
/// The first window for clearing: each core has its own.
const CLEAR_WINDOWS: u64 = LARGE_FIRST + 2 * LARGE_BYTES;

/// The largest order of a folio, in frames: what a window takes.
pub const MAX_ORDER: u8 = (LARGE_BYTES.ilog2() - FRAME_SHIFT) as u8;

/// The spaces of the guests.
#[derive(Debug, Default)]
pub struct Capabilities {
    pub guests: Vec<(u64, GuestSpace)>,
}

/// Returns what the steward is told of a call.
fn told<T>(result: Result<T, Error>, what: &str) -> Result<(), KernelRefusal> {
    result.map(drop).map_err(|error| {
        rt::error!("{=str}: {}", what, error);
        KernelRefusal
    })
}

/// Maps a frame into the own space, to be read and written.
fn open(frame: Slot, address: u64) -> Result<Window, Error> {
    let rights = Rights::new().with_read(true).with_write(true);
    let space = Space::own(abi::boot::SLOT_SPACE);
    Window::map(Frame::own(frame), space, address, rights)
}

/// Fills a frame with zeros: it may have been somebody else's.
pub fn clear(core: u64, frame: Slot) -> Result<(), Error> {
    open(frame, CLEAR_WINDOWS + core * LARGE_BYTES)?.clear();
    Frame::own(frame).unmap()
}

/// Copies what is in a frame to another one.
fn copy(from: Slot, to: Slot) -> Result<(), Error> {
    let [from_window, to_window] = COPY_WINDOWS;
    let source = open(from, from_window)?;
    let copied = open(to, to_window).and_then(|target| {
        target.copy_from(source);
        Frame::own(to).unmap()
    });
    Frame::own(from).unmap()?;
    copied
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

    fn copy(&mut self, from: Slot, to: Slot, _: u8) -> Result<(), KernelRefusal> {
        told(copy(from, to), "a folio was not copied")
    }
}
