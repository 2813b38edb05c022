//! Carves typed kernel objects out of untyped memory and hands out shared references to them.
//!
//! The one crate of the portable kernel with unsafe code. Its argument, in four lines
//! (`docs/safety.md` has it in full):
//!
//! 1. Every page has a *kind byte*, and an object page holds objects of one type only.
//! 2. A [`Handle`] is only an address; [`Entry::get`] compares the kind byte and the address with
//!    the type on every use, so that a stale handle meets the right type or a panic, never garbage.
//! 3. Object types are plain old data made of atomics (`FromBytes + Sync`): every bit pattern is
//!    valid and sharing is sound whatever the other cores do.
//! 4. A page changes its kind back to raw only with `&mut Entry` (this core holds no reference) and
//!    a [`Quiescent`] token (every other core acknowledged with a `&mut Entry` of its own).
#![no_std]

#[cfg(any(test, feature = "host"))]
extern crate std;

mod entry;
mod grace;
mod handle;
#[cfg(any(test, feature = "host"))]
mod host;
mod kind;
mod seat;
#[cfg(test)]
mod tests;

pub use entry::{Entry, KindError, fill, gone, is_filled};
pub use grace::{Grace, Quiescent};
pub use handle::Handle;
pub use kind::{CONTINUED, FIRST_OBJECT, Object, PAGE_SIZE, Part, RAW, RESERVED, TABLE};
pub use seat::{PINS, Seat};
#[doc(hidden)]
pub use zerocopy;

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The most cores that an arena serves.
pub const MAX_CORES: usize = 64;

/// `Arena::entered`: the core never entered.
const OUTSIDE: u32 = 0;
/// `Arena::entered`: the core entered before, and grace periods wait for it.
const KNOWN: u32 = 1;
/// `Arena::entered`: the core is inside.
const INSIDE: u32 = 2;

/// One contiguous range of physical memory, seen through one linear mapping.
pub struct Arena {
    base: NonNull<u8>,
    physical: u64,
    length: u64,
    kinds: &'static [AtomicU8],
    seats: &'static [Seat],
    entered: [AtomicU32; MAX_CORES],
    grace: Grace,
}

// SAFETY: `base` is only dereferenced as objects that are `Sync` or as atomics.
unsafe impl Sync for Arena {}
// SAFETY: nothing in an arena belongs to the thread that made it.
unsafe impl Send for Arena {}

impl Arena {
    /// Makes an arena of `length` bytes of physical memory at `physical`, mapped at `base`.
    ///
    /// `kinds` has one byte per page; pages that are not usable memory are [`RESERVED`], all
    /// others [`RAW`]. As many cores can enter as there are `seats`.
    ///
    /// # Panics
    ///
    /// Where there are more kind bytes than pages.
    ///
    /// # Safety
    ///
    /// 1. Every page whose kind byte is [`RAW`] is mapped readable and writable at
    ///    `base + (page - physical)` for ever.
    /// 2. Nothing in the kernel but this arena uses those pages.
    /// 3. `base` is aligned to a page, and so are `physical` and `length`.
    /// 4. No other arena has these seats.
    #[must_use]
    pub unsafe fn new(
        base: NonNull<u8>,
        (physical, length): (u64, u64),
        kinds: &'static [AtomicU8],
        seats: &'static [Seat],
    ) -> Self {
        // Then a page with a kind byte lies in the arena: one comparison tells both.
        assert!(kinds.len() as u64 <= length / PAGE_SIZE, "too many kinds");
        let origin = base.as_ptr().wrapping_sub(physical as usize);
        for (core, seat) in seats.iter().enumerate() {
            seat.place(core, origin);
        }
        Self {
            base,
            physical,
            length,
            kinds,
            seats,
            entered: [const { AtomicU32::new(OUTSIDE) }; MAX_CORES],
            grace: Grace::new(),
        }
    }

    /// Begins a kernel entry of core `core`; `None` while that core is inside already, and where
    /// it enters for the first time during a grace period.
    pub fn enter(&self, core: usize) -> Option<Entry<'_>> {
        let (entered, seat) = (self.entered.get(core)?, self.seats.get(core)?);
        // One atomic operation, so that two who enter as the same core never both get in.
        match entered.swap(INSIDE, Ordering::Acquire) {
            KNOWN => Some(Entry::new(self, seat)),
            OUTSIDE if self.grace.admit(core) => Some(Entry::new(self, seat)),
            OUTSIDE => {
                entered.store(OUTSIDE, Ordering::Release);
                None
            }
            _ => None,
        }
    }

    /// Returns the seat of a core.
    #[must_use]
    pub fn seat(&self, core: usize) -> Option<&'static Seat> {
        self.seats.get(core)
    }

    /// Begins a kernel entry of a core that entered before, without looking whether it is inside.
    ///
    /// # Safety
    ///
    /// 1. `seat` is that of a core in this arena, and the core entered before, with
    ///    [`Arena::enter`].
    /// 2. No entry of that core lives, and none is begun as long as this one lives.
    #[inline(always)]
    pub unsafe fn enter_alone<'a>(&'a self, seat: &'a Seat) -> Entry<'a> {
        Entry::new(self, seat)
    }

    /// Ends a kernel entry.
    fn leave(&self, core: usize) {
        self.entered[core].store(KNOWN, Ordering::Release);
    }

    /// Returns the grace periods of this arena.
    #[must_use]
    pub const fn grace(&self) -> &Grace {
        &self.grace
    }

    /// Returns the first physical address.
    #[must_use]
    pub const fn physical(&self) -> u64 {
        self.physical
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Takes raw pages out of use for good, for somebody who is not served by the arena.
    pub fn reserve(&self, address: u64, length: u64) {
        for page in self.range(address, length).unwrap_or(&[]) {
            let raw = page.compare_exchange(RAW, RESERVED, Ordering::Relaxed, Ordering::Relaxed);
            debug_assert!(raw.is_ok(), "only unused pages can be reserved");
        }
    }

    /// Returns the index of the page at `address`, if the whole of `address..address + length`
    /// lies in the arena.
    fn page(&self, address: u64, length: u64) -> Option<usize> {
        let offset = address.checked_sub(self.physical)?;
        if offset.checked_add(length)? > self.length {
            return None;
        }
        usize::try_from(offset / PAGE_SIZE).ok()
    }

    /// Returns the kind byte of the page at `address`.
    #[must_use]
    #[inline(always)]
    pub fn kind(&self, address: u64) -> u8 {
        // Below the arena this wraps to a page that has no kind byte.
        usize::try_from(address.wrapping_sub(self.physical) / PAGE_SIZE)
            .ok()
            .and_then(|page| self.kinds.get(page))
            .map_or(RESERVED, |kind| kind.load(Ordering::Relaxed))
    }

    /// Returns the kind bytes of the pages of a page-aligned range.
    fn range(&self, address: u64, length: u64) -> Option<&[AtomicU8]> {
        if !address.is_multiple_of(PAGE_SIZE) || !length.is_multiple_of(PAGE_SIZE) {
            return None;
        }
        let first = self.page(address, length)?;
        let count = usize::try_from(length / PAGE_SIZE).ok()?;
        self.kinds.get(first..first.checked_add(count)?)
    }

    /// Returns the pointer to `address`, which lies in the arena.
    #[inline(always)]
    fn pointer(&self, address: u64) -> NonNull<u8> {
        // The whole arena is mapped, so an offset into it fits a `usize`.
        let offset = address.wrapping_sub(self.physical) as usize;
        // SAFETY: callers checked that `address` lies in the arena, which is one mapping.
        unsafe { self.base.add(offset) }
    }
}
