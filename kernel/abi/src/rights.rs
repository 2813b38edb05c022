//! What a capability allows.

use bitfield_struct::bitfield;

/// What a capability allows. Rights only ever shrink.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct Rights {
    /// Frame: may be mapped for reading. IoPorts: may be read.
    pub read: bool,
    /// Frame: may be mapped for writing. IoPorts: may be written.
    pub write: bool,
    /// Frame: may be mapped for execution.
    pub execute: bool,
    /// Endpoint: may be called.
    pub call: bool,
    /// Endpoint: may be received from.
    pub receive: bool,
    /// Notification: may be signalled.
    pub signal: bool,
    /// Notification: may be waited for.
    pub wait: bool,
    /// Vcpu: interrupts may be injected and fences asked for.
    pub inject: bool,
    /// Any object: its configuration may be changed.
    pub control: bool,
    /// Any capability: copies may be made of it, also by sending it.
    pub grant: bool,
    #[bits(6)]
    __: u8,
}

impl Rights {
    /// Every right there is.
    pub const ALL: Self = Self::from_bits(0x3ff);

    /// Returns the rights that both have.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self::from_bits(self.into_bits() & other.into_bits())
    }

    /// Returns whether every right in `need` is among these.
    #[must_use]
    pub const fn covers(self, need: Self) -> bool {
        self.into_bits() & need.into_bits() == need.into_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::Rights;

    #[test]
    fn intersection_is_covered_by_both_sides() {
        for left in 0..=0x3ff_u16 {
            for right in [0, 1, 0x155, 0x2aa, 0x3ff] {
                let (left, right) = (Rights::from_bits(left), Rights::from_bits(right));
                let both = left.intersect(right);
                assert!(left.covers(both) && right.covers(both));
            }
        }
    }
}
