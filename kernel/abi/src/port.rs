//! Ranges of I/O ports.

use bitfield_struct::bitfield;

/// The ports that an IoPorts capability is about: its badge, which `Mint` sets once. The first
/// capability has none, and is about all of them.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// How many there are; never 0 in a capability that `Mint` made narrower.
    #[bits(48)]
    pub count: u64,
}

impl PortRange {
    /// Returns whether an access of `size` bytes at `port` lies in the range, and is one to ports.
    #[must_use]
    pub const fn holds(self, port: u64, size: u64) -> bool {
        let (first, count) = match self.into_bits() {
            0 => (0, 1 << 16),
            _ => (self.first() as u64, self.count()),
        };
        // Neither is so large that the sum wraps.
        let end = first + count;
        let end = if end < 1 << 16 { end } else { 1 << 16 };
        port >= first && port < end && size <= end - port
    }
}

#[cfg(test)]
mod tests {
    use super::PortRange;

    #[test]
    fn an_access_lies_in_a_range_with_its_first_and_its_last_byte() {
        let range = PortRange::new().with_first(0x3f8).with_count(8);
        assert!(range.holds(0x3f8, 1) && range.holds(0x3ff, 1) && range.holds(0x3fc, 4));
        for (port, size) in [(0x3f7, 1), (0x3f7, 2), (0x3ff, 2), (0x3fd, 4), (0x400, 1)] {
            assert!(!range.holds(port, size), "{port:#x} {size}");
        }
    }

    #[test]
    fn no_range_has_more_ports_than_the_machine() {
        for range in [PortRange::new(), PortRange::from_bits(u64::MAX << 16)] {
            assert!(range.holds(0xffff, 1) && range.holds(0xfffc, 4));
            for (port, size) in [(0xffff, 2), (0xfffd, 4), (1 << 16, 1), (u64::MAX, 4)] {
                assert!(!range.holds(port, size), "{port:#x} {size}");
            }
        }
        assert!(!PortRange::from_bits(u64::MAX).holds(0xffff, 2));
    }

    #[test]
    fn a_range_of_no_ports_holds_none() {
        let range = PortRange::new().with_first(0x3f8);
        assert!(!range.holds(0x3f8, 1));
    }
}
