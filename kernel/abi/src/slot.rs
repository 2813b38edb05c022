//! How a call names a capability slot.

/// Names a slot: one of the caller's own table, or one of a table that the caller has a
/// capability to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotAddress {
    /// Slot of the caller's own table that holds the CapTable capability; 0 is the own table.
    pub table: u32,
    /// Index in that table. Index 0 is never used.
    pub index: u32,
}

impl SlotAddress {
    /// Returns the address of a slot of the caller's own table.
    #[must_use]
    pub const fn own(index: u32) -> Self {
        Self { table: 0, index }
    }

    /// Returns the address of slot `index` in the table that own slot `table` names.
    #[must_use]
    pub const fn within(table: u32, index: u32) -> Self {
        Self { table, index }
    }

    /// Returns the register form: table in the upper half, index in the lower.
    #[must_use]
    pub const fn into_bits(self) -> u64 {
        ((self.table as u64) << 32) | self.index as u64
    }

    /// Returns the address that a register holds; every value is one.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves are what is wanted"
    )]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            table: (bits >> 32) as u32,
            index: bits as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SlotAddress;

    #[test]
    fn a_slot_address_survives_its_register() {
        let address = SlotAddress::within(0xffff_fffe, 7);
        assert_eq!(SlotAddress::from_bits(address.into_bits()), address);
        assert_eq!(SlotAddress::from_bits(5), SlotAddress::own(5));
    }
}
