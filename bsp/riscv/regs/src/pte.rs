//! Page-table entries of Sv39/Sv48/Sv57 and of their x4 variants (II 10.4.1, 15.5.1).

use bitfield_struct::bitfield;

/// Entries of a table; a second-stage root has [`GUEST_ROOT_ENTRIES`].
pub const ENTRIES: u64 = 512;
/// Entries of the root of a second-stage table (the "x4").
pub const GUEST_ROOT_ENTRIES: u64 = 2048;

/// Base-two logarithm of the bytes that one entry of each level maps, leaves at level 0.
#[must_use]
pub const fn level_shift(level: u32) -> u32 {
    12 + 9 * level
}

/// Returns the index into a table of `level` (0 is the last) of an address.
#[must_use]
pub const fn index(address: u64, level: u32) -> u64 {
    (address >> level_shift(level)) & (ENTRIES - 1)
}

/// Returns the index into a second-stage root table of `level`.
#[must_use]
pub const fn guest_root_index(address: u64, level: u32) -> u64 {
    (address >> level_shift(level)) & (GUEST_ROOT_ENTRIES - 1)
}

/// One page-table entry.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Pte {
    /// The entry is in use.
    pub valid: bool,
    /// Reads are allowed.
    pub read: bool,
    /// Writes are allowed; never without `read`.
    pub write: bool,
    /// Fetches are allowed.
    pub execute: bool,
    /// User mode may access the page; always set in the second stage.
    pub user: bool,
    /// The mapping is in every address space; ignored in the second stage.
    pub global: bool,
    /// The page was accessed; where hardware does not set it, a clear bit faults.
    pub accessed: bool,
    /// The page was written; likewise.
    pub dirty: bool,
    /// For software.
    #[bits(2)]
    pub software: u8,
    /// Physical page number.
    #[bits(44)]
    pub ppn: u64,
    #[bits(7)]
    reserved: u8,
    /// Memory type (Svpbmt): 0 as the memory is, 1 not cached, 2 I/O.
    #[bits(2)]
    pub memory_type: u8,
    /// Part of a naturally aligned power-of-two group (Svnapot).
    pub napot: bool,
}

impl Pte {
    /// Returns an entry that points to the next table, at physical page `ppn`.
    #[must_use]
    pub const fn table(ppn: u64) -> Self {
        Self::new().with_valid(true).with_ppn(ppn)
    }

    /// Returns a leaf of the second stage: user, accessed and dirty are set, for the guest's
    /// accesses count as user mode and a clear A or D would fault where Svadu is missing.
    #[must_use]
    pub const fn guest_leaf(ppn: u64, write: bool, execute: bool) -> Self {
        Self::table(ppn)
            .with_read(true)
            .with_write(write)
            .with_execute(execute)
            .with_user(true)
            .with_accessed(true)
            .with_dirty(true)
    }

    /// Returns whether the entry maps memory.
    #[must_use]
    pub const fn is_leaf(self) -> bool {
        self.valid() && (self.read() || self.execute())
    }

    /// Returns whether the entry points to a table.
    #[must_use]
    pub const fn is_table(self) -> bool {
        self.valid() && !self.read() && !self.write() && !self.execute()
    }

    /// Returns whether the entry is valid but breaks a rule that makes every access fault:
    /// write without read, reserved bits, or A, D, U or a memory type in a table entry.
    #[must_use]
    pub const fn is_malformed(self) -> bool {
        let table_bits = self.user() || self.accessed() || self.dirty() || self.memory_type() != 0;
        self.valid()
            && ((self.write() && !self.read())
                || self.reserved() != 0
                || self.memory_type() == 3
                || (self.is_table() && (table_bits || self.napot())))
    }
}

#[cfg(test)]
mod tests {
    use super::{Pte, guest_root_index, index};
    use proptest::prelude::*;

    #[test]
    fn entry_bits_lie_where_the_manual_puts_them() {
        assert_eq!(
            Pte::guest_leaf(0x80000, true, true).into_bits(),
            0x80000 << 10 | 0xdf
        );
        assert_eq!(Pte::table(0x12345).into_bits(), 0x12345 << 10 | 1);
        assert_eq!(Pte::new().with_memory_type(3).into_bits(), 3 << 61);
        assert_eq!(Pte::new().with_napot(true).into_bits(), 1 << 63);
    }

    proptest! {
        #[test]
        fn an_entry_is_at_most_one_of_leaf_and_table(bits: u64) {
            let pte = Pte::from_bits(bits);
            prop_assert!(!(pte.is_leaf() && pte.is_table()));
            prop_assert!(pte.valid() || !(pte.is_leaf() || pte.is_table() || pte.is_malformed()));
        }

        #[test]
        fn indices_and_offset_make_up_the_address(address in 0u64..1 << 39) {
            let rebuilt = (0..3).fold(address & 0xfff, |sum, level| {
                sum | index(address, level) << (12 + 9 * level)
            });
            prop_assert_eq!(rebuilt, address);
        }

        #[test]
        fn the_wide_root_covers_two_more_bits(address in 0u64..1 << 41) {
            prop_assert_eq!(guest_root_index(address, 2), address >> 30);
        }
    }
}
