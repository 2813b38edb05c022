//! The ledger: every interrupt that was raised ended somewhere.

use irq_api::Statistics;

/// Counts where interrupts went.
///
/// Invariant: `raised = injected + coalesced + suppressed + deferred`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    counts: Statistics,
}

impl Ledger {
    /// Returns a ledger with these counts, or `None` where they do not add up.
    #[must_use]
    pub fn from_counts(counts: Statistics) -> Option<Self> {
        let ledger = Self { counts };
        ledger.check().then_some(ledger)
    }

    /// Returns the counts.
    #[must_use]
    pub const fn counts(&self) -> Statistics {
        self.counts
    }

    /// Returns whether the counts add up.
    #[must_use]
    pub fn check(&self) -> bool {
        let Statistics {
            raised,
            injected,
            coalesced,
            suppressed,
            deferred,
        } = self.counts;
        let ends = [coalesced, suppressed, deferred];
        ends.iter()
            .try_fold(injected, |sum, &count| sum.checked_add(count))
            == Some(raised)
    }

    /// Enters a request that waits for the guest.
    pub(crate) const fn raise(&mut self) {
        self.counts.raised += 1;
        self.counts.deferred += 1;
    }

    /// Enters a request that met an open one.
    pub(crate) const fn coalesce(&mut self) {
        self.counts.raised += 1;
        self.counts.coalesced += 1;
    }

    /// A waiting request was claimed by the guest.
    pub(crate) const fn inject(&mut self) {
        self.counts.deferred -= 1;
        self.counts.injected += 1;
    }

    /// A waiting request was taken back by its device, or forgotten by a reset.
    pub(crate) const fn suppress(&mut self) {
        self.counts.deferred -= 1;
        self.counts.suppressed += 1;
    }

    /// Enters a request that nobody takes.
    pub(crate) const fn refuse(&mut self) {
        self.counts.raised += 1;
        self.counts.suppressed += 1;
    }
}
