//! Grace periods: proof that no core holds a reference from before.

use crate::{Arena, Entry};
use core::sync::atomic::{AtomicU64, Ordering};

/// Proof that every core acknowledged, with no reference in hand, since the period began.
pub struct Quiescent<'a> {
    arena: &'a Arena,
}

impl Quiescent<'_> {
    /// Returns whether the proof is about `arena`.
    pub(crate) fn is_of(&self, arena: &Arena) -> bool {
        core::ptr::eq(self.arena, arena)
    }
}

impl Drop for Quiescent<'_> {
    fn drop(&mut self) {
        // Whoever sees this sees the pages as they are now.
        let running = &self.arena.grace().running;
        running.store(IDLE, Ordering::Release);
    }
}

/// `Grace::running`: no period runs.
const IDLE: u64 = 0;
/// `Grace::running`: a period is about to run; the cores that it waits for are not noted yet.
const BEGINS: u64 = 1;
/// `Grace::running`: a period runs.
const RUNS: u64 = 2;
/// `Grace::running`: a period is over, and what it was for happens now.
const ENDS: u64 = 3;

/// The one grace period of an arena that may be under way.
pub struct Grace {
    /// Cores that have yet to acknowledge, one bit each.
    pending: AtomicU64,
    /// [`IDLE`], [`BEGINS`], [`RUNS`] or [`ENDS`].
    running: AtomicU64,
    /// Cores that ever entered.
    known: AtomicU64,
}

impl Grace {
    /// Makes the state in which no period runs.
    pub(crate) const fn new() -> Self {
        Self {
            pending: AtomicU64::new(0),
            running: AtomicU64::new(0),
            known: AtomicU64::new(0),
        }
    }

    /// Lets a core in for the first time, unless a period runs: that would not wait for it.
    pub(crate) fn admit(&self, core: usize) -> bool {
        self.known.fetch_or(1 << core, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) == IDLE {
            return true;
        }
        self.known.fetch_and(!(1 << core), Ordering::SeqCst);
        false
    }

    /// Begins a period that ends when every core of `cores`, and every other that ever entered,
    /// has acknowledged; returns whether one was begun, that is, none was running.
    pub fn begin(&self, cores: u64) -> bool {
        let idle = self
            .running
            .compare_exchange(IDLE, BEGINS, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok();
        if idle {
            let cores = cores | self.known.load(Ordering::SeqCst);
            self.pending.store(cores, Ordering::Release);
            self.running.store(RUNS, Ordering::Release);
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
        self.running.load(Ordering::Acquire) == RUNS && self.pending.load(Ordering::Acquire) == 0
    }

    /// Acknowledges for the core of `entry`, which has no pins then; returns whether it was the last
    /// one.
    pub fn acknowledge(&self, entry: &mut Entry<'_>) -> bool {
        if !core::ptr::eq(entry.arena().grace(), self) {
            return false;
        }
        entry.forget();
        let bit = 1 << entry.core();
        let before = self.pending.fetch_and(!bit, Ordering::AcqRel);
        before == bit
    }

    /// Returns whether no period is under way; what the last one was for has happened then.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.load(Ordering::Acquire) == IDLE
    }

    /// Ends the period if every core has acknowledged, with the proof of it, for as long as which no
    /// other period begins.
    pub fn finish<'a>(&self, entry: &'a mut Entry<'_>) -> Option<Quiescent<'a>> {
        let arena = entry.arena();
        let is_mine = core::ptr::eq(arena.grace(), self);
        if !is_mine || !self.is_over() {
            return None;
        }
        let (before, after) = (Ordering::Acquire, Ordering::Relaxed);
        let ends = self.running.compare_exchange(RUNS, ENDS, before, after);
        ends.is_ok().then_some(Quiescent { arena })
    }
}
