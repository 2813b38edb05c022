//! Budget: an amount of time per period.

use crate::object::execution::Execution;
use crate::word::{Link, Word};
use zerocopy::FromBytes;

/// A scheduling context. A new one has no time until it is configured.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Budget {
    /// The core it is bound to.
    pub core: Word,
    /// Ticks per period.
    pub amount: Word,
    /// Ticks from one replenishment to the next.
    pub period: Word,
    /// Ticks left in this period, or in this turn where the time never ends, as a signed number.
    pub remaining: Word,
    /// When the period began.
    pub since: Word,
    /// The execution that it is bound to.
    pub owner: Link<Execution>,
    /// Ticks of grace that a server used beyond the budget.
    pub grace: Word,
    /// Ticks of use after which equals go first, or 0; only where the time never ends.
    pub turn: Word,
}

impl Budget {
    /// Returns whether the time never ends.
    pub fn is_unlimited(&self) -> bool {
        self.amount.get() == self.period.get()
    }

    /// Returns whether its execution takes turns with others of the same priority.
    pub fn takes_turns(&self) -> bool {
        self.turn.get() != 0
    }

    /// Begins a new turn.
    pub fn begin_turn(&self) {
        self.remaining.set(self.turn.get());
    }

    /// Returns the ticks left, negative after an overrun.
    pub fn left(&self) -> i64 {
        self.remaining.get().cast_signed()
    }

    /// Takes `ticks` of use off.
    pub fn charge(&self, ticks: u64) {
        if !self.is_unlimited() || self.takes_turns() {
            self.remaining
                .set(self.left().saturating_sub_unsigned(ticks).cast_unsigned());
        }
    }

    /// Begins a new period if the present one is over.
    pub fn replenish(&self, now: u64) {
        let period = self.period.get();
        if period == 0 || now.wrapping_sub(self.since.get()) < period {
            return;
        }
        let elapsed = now.wrapping_sub(self.since.get()) / period;
        self.since.add(elapsed * period);
        self.remaining.set(self.amount.get());
        self.grace.set(0);
    }

    /// Returns when the next period begins.
    pub fn next_period(&self) -> u64 {
        self.since.get().saturating_add(self.period.get())
    }
}
