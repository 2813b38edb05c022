//! What the machine has.

use core::ptr::{addr_of, with_exposed_provenance};
use core::slice;
use core::sync::atomic::AtomicU64;

use spin::Once;

use super::control::{self, order};
use super::service;
use crate::interrupts::PROCESSORS;

/// Where a loader writes the command line, and how much is looked at.
const COMMAND_LINE: (usize, usize) = (0x1_0480, 0x380);
/// Condition code of an order to a CPU that is not there.
const ABSENT: u64 = 3;

/// What is known of the machine.
pub struct Facts {
    /// CPUs, [`PROCESSORS`] at most.
    pub processors: usize,
    /// Their addresses, the one that booted first.
    pub addresses: [u16; PROCESSORS],
    /// Bytes of memory.
    pub memory: u64,
}

/// The machine.
static FACTS: Once<Facts> = Once::new();

/// Returns what is known.
///
/// # Panics
///
/// Before [`read`].
pub fn facts() -> &'static Facts {
    FACTS.get().expect("the machine was asked first")
}

/// Asks the machine.
pub fn read() {
    FACTS.call_once(|| {
        let own = control::own_address();
        let other = u16::from(own == 0);
        let is_there = control::signal(other, order::SENSE, 0).0 != ABSENT;
        Facts {
            processors: 1 + usize::from(is_there),
            addresses: [own, other],
            memory: service::memory_size(),
        }
    });
}

/// Returns the command line.
pub fn command_line() -> &'static [u8] {
    let (start, length) = COMMAND_LINE;
    // SAFETY: the linker script keeps the bytes for the loader; nobody else writes them.
    let bytes = unsafe { slice::from_raw_parts(with_exposed_provenance(start), length) };
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl Facts {
    /// Returns the memory behind the guest's own.
    pub fn free_memory(&self) -> &'static [AtomicU64] {
        unsafe extern "C" {
            static _image_end: u8;
        }
        // The linker's symbol is an address; nothing is there.
        let start = addr_of!(_image_end).addr() as u64;
        let length = self.memory.saturating_sub(start) / 8;
        let first = with_exposed_provenance::<AtomicU64>(start as usize);
        // SAFETY: it is memory behind the image, which holds the stacks too. Words are atomics, so
        // that they may be written.
        unsafe { slice::from_raw_parts(first, length as usize) }
    }
}
