//! Grace periods: proof that no core holds a reference from before.

use crate::Entry;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};

/// Proof that every core acknowledged, with no reference in hand, since the period began.
pub struct Quiescent<'a> {
    arena: PhantomData<&'a ()>,
}

/// The one grace period of an arena that may be under way.
pub struct Grace {
    /// Cores that have yet to acknowledge, one bit each, and the top bit while a period runs.
    pending: AtomicU64,
    running: AtomicU64,
}

impl Grace {
    /// Makes the state in which no period runs.
    pub(crate) const fn new() -> Self {
        Self {
            pending: AtomicU64::new(0),
            running: AtomicU64::new(0),
        }
    }

    /// Begins a period that ends when every core of `cores` has acknowledged; returns whether one
    /// was begun, that is, none was running.
    pub fn begin(&self, cores: u64) -> bool {
        let idle = self
            .running
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if idle {
            self.pending.store(cores, Ordering::Release);
        }
        idle
    }

    /// Returns whether `core` has yet to acknowledge.
    #[must_use]
    pub fn waits_for(&self, core: usize) -> bool {
        self.pending.load(Ordering::Acquire) >> core & 1 == 1
    }

    /// Returns whether a period runs and every core has acknowledged.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.running.load(Ordering::Acquire) != 0 && self.pending.load(Ordering::Acquire) == 0
    }

    /// Acknowledges for the core of `entry`; returns whether it was the last one.
    pub fn acknowledge(&self, entry: &mut Entry<'_>) -> bool {
        let bit = 1 << entry.core();
        let before = self.pending.fetch_and(!bit, Ordering::AcqRel);
        before == bit
    }

    /// Ends the period if every core has acknowledged, with the proof of it.
    pub fn finish<'a>(&self, entry: &'a mut Entry<'_>) -> Option<Quiescent<'a>> {
        let _ = entry;
        if self.running.load(Ordering::Acquire) == 0 || self.pending.load(Ordering::Acquire) != 0 {
            return None;
        }
        self.running.store(0, Ordering::Release);
        Some(Quiescent { arena: PhantomData })
    }
}
