//! The lock of capability management.
//!
//! Nobody spins on it: a thread that finds it taken waits in its core's queue and makes its call
//! again when the lock was released. A deletion keeps it while it waits for the other cores.

use core::sync::atomic::{AtomicU64, Ordering};

/// The lock, and the cores that have threads waiting for it.
pub struct CapLock {
    held: AtomicU64,
    waiting: AtomicU64,
}

impl CapLock {
    /// Makes a free lock.
    pub(crate) const fn new() -> Self {
        Self {
            held: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }
    }

    /// Takes the lock for `core`, or notes that `core` has a thread that waits for it.
    pub fn acquire(&self, core: usize) -> bool {
        if self.try_acquire() {
            return true;
        }
        self.waiting.fetch_or(1 << core, Ordering::SeqCst);
        // It may have been released before the note was there to be seen.
        self.try_acquire()
    }

    /// Returns whether a thread waits for the lock.
    pub fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    pub fn try_acquire(&self) -> bool {
        self.held
            .compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Returns whether somebody holds the lock.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed) != 0
    }

    /// Releases the lock and returns the cores whose threads wait for it.
    #[inline(always)]
    pub fn release(&self) -> u64 {
        self.held.store(0, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        self.waiting.swap(0, Ordering::SeqCst)
    }
}
