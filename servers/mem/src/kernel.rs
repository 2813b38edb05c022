//! What the server asks the kernel for.

use core::fmt;

/// Names a slot of the server's own table.
pub type Slot = u32;

/// The kernel refused: its tables or its memory for page tables are full, or it is told something
/// that is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRefusal;

impl fmt::Display for KernelRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the kernel refused")
    }
}

/// What is made of untyped memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Untyped memory, to be divided further.
    Untyped,
    /// Memory that can be mapped.
    Frame,
}

/// The kernel's calls, as far as memory is concerned. An order is the base-two logarithm of frames.
pub trait Kernel {
    /// Makes one object of the untyped memory in `from`, behind those that were made of it, in the
    /// empty slot `to`.
    ///
    /// # Errors
    ///
    /// [`KernelRefusal`], and nothing was made.
    fn make(&mut self, from: Slot, made: Made, order: u8, to: Slot) -> Result<(), KernelRefusal>;

    /// Empties a slot, and with it those of all that was made of it or copied from it.
    fn delete(&mut self, slot: Slot);

    /// Takes all copies of a frame away, and what they are mapped as.
    fn revoke(&mut self, frame: Slot);

    /// Maps a frame into a guest, at an address of the guest's.
    ///
    /// # Errors
    ///
    /// [`KernelRefusal`], and nothing is mapped.
    fn map(&mut self, frame: Slot, guest: u64, address: u64) -> Result<(), KernelRefusal>;

    /// Takes a frame out of its guest.
    fn unmap(&mut self, frame: Slot);
}
