//! A guest's RAM in a server's own space, and copies in and out of it.
//!
//! ```text
//!  mem ── Frames ──▶ collect ──▶ mapped from WINDOW on ──▶ try_read, try_write
//! ```
//! The guest changes its memory while it is copied, so no reference into it ever exists: bytes
//! come out into a buffer of the caller, who checks that copy. A copy never blocks: where a page is
//! gone, the fault resumes behind the copy ([`protect_thread`]), which then says how far it came.
//! The memory server moves folios, which takes them away here: [`GuestMemory::read`] and its like
//! ask it for what they miss, and go on; what it does not have is absent.
#![cfg_attr(not(test), no_std)]

mod collect;
mod copy;

pub use collect::{CollectError, Plan};

use abi::Error;
use mem_api::Allocation;
use rt::Thread;

/// Where guest memory begins in the space of a server: behind everything else.
pub const WINDOW: u64 = 0x1_0000_0000;
/// End of the part of the space that only guest memory is mapped in: 128 GiB.
pub const WINDOW_END: u64 = 0x20_0000_0000;
/// Guest memory keeps its alignment up to that of the largest folio.
const ALIGNMENT: u64 = 1 << 30;

/// Why guest memory was not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyError {
    /// A page is not there now; what lies before `address` was copied.
    Absent {
        /// The first guest-physical address that was not copied.
        address: u64,
    },
    /// Part of the range is not memory of the guest; nothing was copied.
    Outside,
}

/// The RAM of one guest, mapped into the own space. Made by [`GuestMemory::collect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestMemory {
    base: u64,
    bytes: u64,
    /// Where `base` is mapped, in `WINDOW..WINDOW_END`.
    window: u64,
    /// Where its folios come from.
    source: Option<(Plan, Allocation)>,
}

/// Lets the calling thread survive a copy that meets an absent page. Every thread that copies
/// calls it once, before.
///
/// # Errors
///
/// The kernel's: the thread needs the right `control` to itself.
pub fn protect_thread() -> Result<(), Error> {
    let own = abi::SlotAddress::from_bits(rt::block::thread_slot());
    let [start, end, target] = copy::recovery();
    Thread::at(own).set_recovery(start, end, target)
}

impl GuestMemory {
    /// Returns the memory of a guest as it will be mapped, or `None` where the range is empty,
    /// wraps around, or does not fit into the window.
    const fn place(base: u64, bytes: u64) -> Option<Self> {
        if bytes == 0 || base.checked_add(bytes).is_none() {
            return None;
        }
        let window = WINDOW + base % ALIGNMENT;
        match window.checked_add(bytes) {
            Some(end) if end <= WINDOW_END => Some(Self {
                base,
                bytes,
                window,
                source: None,
            }),
            _ => None,
        }
    }

    /// Returns the guest-physical address of the first byte.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns where a guest-physical range is mapped.
    #[inline]
    fn locate(&self, address: u64, bytes: usize) -> Result<u64, CopyError> {
        // Below the base, the offset is larger than memory that does not wrap around.
        let offset = address.wrapping_sub(self.base);
        match self.bytes.checked_sub(bytes as u64) {
            Some(last) if offset <= last => Ok(self.window + offset),
            _ => Err(CopyError::Outside),
        }
    }

    /// Copies guest-physical memory out, also of pages that moved.
    ///
    /// # Errors
    ///
    /// [`CopyError`] where not all of it is there.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), CopyError> {
        self.repeat(|| self.try_read(address, buffer))
    }

    /// Returns eight bytes as they lie in memory, loaded at once where they are aligned; `None` where
    /// not all of them are there, which [`Self::read`] goes on with. Never blocks.
    #[must_use]
    #[inline]
    pub fn word(&self, address: u64) -> Option<[u8; 8]> {
        let from = self.locate(address, size_of::<u64>()).ok()?;
        // SAFETY: `from` and seven bytes more lie in the part of the space where only guest memory is
        // mapped (1), which does not begin at 0 (2).
        let word = unsafe { copy::load(from as *const u8) };
        word.map(u64::to_ne_bytes)
    }

    /// Copies into guest-physical memory, also to pages that moved.
    ///
    /// # Errors
    ///
    /// [`CopyError`] where not all of it is there.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), CopyError> {
        self.repeat(|| self.try_write(address, bytes))
    }

    /// Fills guest-physical memory with zeros, also pages that moved.
    ///
    /// # Errors
    ///
    /// [`CopyError`] where not all of it is there, or part of it is not the guest's; then what lies
    /// before may have been filled.
    pub fn clear(&self, address: u64, bytes: u64) -> Result<(), CopyError> {
        let end = address.checked_add(bytes).ok_or(CopyError::Outside)?;
        let mut start = address;
        self.repeat(|| {
            let cleared = self.try_clear(start, end - start);
            if let Err(CopyError::Absent { address }) = cleared {
                start = address;
            }
            cleared
        })
    }

    /// Copies guest-physical memory out; never blocks.
    ///
    /// # Errors
    ///
    /// [`CopyError`] where not all of it is there.
    pub fn try_read(&self, address: u64, buffer: &mut [u8]) -> Result<(), CopyError> {
        let from = self.locate(address, buffer.len())?;
        // SAFETY: `from` and as many bytes lie in the part of the space where only guest memory is
        // mapped (1), and the buffer is borrowed mutably (2).
        let missing = unsafe { copy::copy(buffer.as_mut_ptr(), from as *const u8, buffer.len()) };
        ended(address, buffer.len(), missing)
    }

    /// Copies into guest-physical memory; never blocks.
    ///
    /// # Errors
    ///
    /// [`CopyError`] where not all of it is there.
    pub fn try_write(&self, address: u64, bytes: &[u8]) -> Result<(), CopyError> {
        let to = self.locate(address, bytes.len())?;
        // SAFETY: the bytes are borrowed (1), and `to` and as many bytes lie in the part of the
        // space where only guest memory is mapped, so no Rust object is overwritten (2).
        let missing = unsafe { copy::copy(to as *mut u8, bytes.as_ptr(), bytes.len()) };
        ended(address, bytes.len(), missing)
    }

    /// Fills guest-physical memory with zeros; never blocks.
    ///
    /// # Errors
    ///
    /// [`CopyError`] where not all of it is there, or part of it is not the guest's; then what lies
    /// before may have been filled.
    pub fn try_clear(&self, address: u64, bytes: u64) -> Result<(), CopyError> {
        static ZEROS: [u8; 4096] = [0; 4096];
        let end = address.checked_add(bytes).ok_or(CopyError::Outside)?;
        let mut address = address;
        while address < end {
            let step =
                usize::try_from(end - address).map_or(ZEROS.len(), |rest| rest.min(ZEROS.len()));
            self.try_write(address, ZEROS.get(..step).unwrap_or_default())?;
            address += step as u64;
        }
        Ok(())
    }
}

/// Returns what became of a copy of `bytes` at `address`, of which the last `missing` are missing.
const fn ended(address: u64, bytes: usize, missing: usize) -> Result<(), CopyError> {
    if missing == 0 {
        Ok(())
    } else {
        let done = bytes.saturating_sub(missing);
        Err(CopyError::Absent {
            address: address + done as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CopyError, GuestMemory, WINDOW, WINDOW_END, ended};
    use proptest::prelude::*;

    #[test]
    fn memory_keeps_its_alignment_in_the_window() {
        let memory = GuestMemory::place(0x8000_0000, 1 << 28).unwrap();
        assert_eq!(memory.locate(0x8000_1000, 1), Ok(WINDOW + 0x1000));
        let memory = GuestMemory::place(0x1020_0000, 1 << 21).unwrap();
        assert_eq!(memory.locate(0x1020_0000, 1), Ok(WINDOW + 0x1020_0000));
    }

    #[test]
    fn memory_that_has_no_place_is_refused() {
        assert_eq!(GuestMemory::place(0x1000, 0), None);
        assert_eq!(GuestMemory::place(u64::MAX - 4095, 8192), None);
        assert_eq!(GuestMemory::place(0, WINDOW_END), None);
    }

    #[test]
    fn a_word_that_is_not_wholly_in_the_memory_is_none() {
        let memory = GuestMemory::place(0x8000_0000, 1 << 28).unwrap();
        for address in [
            0,
            0x7fff_fff8,
            0x7fff_ffff,
            0x8fff_fff9,
            0x9000_0000,
            u64::MAX - 6,
        ] {
            assert_eq!(memory.word(address), None);
        }
        assert_eq!(memory.locate(0x8fff_fff8, 8), Ok(WINDOW + (1 << 28) - 8));
        assert!(memory.locate(0x8000_0000, 8).is_ok());
        // Memory that is smaller than a word has none.
        assert_eq!(GuestMemory::place(0, 7).unwrap().word(0), None);
    }

    #[test]
    fn an_interrupted_copy_names_the_first_byte_that_is_missing() {
        assert_eq!(ended(0x1000, 8, 0), Ok(()));
        assert_eq!(
            ended(0x1000, 8, 3),
            Err(CopyError::Absent { address: 0x1005 })
        );
    }

    proptest! {
        #[test]
        fn nothing_outside_the_memory_is_located(address: u64, bytes in 0_usize..1 << 40) {
            let memory = GuestMemory::place(0x8000_0000, 1 << 28).unwrap();
            let end = address.checked_add(bytes as u64);
            let inside = address >= 0x8000_0000 && end.is_some_and(|end| end <= 0x9000_0000);
            match memory.locate(address, bytes) {
                Ok(at) => {
                    prop_assert!(inside && at >= WINDOW && at + bytes as u64 <= WINDOW_END);
                }
                Err(error) => prop_assert!(!inside && error == CopyError::Outside),
            }
        }
    }
}
