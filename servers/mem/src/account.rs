//! Limits: how much an owner has, and may have.

use crate::refusal::Refusal;

/// A virtual machine, or another client whose memory is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner(u16);

impl Owner {
    /// Returns the owner with this index.
    pub(crate) fn numbered(index: usize) -> Option<Self> {
        let number = u16::try_from(index).ok()?;
        number.checked_add(1).map(Self)
    }

    /// Returns its index.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Returns its number in descriptors, where 0 is nobody.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Frames of an owner. The place of each among the others is found by a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(32))]
pub struct Account {
    limit: u64,
    used: u64,
    /// Bit *k*: the owner may ask for folios of order *k*.
    sizes: u64,
}

impl Account {
    /// Makes an account without frames.
    pub(crate) const fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            sizes: 0,
        }
    }

    /// Returns how many frames the owner may have.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns how many frames it has.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Returns the registered orders, one bit each.
    #[must_use]
    pub const fn sizes(&self) -> u64 {
        self.sizes
    }

    /// Registers an order.
    pub(crate) const fn register(&mut self, order: u8) {
        self.sizes |= 1 << order;
    }

    /// Checks that as many more are allowed.
    ///
    /// # Errors
    ///
    /// [`Refusal::Limit`].
    #[inline]
    pub(crate) const fn check(&self, frames: u64) -> Result<(), Refusal> {
        let left = self.limit.saturating_sub(self.used);
        if frames > left {
            return Err(Refusal::Limit { left });
        }
        Ok(())
    }

    /// Returns whether the limit allows as many more.
    #[inline]
    pub(crate) const fn admits(&self, frames: u64) -> bool {
        self.used.wrapping_add(frames) <= self.limit
    }

    /// Adds frames; a negative number in two's complement takes some away.
    #[inline]
    pub(crate) const fn charge(&mut self, frames: u64) {
        self.used = self.used.wrapping_add(frames);
    }
}
