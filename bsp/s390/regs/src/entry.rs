//! Entries of translation tables (PoP chapter 3, "Dynamic Address Translation").
//!
//! A word of zeros is **not** an empty entry on this machine: it is valid and designates what lies
//! at address 0. Empty entries are [`RegionEntry::EMPTY`], [`SegmentEntry::EMPTY`] and
//! [`PageEntry::EMPTY`].

use bitfield_struct::bitfield;

/// What a table is, as an ASCE and the entries of the table itself say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TableType {
    /// Entries map 1 MiB each.
    Segment = 0,
    /// Entries map 2 GiB each.
    RegionThird = 1,
    /// Entries map 4 TiB each.
    RegionSecond = 2,
    /// Entries map 8 PiB each.
    RegionFirst = 3,
}

impl TableType {
    /// Returns the type that two bits encode.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Segment,
            1 => Self::RegionThird,
            2 => Self::RegionSecond,
            _ => Self::RegionFirst,
        }
    }

    /// Returns the two bits of this type.
    #[must_use]
    pub const fn into_bits(self) -> u8 {
        self as u8
    }

    /// Returns the base-two logarithm of the bytes that one entry maps.
    #[must_use]
    pub const fn shift(self) -> u32 {
        20 + 11 * self as u32
    }
}

/// Base-two logarithm of the entries of a whole region or segment table.
pub const INDEX_BITS: u32 = 11;
/// Base-two logarithm of the entries of a page table.
pub const PAGE_INDEX_BITS: u32 = 8;
/// Bytes of a page table, and its alignment.
pub const PAGE_TABLE_BYTES: u64 = 2048;

/// An entry of a region table that designates a table.
#[bitfield(u64, order = Msb)]
#[derive(PartialEq, Eq)]
pub struct RegionEntry {
    /// Page number of the next table.
    #[bits(52)]
    pub frame: u64,
    #[bits(2)]
    __: u8,
    /// Stores below are refused (with EDAT).
    pub protect: bool,
    __: bool,
    /// First page of the next table that exists.
    #[bits(2)]
    pub offset: u8,
    /// The entry is not in use.
    pub invalid: bool,
    __: bool,
    /// The table that this entry is in.
    #[bits(2)]
    pub table: TableType,
    /// Length of the next table in pages, minus one.
    #[bits(2)]
    pub length: u8,
}

impl RegionEntry {
    /// An entry of a region-third table that is not in use.
    pub const EMPTY: Self = Self::new()
        .with_invalid(true)
        .with_table(TableType::RegionThird);

    /// Returns an entry of a table of this type for a whole next table.
    #[must_use]
    pub const fn table_at(table: TableType, frame: u64) -> Self {
        Self::new()
            .with_frame(frame)
            .with_table(table)
            .with_length(3)
    }
}

/// An entry of a segment table that designates a page table.
#[bitfield(u64, order = Msb)]
#[derive(PartialEq, Eq)]
pub struct SegmentEntry {
    /// Address of the page table, divided by its size.
    #[bits(53)]
    pub page_table: u64,
    /// The entry designates memory (with EDAT); the layout is another one then.
    pub format: bool,
    /// Stores below are refused.
    pub protect: bool,
    #[bits(3)]
    __: u8,
    /// The entry is not in use.
    pub invalid: bool,
    /// The segment is shared among address spaces.
    pub common: bool,
    /// [`TableType::Segment`].
    #[bits(2)]
    pub table: TableType,
    #[bits(2)]
    __: u8,
}

impl SegmentEntry {
    /// An entry that is not in use.
    pub const EMPTY: Self = Self::new().with_invalid(true);

    /// Returns the entry for the page table at this address.
    #[must_use]
    pub const fn page_table_at(address: u64) -> Self {
        Self::new().with_page_table(address / PAGE_TABLE_BYTES)
    }

    /// Returns the address of the page table.
    #[must_use]
    pub const fn page_table_address(self) -> u64 {
        self.page_table() * PAGE_TABLE_BYTES
    }
}

/// An entry of a page table.
#[bitfield(u64, order = Msb)]
#[derive(PartialEq, Eq)]
pub struct PageEntry {
    /// Page number.
    #[bits(52)]
    pub frame: u64,
    /// Must be zero.
    reserved: bool,
    /// The entry is not in use.
    pub invalid: bool,
    /// Stores are refused.
    pub protect: bool,
    /// Fetches of instructions are refused, where CR0 enables that.
    pub no_execute: bool,
    /// For software.
    pub software: u8,
}

impl PageEntry {
    /// An entry that is not in use.
    pub const EMPTY: Self = Self::new().with_invalid(true);

    /// Returns an entry that can be read.
    #[must_use]
    pub const fn leaf(frame: u64, write: bool, execute: bool) -> Self {
        Self::new()
            .with_frame(frame)
            .with_protect(!write)
            .with_no_execute(!execute)
    }
}

#[cfg(test)]
mod tests {
    use super::{PageEntry, RegionEntry, SegmentEntry, TableType};
    use proptest::prelude::*;

    #[test]
    fn entry_bits_lie_where_the_manual_puts_them() {
        assert_eq!(PageEntry::EMPTY.into_bits(), 0x400);
        assert_eq!(PageEntry::leaf(5, true, true).into_bits(), 0x5000);
        assert_eq!(PageEntry::leaf(5, false, false).into_bits(), 0x5300);
        assert_eq!(SegmentEntry::EMPTY.into_bits(), 0x20);
        assert_eq!(SegmentEntry::page_table_at(0x1800).into_bits(), 0x1800);
        assert_eq!(SegmentEntry::new().with_format(true).into_bits(), 0x400);
        assert_eq!(SegmentEntry::new().with_protect(true).into_bits(), 0x200);
        assert_eq!(SegmentEntry::new().with_common(true).into_bits(), 0x10);
        assert_eq!(RegionEntry::EMPTY.into_bits(), 0x24);
        let third = RegionEntry::table_at(TableType::RegionThird, 8);
        assert_eq!(third.into_bits(), 0x8007);
        let second = RegionEntry::table_at(TableType::RegionSecond, 8);
        assert_eq!(second.into_bits(), 0x800b);
        assert_eq!(RegionEntry::new().with_offset(3).into_bits(), 0xc0);
    }

    #[test]
    fn each_table_maps_what_the_manual_says() {
        assert_eq!(TableType::Segment.shift(), 20);
        assert_eq!(TableType::RegionThird.shift(), 31);
        assert_eq!(TableType::RegionSecond.shift(), 42);
        assert_eq!(TableType::RegionFirst.shift(), 53);
    }

    #[test]
    fn zeros_are_a_valid_entry() {
        assert!(!PageEntry::from_bits(0).invalid());
        assert!(!SegmentEntry::from_bits(0).invalid());
        assert!(!RegionEntry::from_bits(0).invalid());
    }

    proptest! {
        #[test]
        fn the_frame_and_the_flags_do_not_meet(frame in 0u64..1 << 52, write: bool, execute: bool) {
            let entry = PageEntry::leaf(frame, write, execute);
            prop_assert_eq!(entry.frame(), frame);
            prop_assert_eq!((!entry.protect(), !entry.no_execute()), (write, execute));
            prop_assert!(!entry.invalid());
        }

        #[test]
        fn a_page_table_lies_on_a_multiple_of_its_size(table in 0u64..1 << 53) {
            let address = table * 2048;
            let entry = SegmentEntry::page_table_at(address);
            prop_assert_eq!(entry.page_table_address(), address);
            prop_assert!(!entry.invalid() && !entry.format());
        }
    }
}
