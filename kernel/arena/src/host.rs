//! An arena over ordinary memory, for programs and tests on a developer's machine.

use crate::{Arena, MAX_CORES, PAGE_SIZE, RAW, Seat, TABLE};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::boxed::Box;
use std::vec::Vec;

impl Arena {
    /// Returns every word of the pages that hold objects, for comparisons.
    #[must_use]
    pub fn object_words(&self) -> Vec<u64> {
        let pages = self.kinds.iter().enumerate();
        let objects = pages.filter(|(_, kind)| kind.load(Ordering::Relaxed) > TABLE);
        let words = objects.flat_map(|(page, _)| (0..512).map(move |word| page * 4096 + word * 8));
        words
            .map(|offset| {
                // SAFETY: the offset is that of a word in a page of the arena.
                let pointer = unsafe { self.base.add(offset) };
                // SAFETY: the memory is mapped for ever and accessed as atomics only.
                unsafe { pointer.cast::<AtomicU64>().as_ref() }.load(Ordering::Relaxed)
            })
            .collect()
    }

    /// Makes an arena of `pages` pages of zeroed memory that is never given back, all of them raw,
    /// with physical addresses from `physical` on.
    ///
    /// # Panics
    ///
    /// If `pages` is 0, or `physical` is not aligned to a page.
    #[must_use]
    pub fn on_host(physical: u64, pages: usize) -> Self {
        assert!(
            pages > 0 && physical.is_multiple_of(PAGE_SIZE),
            "an arena is made of pages"
        );
        let length = pages * 4096;
        let layout = Layout::from_size_align(length, 4096).expect("the size is a sensible one");
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(memory) else {
            handle_alloc_error(layout)
        };
        let kinds: Vec<AtomicU8> = (0..pages).map(|_| AtomicU8::new(RAW)).collect();
        let seats: Vec<Seat> = (0..MAX_CORES).map(|_| Seat::new()).collect();
        // SAFETY: (1) the memory was just allocated and is never freed; (2) nothing else knows of
        // it; (3) the layout is page-aligned, and `physical` was checked; (4) the seats are new.
        unsafe {
            Self::new(
                base,
                (physical, length as u64),
                Box::leak(kinds.into_boxed_slice()),
                Box::leak(seats.into_boxed_slice()),
            )
        }
    }
}
