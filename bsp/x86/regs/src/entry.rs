//! Entries of translation tables: of processes and of SVM's nested tables, which have the same
//! layout, and of VMX's extended page tables.

use bitfield_struct::bitfield;

/// Entries of every table.
pub const ENTRIES: u64 = 512;

/// An entry of a process's table (SDM 3A, "4-Level Paging") or of a nested table (APM, "Nested
/// Paging").
///
/// Nested tables are walked as if by user mode: `user` is set in all of their entries.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Pte {
    /// The entry is in use.
    pub present: bool,
    /// Writes are allowed.
    pub write: bool,
    /// User mode may access the page.
    pub user: bool,
    /// Page-level write-through: bit 0 of the PAT index.
    pub write_through: bool,
    /// Page-level cache disable: bit 1 of the PAT index.
    pub cache_disable: bool,
    /// The page was accessed, or a table was walked.
    pub accessed: bool,
    /// The page was written; ignored in a table entry.
    pub dirty: bool,
    /// In a 1 GiB or 2 MiB level: a leaf. In a 4 KiB level it is bit 2 of the PAT index.
    pub large: bool,
    /// The mapping is in every address space.
    pub global: bool,
    /// For software.
    #[bits(3)]
    pub software: u8,
    /// Physical page number.
    #[bits(40)]
    pub frame: u64,
    /// For software.
    #[bits(7)]
    pub software_high: u8,
    /// Protection key, with CR4.PKE.
    #[bits(4)]
    pub key: u8,
    /// No fetches, with EFER.NXE.
    pub no_execute: bool,
}

impl Pte {
    /// Returns an entry for a table; access is decided by the leaves below it.
    #[must_use]
    pub const fn table(frame: u64) -> Self {
        Self::new()
            .with_present(true)
            .with_write(true)
            .with_user(true)
            .with_frame(frame)
    }

    /// Returns a leaf that can be read from user mode; `large` in every level but the last.
    #[must_use]
    pub const fn user_leaf(frame: u64, write: bool, execute: bool) -> Self {
        Self::table(frame)
            .with_write(write)
            .with_no_execute(!execute)
            .with_accessed(true)
            .with_dirty(write)
    }

    /// Returns the leaf with memory type uncached: entry 3 of the PAT as it is after reset.
    #[must_use]
    pub const fn uncached(self) -> Self {
        self.with_write_through(true).with_cache_disable(true)
    }
}

/// An entry of an extended page table (SDM 3C, "EPT Translation Mechanism").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct EptEntry {
    /// Reads are allowed.
    pub read: bool,
    /// Writes are allowed; never without `read`.
    pub write: bool,
    /// Fetches are allowed; without `read` only where IA32_VMX_EPT_VPID_CAP says so.
    pub execute: bool,
    /// Memory type of a leaf; 0 in a table entry.
    #[bits(3)]
    pub memory_type: u8,
    /// The guest's PAT is ignored; 0 in a table entry.
    pub ignore_pat: bool,
    /// In a 1 GiB or 2 MiB level: a leaf.
    pub large: bool,
    /// The page was accessed, where the EPT pointer enables it.
    pub accessed: bool,
    /// The page was written, where the EPT pointer enables it.
    pub dirty: bool,
    #[bits(2)]
    __: u8,
    /// Physical page number.
    #[bits(40)]
    pub frame: u64,
    #[bits(12)]
    __: u16,
}

impl EptEntry {
    /// Memory type: uncached.
    pub const UNCACHED: u8 = 0;
    /// Memory type: write-back.
    pub const WRITE_BACK: u8 = 6;

    /// Returns an entry for a table; access is decided by the leaves below it.
    #[must_use]
    pub const fn table(frame: u64) -> Self {
        Self::new()
            .with_read(true)
            .with_write(true)
            .with_execute(true)
            .with_frame(frame)
    }

    /// Returns a readable leaf; `large` in every level but the last.
    #[must_use]
    pub const fn leaf(frame: u64, write: bool, execute: bool) -> Self {
        Self::table(frame)
            .with_write(write)
            .with_execute(execute)
            .with_memory_type(Self::WRITE_BACK)
            .with_accessed(true)
            .with_dirty(write)
    }

    /// Returns the leaf with memory type uncached, whatever the guest's PAT says.
    #[must_use]
    pub const fn uncached(self) -> Self {
        self.with_memory_type(Self::UNCACHED).with_ignore_pat(true)
    }

    /// Returns whether the entry is in use: some access is allowed.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.read() || self.write() || self.execute()
    }
}

#[cfg(test)]
mod tests {
    use super::{EptEntry, Pte};
    use proptest::prelude::*;

    #[test]
    fn entry_bits_lie_where_the_manual_puts_them() {
        assert_eq!(Pte::table(0x12345).into_bits(), 0x1234_5007);
        let leaf = Pte::user_leaf(0x12345, true, true);
        assert_eq!(leaf.into_bits(), 0x1234_5067);
        assert_eq!(leaf.with_large(true).into_bits(), 0x1234_50e7);
        assert_eq!(leaf.uncached().into_bits(), 0x1234_507f);
        assert_eq!(
            Pte::user_leaf(1, false, false).into_bits(),
            1 << 63 | 0x1025
        );
        assert_eq!(Pte::new().with_global(true).into_bits(), 1 << 8);
        assert_eq!(Pte::new().with_key(15).into_bits(), 15 << 59);
    }

    #[test]
    fn extended_entry_bits_lie_where_the_manual_puts_them() {
        assert_eq!(EptEntry::table(0x12345).into_bits(), 0x1234_5007);
        let leaf = EptEntry::leaf(0x12345, true, true);
        assert_eq!(leaf.into_bits(), 0x1234_5337);
        assert_eq!(leaf.with_large(true).into_bits(), 0x1234_53b7);
        assert_eq!(leaf.uncached().into_bits(), 0x1234_5347);
        assert_eq!(EptEntry::leaf(1, false, false).into_bits(), 0x1131);
    }

    proptest! {
        #[test]
        fn the_frame_and_the_flags_do_not_meet(frame in 0u64..1 << 40, write: bool, execute: bool) {
            let pte = Pte::user_leaf(frame, write, execute);
            prop_assert_eq!((pte.frame(), pte.write(), !pte.no_execute()), (frame, write, execute));
            let ept = EptEntry::leaf(frame, write, execute);
            prop_assert_eq!((ept.frame(), ept.write(), ept.execute()), (frame, write, execute));
            prop_assert!(ept.is_present());
        }
    }
}
