//! Translation tables: of the kernel, of processes, and of guests.
//!
//! The upper half is the kernel's: physical memory from [`DIRECT_MAP`] on, and the image and device
//! registers in the last 2 GiB.

use crate::cpu;
use crate::entry::{DIRECT_MAP, LOAD_OFFSET};
use abi::{PAGE_SHIFT, PAGE_SIZE, Rights};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use kernel::arch::{Level, Memory, Stage, TableEntry};
use kernel::boot::Range;
use x86_regs::{Cr4, EptEntry, Pte};

/// One page of table entries.
#[repr(C, align(4096))]
pub struct Table(pub [AtomicU64; 512]);

impl Table {
    /// Makes an empty table.
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }
}

/// The kernel's root table; its upper half is part of every process's.
pub static ROOT: Table = Table::new();
/// The direct map: 512 GiB.
pub static DIRECT: Table = Table::new();
/// The direct map's first 4 GiB, in 2 MiB pages.
pub static DIRECT_LOW: [Table; 4] = [const { Table::new() }; 4];
/// The last 512 GiB.
pub static KERNEL: Table = Table::new();
/// The kernel's gibibyte.
pub static IMAGE: Table = Table::new();
/// The kernel's image, in pages: 4 MiB.
static LEAVES: [Table; 2] = [const { Table::new() }; 2];
/// Device registers of the kernel: the last 2 MiB of the kernel's gibibyte.
static DEVICES: Table = Table::new();

/// Address of the first page of `DEVICES`.
const DEVICE_PAGES: u64 = LOAD_OFFSET + (511 << 21);

/// Levels of processes' tables and of both kinds of second-stage tables.
const LEVELS: &[Level] = &[
    level(39, false),
    level(30, false),
    level(21, true),
    level(12, true),
];
/// The same where the processor has pages of 1 GiB.
const HUGE_LEVELS: &[Level] = &[
    level(39, false),
    level(30, true),
    level(21, true),
    level(12, true),
];

/// First address that is no process's: that of the last page of the lower half, so that the address
/// behind a system call is always canonical.
pub const USER_END: u64 = (1 << 47) - PAGE_SIZE;

/// Process-context identifiers that CR3 can hold. Without CR4.PCIDE they only name spaces.
pub const SPACE_TAGS: u64 = 1 << 12;

/// Returns the shape of a level.
const fn level(shift: u32, leaf: bool) -> Level {
    Level {
        shift,
        bits: 9,
        leaf,
    }
}

/// The kind of second-stage tables that the processor walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondStage {
    /// SVM's nested tables, which look like a process's.
    Nested,
    /// VMX's extended page tables.
    Extended,
}

/// What the processor's translation has, found out before the kernel is made.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Pages of 1 GiB.
    pub huge: bool,
    /// Process-context identifiers, and INVPCID.
    pub tags: bool,
}

/// Whether the processor has tags, for the methods that run often.
static HAS_TAGS: AtomicBool = AtomicBool::new(false);
/// Whether it has pages of 1 GiB.
static IS_HUGE: AtomicBool = AtomicBool::new(false);

impl Features {
    /// Asks the processor, and remembers the answer.
    pub fn find() -> Self {
        const HUGE: u32 = 1 << 26;
        const TAGS: u32 = 1 << 17;
        const INVALIDATE: u32 = 1 << 10;
        let found = Self {
            huge: cpu::identify(0x8000_0001, 0).edx & HUGE != 0,
            tags: cpu::identify(1, 0).ecx & TAGS != 0 && cpu::identify(7, 0).ebx & INVALIDATE != 0,
        };
        HAS_TAGS.store(found.tags, Ordering::Relaxed);
        IS_HUGE.store(found.huge, Ordering::Relaxed);
        found
    }
}

/// Returns whether the processor has tags.
#[inline(always)]
pub fn has_tags() -> bool {
    HAS_TAGS.load(Ordering::Relaxed)
}

/// Leaves of 1 GiB are not used: guests' tables have none.
pub fn have_no_huge_leaves() {
    IS_HUGE.store(false, Ordering::Relaxed);
}

/// Returns the levels of every kind of table.
#[inline(always)]
pub fn levels() -> &'static [Level] {
    if IS_HUGE.load(Ordering::Relaxed) {
        HUGE_LEVELS
    } else {
        LEVELS
    }
}

/// `Pte::software` of an entry that is not present and keeps memory without any access in its
/// place. In an extended entry these are bits that the processor ignores.
const RESERVED_LEAF: u8 = 1;

/// How many kinds of access there are: bits of reading, writing and executing.
const ACCESSES: usize = 8;
/// Leaves of page 0: of processes and nested tables, and extended ones; of memory, and of devices;
/// by the bits of their access.
static FIRST_LEAVES: [[[u64; ACCESSES]; 2]; 2] = {
    let mut leaves = [[[0; ACCESSES]; 2]; 2];
    let mut bits = 0;
    while bits < ACCESSES {
        let access = Rights::from_bits(bits as u16);
        let mut device = 0;
        while device < 2 {
            leaves[0][device][bits] = first_leaf(access, device == 1);
            leaves[1][device][bits] = first_extended_leaf(access, device == 1);
            device += 1;
        }
        bits += 1;
    }
    leaves
};

/// Makes the entry for page 0 without any access.
const FIRST_KEPT: u64 = Pte::new().with_software(RESERVED_LEAF).into_bits();

/// Makes the leaf of page 0 of a process, or of a nested table.
const fn first_leaf(access: Rights, device: bool) -> u64 {
    if access.into_bits() == 0 {
        return FIRST_KEPT;
    }
    let entry = Pte::user_leaf(0, access.write(), access.execute()).with_large(true);
    if device { entry.uncached() } else { entry }.into_bits()
}

/// Makes the leaf of page 0 of an extended table.
const fn first_extended_leaf(access: Rights, device: bool) -> u64 {
    if access.into_bits() == 0 {
        return FIRST_KEPT;
    }
    let entry = EptEntry::leaf(0, access.write(), access.execute()).with_large(true);
    if device { entry.uncached() } else { entry }.into_bits()
}

/// Makes an entry for memory. Without any access it is one that is not present and not empty.
///
/// Bit 7 is set in every leaf: it makes a leaf of an entry of a higher level, and in the last level
/// it is bit 2 of the PAT index (ignored in an extended page table), where entries 4 to 7 of the
/// PAT equal entries 0 to 3, as after reset. So the entry is the same at every level.
#[inline(always)]
pub fn leaf(format: Option<SecondStage>, memory: Memory) -> u64 {
    let access = usize::from(memory.access.into_bits()) & (ACCESSES - 1);
    let is_extended = format == Some(SecondStage::Extended);
    let [leaves, extended] = &FIRST_LEAVES;
    let leaves = if is_extended { extended } else { leaves };
    leaves[usize::from(memory.device)][access] | memory.physical
}

/// Makes an entry for a table.
pub fn table(format: Option<SecondStage>, physical: u64) -> u64 {
    let frame = physical >> PAGE_SHIFT;
    match format {
        Some(SecondStage::Extended) => EptEntry::table(frame).into_bits(),
        Some(SecondStage::Nested) | None => Pte::table(frame).into_bits(),
    }
}

/// Reads an entry.
#[inline(never)]
pub fn decode(format: Option<SecondStage>, entry: u64, level: &Level) -> TableEntry {
    let (is_present, is_large, frame, access) = if format == Some(SecondStage::Extended) {
        let entry = EptEntry::from_bits(entry);
        let access = access(entry.read(), entry.write(), entry.execute());
        (entry.is_present(), entry.large(), entry.frame(), access)
    } else {
        let entry = Pte::from_bits(entry);
        let access = access(true, entry.write(), !entry.no_execute());
        (entry.present(), entry.large(), entry.frame(), access)
    };
    let physical = frame << PAGE_SHIFT;
    if !is_present {
        match Pte::from_bits(entry).software() {
            RESERVED_LEAF => TableEntry::Leaf {
                physical,
                access: Rights::new(),
            },
            _ => TableEntry::Empty,
        }
    } else if level.shift == PAGE_SHIFT || is_large {
        TableEntry::Leaf { physical, access }
    } else {
        TableEntry::Table(physical)
    }
}

/// Returns the format of a stage's entries; `None` is a process's.
pub fn format(stage: Stage, second: Option<SecondStage>) -> Option<SecondStage> {
    match stage {
        Stage::User => None,
        Stage::Guest => second,
    }
}

/// Returns access rights.
const fn access(read: bool, write: bool, execute: bool) -> Rights {
    Rights::new()
        .with_read(read)
        .with_write(write)
        .with_execute(execute)
}

/// Copies the kernel's half into a process's root table.
pub fn initialise_root(root: &[AtomicU64]) {
    let halves = root.split_at(256).1.iter().zip(&ROOT.0[256..]);
    for (to, from) in halves {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Returns the physical address of something in the kernel's image.
pub fn physical_of<T>(item: *const T) -> u64 {
    item as u64 - LOAD_OFFSET
}

/// Returns the address at which the kernel sees physical memory.
pub const fn virtual_of(physical: u64) -> u64 {
    DIRECT_MAP + physical
}

/// Lets the direct map reach to 512 GiB where the processor has pages of 1 GiB; returns its end.
pub fn extend_direct_map(features: Features) -> u64 {
    if !features.huge {
        return 4 << 30;
    }
    for (index, entry) in DIRECT.0.iter().enumerate().skip(4) {
        let frame = (index as u64) << (30 - PAGE_SHIFT);
        let pte = kernel_leaf(frame, true, false).with_large(true);
        entry.store(pte.into_bits(), Ordering::Relaxed);
    }
    512 << 30
}

/// Makes a leaf of the kernel's.
#[inline(never)]
fn kernel_leaf(frame: u64, write: bool, execute: bool) -> Pte {
    Pte::user_leaf(frame, write, execute)
        .with_user(false)
        .with_global(true)
}

/// Makes a kernel's entry for a table.
fn kernel_table(table: &'static Table) -> Pte {
    Pte::table(physical_of(table) >> PAGE_SHIFT).with_user(false)
}

/// Maps a page of device registers; returns the address of `physical`.
pub fn map_device(physical: u64) -> u64 {
    let table = kernel_table(&DEVICES).into_bits();
    IMAGE.0[511].store(table, Ordering::Relaxed);
    let leaf = kernel_leaf(physical >> PAGE_SHIFT, true, false).uncached();
    for (index, entry) in DEVICES.0.iter().enumerate() {
        let address = DEVICE_PAGES + index as u64 * PAGE_SIZE;
        match entry.load(Ordering::Relaxed) {
            0 => entry.store(leaf.into_bits(), Ordering::Relaxed),
            bits if Pte::from_bits(bits) != leaf => continue,
            _ => {}
        }
        return address + physical % PAGE_SIZE;
    }
    panic!("more device registers than the kernel has room for")
}

/// Returns a 32-bit device register at an address in a page that `map_device` mapped.
pub fn device_register(address: u64) -> &'static AtomicU32 {
    let pointer = address as *const AtomicU32;
    // SAFETY: the callers name registers in a page that `map_device` mapped for ever; they are
    // words of 32 bits that take aligned accesses, and any value.
    unsafe { &*pointer }
}

/// Replaces the boot mapping of the kernel's image by one in which nothing is both writable and
/// executable, makes the direct map data only, and drops the one-to-one mapping.
pub fn protect_kernel() {
    let start = &raw const crate::entry::_image_start as u64;
    let text = &raw const crate::entry::_text_end as u64;
    let rodata = &raw const crate::entry::_rodata_end as u64;
    let end = &raw const crate::entry::_image_end as u64;
    assert!(end - start <= 4 << 20, "the kernel's image fits two tables");
    let leaves = LEAVES.iter().flat_map(|table| &table.0);
    for (index, entry) in leaves.enumerate() {
        let address = start + index as u64 * PAGE_SIZE;
        if address >= end {
            break;
        }
        let frame = (address - LOAD_OFFSET) >> PAGE_SHIFT;
        let pte = kernel_leaf(frame, address >= rodata, address < text);
        entry.store(pte.into_bits(), Ordering::Relaxed);
    }
    let first = usize::try_from((start >> 21) & 511).unwrap_or(0);
    for (index, entry) in IMAGE.0.iter().enumerate().take(511) {
        let table = index.checked_sub(first).and_then(|index| LEAVES.get(index));
        let pte = table.map_or(Pte::new(), kernel_table);
        entry.store(pte.into_bits(), Ordering::Relaxed);
    }
    let direct = kernel_table(&DIRECT).with_no_execute(true);
    ROOT.0[256].store(direct.into_bits(), Ordering::Relaxed);
    ROOT.0[0].store(0, Ordering::Relaxed);
    flush_kernel();
}

/// Returns the physical pages of the code that only runs before the first process.
pub fn boot_code() -> Range {
    let base = physical_of(&raw const crate::entry::_image_start);
    Range {
        base,
        length: physical_of(&raw const crate::entry::_boot_end) - base,
    }
}

/// Takes the boot code out of the kernel's image, in which it comes first. The other cores drop
/// their translations before they run anything but the kernel's start.
pub fn forget_boot_code() {
    let pages = usize::try_from(boot_code().length / PAGE_SIZE).unwrap_or(0);
    for entry in LEAVES.iter().flat_map(|table| &table.0).take(pages) {
        entry.store(0, Ordering::Relaxed);
    }
    flush_kernel();
}

/// Drops all translations of this core, the kernel's included.
pub fn flush_kernel() {
    let global = Cr4::new().with_page_global(true).into_bits();
    let control = cpu::cr4();
    cpu::set_cr4(control & !global);
    cpu::set_cr3(cpu::cr3());
    cpu::set_cr4(control);
}

/// Returns what CR3 is for a root table; its cached translations under `tag` stay valid.
pub fn root_word(root: u64, tag: u64) -> u64 {
    const KEEP: u64 = 1 << 63;
    if has_tags() { root | tag | KEEP } else { root }
}

/// Drops cached translations of a space on this core.
#[inline(never)]
pub fn flush_space(tag: u64) {
    if has_tags() {
        cpu::invalidate(1, tag, 0);
    } else {
        cpu::set_cr3(cpu::cr3());
    }
}

/// Drops cached translations of all spaces on this core, but not the kernel's.
pub fn flush_all_spaces() {
    if has_tags() {
        cpu::invalidate(3, 0, 0);
    } else {
        cpu::set_cr3(cpu::cr3());
    }
}

/// Drops the translation of one page of a space on this core.
#[inline(never)]
pub fn flush_page(tag: u64, address: u64) {
    if has_tags() {
        cpu::invalidate(0, tag, address);
    } else {
        cpu::invalidate_page(address);
    }
}
