//! Translation tables and the TLB (PoP chapter 3, "Dynamic Address Translation").
//!
//! Processes have a region-third table of one page (512 entries: 1 TiB), segment tables and page
//! tables. The kernel runs with DAT off: it has no part in any table, its own accesses need no
//! translation, and an interruption changes neither space nor translations.

use crate::{float, percore};
use abi::{PAGE_SHIFT, PAGE_SIZE, Rights};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use kernel::arch::{Level, LiveEntry, Memory, Stage, TableEntry};
use s390_regs::entry::{INDEX_BITS, PAGE_INDEX_BITS, PAGE_TABLE_BYTES};
use s390_regs::{Asce, PageEntry, RegionEntry, SegmentEntry, TableType};

/// Base-two logarithm of the entries of a root table, which is shorter than the machine's longest.
const ROOT_BITS: u32 = 9;
/// What the address of each level's index begins with.
const REGION_SHIFT: u32 = TableType::RegionThird.shift();
/// As `REGION_SHIFT`.
const SEGMENT_SHIFT: u32 = TableType::Segment.shift();

/// Levels of processes' and guests' tables.
pub const LEVELS: &[Level] = &[
    Level {
        shift: REGION_SHIFT,
        bits: ROOT_BITS,
        leaf: false,
    },
    Level {
        shift: SEGMENT_SHIFT,
        bits: INDEX_BITS,
        leaf: false,
    },
    Level {
        shift: PAGE_SHIFT,
        bits: PAGE_INDEX_BITS,
        leaf: true,
    },
];

/// First address that a root table does not reach.
pub const USER_END: u64 = 1 << (REGION_SHIFT + ROOT_BITS);

/// The machine has no numbers for spaces: the TLB tells them apart by their ASCE.
pub const SPACE_TAGS: u64 = 1 << 12;

/// `PageEntry::software` of an invalid entry that keeps memory without any access in its place. Where
/// it is even, there is no memory, and it is the storage key that the guest's page had.
const RESERVED_LEAF: u8 = 1;

/// Whether the machine keeps processes from executing pages (facility 130).
static HAS_NO_EXECUTE: AtomicBool = AtomicBool::new(false);
/// Number of the instruction-execution-protection facility.
const EXECUTION_PROTECTION: u64 = 130;

/// Finds out what the machine has; returns whether it keeps pages from being executed.
pub fn probe() -> bool {
    let mut facilities = [0_u64; 4];
    // SAFETY: STFLE stores at most as many doublewords as r0 says plus one, at that address.
    unsafe {
        asm!(
            ".insn s, 0xb2b00000, 0({})",
            in(reg_addr) facilities.as_mut_ptr(),
            inout("r0") facilities.len() as u64 - 1 => _,
            options(nostack)
        );
    }
    let [.., third, _] = facilities;
    let has = third >> (63 - EXECUTION_PROTECTION % 64) & 1 == 1;
    HAS_NO_EXECUTE.store(has, Ordering::Relaxed);
    has
}

/// Entries that one instruction compares.
const COMPARED: usize = 256 / size_of::<AtomicU64>();

/// Returns whether each entry of a table is `value`: the first one is, and each is what the next one
/// is, which a storage operand can tell of many at once.
pub fn is_filled(table: &[AtomicU64], value: u64) -> bool {
    let Some((first, others)) = table.split_first() else {
        return true;
    };
    let mut blocks = others.chunks(COMPARED).zip(table.chunks(COMPARED));
    first.load(Ordering::Relaxed) == value
        && blocks.all(|(next, block)| match next.len() {
            COMPARED => is_same(next, block),
            _ => next
                .iter()
                .all(|entry| entry.load(Ordering::Relaxed) == value),
        })
}

/// Returns whether two blocks of [`COMPARED`] entries are the same.
fn is_same(one: &[AtomicU64], other: &[AtomicU64]) -> bool {
    assert!(one.len() >= COMPARED && other.len() >= COMPARED);
    let condition: u64;
    // SAFETY: CLC reads as many bytes at both addresses as the blocks have, as was just checked, and
    // changes the condition code alone.
    unsafe {
        asm!(
            "clc 0(256,{one}),0({other})",
            "ipm {condition}",
            one = in(reg_addr) one.as_ptr(),
            other = in(reg_addr) other.as_ptr(),
            condition = out(reg) condition,
            options(nostack, readonly)
        );
    }
    condition >> 28 & 3 == 0
}

/// Copies words, up to 256 bytes with each instruction.
#[inline(always)]
pub fn copy(from: &[AtomicU64], to: &[AtomicU64]) -> bool {
    let bytes = from.len().min(to.len()) as u64 * 8;
    if bytes == 0 {
        return true;
    }
    // SAFETY: MVC reads and writes as many bytes as both slices have; they are made of atomics, and
    // memory of users.
    unsafe {
        asm!(
            "srlg {blocks}, {last}, 8",
            "ltgr {blocks}, {blocks}",
            "jz 3f",
            "2:  mvc 0(256,{to}),0({from})",
            "la {to}, 256({to})",
            "la {from}, 256({from})",
            "brctg {blocks}, 2b",
            "3:  exrl {last}, 4f",
            "j 5f",
            "4:  mvc 0(1,{to}),0({from})",
            "5:",
            // EXECUTE takes the eight lowest bits of how many bytes follow the first.
            last = in(reg_addr) bytes - 1,
            blocks = out(reg) _,
            to = inout(reg_addr) to.as_ptr() => _,
            from = inout(reg_addr) from.as_ptr() => _,
            options(nostack)
        );
    }
    true
}

/// Leaves of page 0 by the bits of their access: read, write, execute.
static FIRST_LEAVES: [u64; 8] = {
    let mut leaves = [0; 8];
    let mut bits: u16 = 0;
    while bits < 8 {
        let access = Rights::from_bits(bits);
        let entry = PageEntry::leaf(0, access.write(), access.execute());
        let kept = entry.with_invalid(true).with_software(RESERVED_LEAF);
        leaves[bits as usize] = if bits == 0 { kept } else { entry }.into_bits();
        bits += 1;
    }
    leaves
};

/// Makes an entry for memory. There is no device memory: all I/O is instructions.
#[inline(always)]
pub fn leaf(memory: Memory) -> u64 {
    // Without the facility the bit means something else, or nothing.
    let all = if HAS_NO_EXECUTE.load(Ordering::Relaxed) {
        Rights::new()
    } else {
        Rights::new().with_execute(true)
    };
    let access = memory.access.into_bits();
    let access = if access == 0 {
        0
    } else {
        access | all.into_bits()
    };
    FIRST_LEAVES[usize::from(access & 7)] | memory.physical
}

/// Makes an entry of a table of this level for a table of the next one.
pub const fn table(level: &Level, physical: u64) -> u64 {
    if level.shift == REGION_SHIFT {
        let frame = physical >> PAGE_SHIFT;
        RegionEntry::table_at(TableType::RegionThird, frame).into_bits()
    } else {
        SegmentEntry::page_table_at(physical).into_bits()
    }
}

/// Returns an entry that is not in use.
pub const fn empty(level: &Level) -> u64 {
    match level.shift {
        REGION_SHIFT => RegionEntry::EMPTY.into_bits(),
        SEGMENT_SHIFT => SegmentEntry::EMPTY.into_bits(),
        _ => PageEntry::EMPTY.into_bits(),
    }
}

/// Reads an entry.
pub fn decode(entry: u64, level: &Level) -> TableEntry {
    match level.shift {
        REGION_SHIFT => {
            let entry = RegionEntry::from_bits(entry);
            below(entry.invalid(), entry.frame() << PAGE_SHIFT)
        }
        SEGMENT_SHIFT => {
            let entry = SegmentEntry::from_bits(entry);
            below(entry.invalid(), entry.page_table_address())
        }
        _ => decode_page(PageEntry::from_bits(entry)),
    }
}

/// Returns what an entry for a table says.
const fn below(invalid: bool, table: u64) -> TableEntry {
    if invalid {
        TableEntry::Empty
    } else {
        TableEntry::Table(table)
    }
}

/// Reads an entry of a page table.
fn decode_page(entry: PageEntry) -> TableEntry {
    let physical = entry.frame() << PAGE_SHIFT;
    let access = match (entry.invalid(), entry.software()) {
        (true, RESERVED_LEAF) => Rights::new(),
        (true, _) => return TableEntry::Empty,
        (false, _) => Rights::new()
            .with_read(true)
            .with_write(!entry.protect())
            .with_execute(!entry.no_execute()),
    };
    TableEntry::Leaf { physical, access }
}

/// Bit of CSPG's address operand: all CPUs drop what they remember of any table.
const PURGE: u64 = 1;

/// Changes an entry of a table that CPUs may be using. A valid entry must not be stored to while a
/// CPU may use it (PoP chapter 3, "Modification of Translation Tables"): a page entry that goes is
/// invalidated, any other valid one is exchanged, and all CPUs drop it.
pub fn replace(place: &LiveEntry<'_>, entry: u64) {
    let old = place.word.load(Ordering::Relaxed);
    let is_page = place.level.shift == PAGE_SHIFT;
    let is_used = !is_invalid(old, is_page);
    if is_used && !(is_page && is_invalid(entry, is_page)) {
        compare_and_swap_and_purge(place.word, old, entry);
        return;
    }
    if is_used {
        invalidate_page(place);
    }
    let entry = if is_page && place.stage == Stage::Guest {
        keep_key(PageEntry::from_bits(old), PageEntry::from_bits(entry)).into_bits()
    } else {
        entry
    };
    place.word.store(entry, Ordering::Release);
}

/// Lets the storage key of a guest's page stay with its address, whichever memory is there: it is in
/// the entry's software bits while there is none. So a guest's keys are still there when its page was
/// moved, and memory of another one comes without that one's. Returns the entry to be stored.
fn keep_key(old: PageEntry, entry: PageEntry) -> PageEntry {
    match (has_memory(old), has_memory(entry)) {
        (false, true) => set_storage_key(entry, old.software()),
        (true, false) => return entry.with_software(storage_key(old)),
        (true, true) | (false, false) => {}
    }
    entry
}

/// Returns whether an entry of a page table is for memory, with access to it or without.
fn has_memory(entry: PageEntry) -> bool {
    !entry.invalid() || entry.software() == RESERVED_LEAF
}

/// Returns the storage key of a page that an entry is for; its last bit is zero.
fn storage_key(entry: PageEntry) -> u8 {
    let mut key = 0_u64;
    // SAFETY: ISKE changes the last byte of a register; the page lies at its real address, which is in
    // no prefix area.
    unsafe {
        asm!(
            "iske {key}, {page}",
            key = inout(reg) key,
            page = in(reg) entry.frame() << PAGE_SHIFT,
            options(nomem, nostack, preserves_flags),
        );
    }
    key as u8
}

/// Sets the storage key of a page that an entry is for.
fn set_storage_key(entry: PageEntry, key: u8) {
    // SAFETY: the page lies at its real address, which is in no prefix area; no key refuses an access
    // with the key 0, which all of the host's have.
    unsafe {
        asm!(
            "sske {key}, {page}",
            key = in(reg) u64::from(key),
            page = in(reg) entry.frame() << PAGE_SHIFT,
            options(nomem, nostack, preserves_flags),
        );
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

/// Returns what names the space of a root table.
pub const fn space_of(root: u64) -> Asce {
    Asce::new()
        .with_frame(root >> PAGE_SHIFT)
        .with_root(TableType::RegionThird)
}

/// Returns the ASCE of a root table as [`load`] takes it; `None` is the real space, without a table.
pub fn primary(root: Option<u64>) -> u64 {
    root.map_or(Asce::new().with_real_space(true), space_of)
        .into_bits()
}

/// Makes a space the primary one.
#[inline(always)]
pub fn load(space: u64) {
    let [_, place] = &percore::current().control;
    place.set(space);
    // SAFETY: LCTLG reads the word that was just set; the kernel's own code runs with DAT off.
    unsafe {
        asm!(
            "lctlg %c1, %c1, {place}",
            place = const percore::CONTROL + 8,
            options(nostack, preserves_flags, readonly),
        );
    }
    float::clear();
}

/// Drops all cached translations of this CPU.
pub fn flush_all() {
    // SAFETY: PTLB only drops cached translations.
    unsafe { asm!("ptlb", options(nostack, preserves_flags)) };
}

/// Returns the first two bytes of the instruction at an address of the current space.
pub fn instruction_at(address: u64) -> Option<u16> {
    let (real, condition): (u64, u64);
    // SAFETY: LRA translates by the primary space, whatever the PSW says, and accesses nothing else.
    unsafe {
        asm!(
            "lrag {real}, 0({address})",
            "ipm {condition}",
            "srlg {condition}, {condition}, 28",
            real = out(reg) real,
            condition = lateout(reg) condition,
            address = in(reg_addr) address,
            options(nostack, readonly)
        );
    }
    if condition & 3 != 0 || !real.is_multiple_of(2) {
        return None;
    }
    // SAFETY: what a process's table designates is memory, at its real address; it may hold anything
    // by now, and an atomic access of two aligned bytes reads it whatever it is.
    Some(unsafe { &*(real as *const AtomicU16) }.load(Ordering::Relaxed))
}
