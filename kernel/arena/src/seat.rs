//! Seats: what looks at objects need that is one core's.

use crate::{FIRST_OBJECT, Object, fill};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Pins that a core has for each kind of object.
pub const PINS: usize = 6;
/// Notes that a core has.
pub const NOTES: usize = 19;
/// Kinds of objects that can be pinned: the first ones, for each pin is forgotten in each round.
const KINDS: usize = 7;
/// Where the pins of raw pages are: behind those of objects.
pub(crate) const PAGES: usize = KINDS;
/// A pin that names nothing: no object begins at an odd address.
const EMPTY: u64 = 1;

/// What a core found out and need not find out again: four words of the kernel's. The first of an
/// empty one is odd.
pub type Note = [AtomicU64; 4];

/// One core's seat in an arena: its number, where addresses are, and its *pins*, names of objects
/// that it looked at since it last acknowledged a grace period. What a pin names is there still.
/// Its *notes* are forgotten together with the pins.
#[repr(align(128))]
pub struct Seat {
    /// Where physical address 0 would be mapped.
    origin: AtomicPtr<u8>,
    core: AtomicUsize,
    pub(crate) notes: [Note; NOTES],
    pub(crate) pins: [[AtomicU64; PINS]; KINDS + 1],
}

impl Seat {
    /// Makes a seat of no arena yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            origin: AtomicPtr::new(null_mut()),
            core: AtomicUsize::new(0),
            notes: [const { [const { AtomicU64::new(EMPTY) }; 4] }; NOTES],
            pins: [const { [const { AtomicU64::new(EMPTY) }; PINS] }; KINDS + 1],
        }
    }

    /// Makes this the seat of `core` in an arena.
    pub(crate) fn place(&self, core: usize, origin: *mut u8) {
        self.core.store(core, Ordering::Relaxed);
        self.origin.store(origin, Ordering::Relaxed);
        self.clear();
    }

    /// Returns where physical address 0 would be mapped.
    #[inline(always)]
    pub(crate) fn origin(&self) -> *mut u8 {
        self.origin.load(Ordering::Relaxed)
    }

    /// Returns the core's number.
    #[inline(always)]
    pub(crate) fn core(&self) -> usize {
        self.core.load(Ordering::Relaxed)
    }

    /// Returns a pin for objects of a type, if there are so many.
    #[inline(always)]
    pub(crate) fn pin<T: Object>(&self, pin: usize) -> Option<&AtomicU64> {
        let kind = const {
            let kind = (T::KIND - FIRST_OBJECT) as usize;
            assert!(kind < KINDS);
            kind
        };
        self.pins[kind].get(pin)
    }

    /// Forgets all names and notes.
    pub(crate) fn clear(&self) {
        fill(self.pins.as_flattened(), EMPTY);
        let firsts = self.notes.iter().map(|note| &note[0]);
        firsts.for_each(|first| first.store(EMPTY, Ordering::Relaxed));
    }
}

impl Default for Seat {
    fn default() -> Self {
        Self::new()
    }
}
