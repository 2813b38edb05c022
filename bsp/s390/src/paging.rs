//! Translation tables and the TLB (PoP chapter 3, "Dynamic Address Translation").
//!
//! Processes have a segment table and page tables: 2 GiB. Larger spaces need region tables, whose
//! entries differ from segment entries: `Arch::table` would have to know the level. The kernel runs
//! with DAT off, so it has no part in any table.

use abi::{PAGE_SHIFT, PAGE_SIZE, Rights};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Level, LiveEntry, TableEntry};
use s390_regs::entry::{INDEX_BITS, PAGE_INDEX_BITS, PAGE_TABLE_BYTES};
use s390_regs::{Asce, PageEntry, SegmentEntry, TableType};

/// Levels of processes' and guests' tables.
pub const LEVELS: &[Level] = &[
    Level {
        shift: TableType::Segment.shift(),
        bits: INDEX_BITS,
        leaf: false,
    },
    Level {
        shift: PAGE_SHIFT,
        bits: PAGE_INDEX_BITS,
        leaf: true,
    },
];

/// First address that a segment table does not reach.
pub const USER_END: u64 = 1 << (TableType::Segment.shift() + INDEX_BITS);

/// The machine has no numbers for spaces: the TLB tells them apart by their ASCE.
pub const SPACE_TAGS: u64 = 1 << 12;

/// Makes an entry for memory, or an empty one. There is no device memory: all I/O is instructions.
pub fn leaf(physical: u64, access: Rights) -> u64 {
    if !(access.read() || access.write() || access.execute()) {
        return PageEntry::EMPTY.into_bits();
    }
    PageEntry::leaf(physical >> PAGE_SHIFT, access.write(), access.execute()).into_bits()
}

/// Makes an entry for a page table.
pub fn table(physical: u64) -> u64 {
    SegmentEntry::page_table_at(physical).into_bits()
}

/// Reads an entry. Zeros are no empty entry: they designate address 0.
pub fn decode(entry: u64, level: &Level) -> TableEntry {
    if level.shift != PAGE_SHIFT {
        let entry = SegmentEntry::from_bits(entry);
        return if entry.invalid() {
            TableEntry::Empty
        } else {
            TableEntry::Table(entry.page_table_address())
        };
    }
    let entry = PageEntry::from_bits(entry);
    if entry.invalid() {
        return TableEntry::Empty;
    }
    TableEntry::Leaf {
        physical: entry.frame() << PAGE_SHIFT,
        access: Rights::new()
            .with_read(true)
            .with_write(!entry.protect())
            .with_execute(!entry.no_execute()),
    }
}

/// Returns an entry that is not in use.
pub const fn empty(level: &Level) -> u64 {
    if level.shift == PAGE_SHIFT {
        PageEntry::EMPTY.into_bits()
    } else {
        SegmentEntry::EMPTY.into_bits()
    }
}

/// Bit of CSPG's address operand: all CPUs drop what they remember of any table.
const PURGE: u64 = 1;

/// Changes an entry of a table that CPUs may be using. A valid entry must not be stored to while a
/// CPU may use it (PoP chapter 3, "Modification of Translation Tables"): a page entry that goes is
/// invalidated, any other valid one is exchanged, and all CPUs drop it.
pub fn replace(place: &LiveEntry<'_>, entry: u64) {
    let is_page = place.level.shift == PAGE_SHIFT;
    let old = place.word.load(Ordering::Relaxed);
    if is_invalid(old, is_page) {
        place.word.store(entry, Ordering::Release);
    } else if is_page && is_invalid(entry, is_page) {
        invalidate_page(place);
        place.word.store(entry, Ordering::Relaxed);
    } else {
        compare_and_swap_and_purge(place.word, old, entry);
    }
}

/// Returns whether an entry's invalid bit is set.
const fn is_invalid(entry: u64, is_page: bool) -> bool {
    if is_page {
        PageEntry::from_bits(entry).invalid()
    } else {
        // It is the same bit in region and segment entries.
        SegmentEntry::from_bits(entry).invalid()
    }
}

/// Makes a page entry invalid; all CPUs drop its translation.
fn invalidate_page(place: &LiveEntry<'_>) {
    let table = place.word.as_ptr() as u64 & !(PAGE_TABLE_BYTES - 1);
    // SAFETY: the page table lies at its real address, and the entry that IPTE changes is the one of
    // `place`, an atomic: its index in the table is that of the address.
    unsafe {
        asm!(
            "ipte {table}, {address}",
            table = in(reg) table,
            address = in(reg) place.address & !(PAGE_SIZE - 1),
            options(nostack, preserves_flags),
        );
    }
}

/// Exchanges an entry that has this value; all CPUs drop all translations. Entries change under the
/// capability lock alone, so the old value is right.
fn compare_and_swap_and_purge(word: &AtomicU64, old: u64, new: u64) {
    // SAFETY: CSPG accesses the doubleword at the address without its last three bits, an atomic at
    // its real address.
    unsafe {
        asm!(
            ".insn rre, 0xb98a0000, %r0, {place}",
            place = in(reg_addr) word.as_ptr() as u64 | PURGE,
            inout("r0") old => _,
            in("r1") new,
            options(nostack),
        );
    }
}

/// Makes a segment table that of the primary space; `None` is the real space, without a table.
pub fn load(root: Option<u64>) {
    let space = match root {
        Some(root) => Asce::new().with_frame(root >> PAGE_SHIFT).with_length(3),
        None => Asce::new().with_real_space(true),
    };
    let space = space.into_bits();
    // SAFETY: LCTLG reads eight bytes at the address of `space`. The kernel runs with DAT off and
    // does not depend on the primary space.
    unsafe {
        asm!(
            "lctlg %c1, %c1, 0({})",
            in(reg_addr) &raw const space,
            options(nostack, preserves_flags, readonly)
        );
    }
}

/// Drops all cached translations of this CPU.
pub fn flush_all() {
    // SAFETY: PTLB only drops cached translations.
    unsafe { asm!("ptlb", options(nostack, preserves_flags)) };
}
