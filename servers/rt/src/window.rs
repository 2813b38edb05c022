//! Frames mapped into the own space, as words.

use crate::memory::{Frame, Space};
use abi::{Error, Rights};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// First address of the part of every process's space that only windows are mapped in.
pub const FIRST: u64 = 0x2000_0000;
/// End of that part.
pub const END: u64 = 0x3000_0000;
/// First address of a second such part, for frames that are larger.
pub const LARGE_FIRST: u64 = 0x20_0000_0000;
/// End of that part.
pub const LARGE_END: u64 = 0x30_0000_0000;
/// The largest frame that a process maps there, so that several have their places.
pub const LARGE_BYTES: u64 = 1 << 30;

/// A frame that is mapped into the own space. Words are read and written one by one, for others
/// may write them at the same time. An access after the frame was unmapped faults.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    address: u64,
    words: usize,
}

impl Window {
    /// Maps `frame`, of `bytes` bytes, at `address` between [`FIRST`] and [`END`], or between
    /// [`LARGE_FIRST`] and [`LARGE_END`].
    ///
    /// # Errors
    ///
    /// The kernel's, and `OutOfRange` for another address.
    pub fn map(frame: Frame, space: Space, address: u64, rights: Rights) -> Result<Self, Error> {
        let order = frame.capability().identify()?.size;
        let bytes = u32::try_from(order)
            .ok()
            .and_then(|order| 1_u64.checked_shl(order));
        let bytes = bytes.ok_or(Error::OutOfRange)?;
        let end = address.checked_add(bytes).ok_or(Error::OutOfRange)?;
        let parts = [(FIRST, END), (LARGE_FIRST, LARGE_END)];
        let is_inside = |(first, last): (u64, u64)| address >= first && end <= last;
        if !parts.into_iter().any(is_inside) {
            return Err(Error::OutOfRange);
        }
        frame.map(space.capability(), address, rights)?;
        let words = usize::try_from(bytes / 8).map_err(|_| Error::OutOfRange)?;
        Ok(Self { address, words })
    }

    /// Returns its first address.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Returns its words.
    #[must_use]
    pub const fn words(self) -> usize {
        self.words
    }

    /// Returns word `index`.
    fn word(self, index: usize) -> Option<&'static AtomicU64> {
        let offset = (index < self.words).then_some(index as u64 * 8)?;
        // SAFETY: the kernel mapped the frame there, into a part of the space where no Rust object
        // lies; should it be gone, the access stops the thread.
        Some(unsafe { &*((self.address + offset) as *const AtomicU64) })
    }

    /// Returns the value of word `index`, or 0 behind the end.
    #[must_use]
    pub fn load(self, index: usize) -> u64 {
        self.word(index).map_or(0, |word| word.load(Relaxed))
    }

    /// Sets word `index`; behind the end nothing happens.
    pub fn store(self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value, Relaxed);
        }
    }

    /// Fills the window with zeros.
    pub fn clear(self) {
        (0..self.words).for_each(|index| self.store(index, 0));
    }

    /// Copies the words of another window here, as many as both have.
    pub fn copy_from(self, other: Self) {
        let words = self.words.min(other.words);
        (0..words).for_each(|index| self.store(index, other.load(index)));
    }

    /// Writes instructions to the start of the window, padded with zeros to a whole word.
    pub fn write_code(self, code: &[u8]) {
        for (index, chunk) in code.chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.store(index, u64::from_ne_bytes(bytes));
        }
        crate::sys::synchronize_code();
    }
}
