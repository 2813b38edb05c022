//! Translation tables: Sv39 for processes and the kernel, Sv39x4 for guests.

use crate::csr;
use crate::entry::{DIRECT_MAP, LOAD_OFFSET};
use abi::Rights;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Level, TableEntry};
use kernel::boot::Range;
use riscv_regs::pte::Pte;

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
/// The kernel's gibibyte, in megapages.
static MIDDLE: Table = Table::new();
/// The kernel's image, in pages: the first 4 MiB of its two megapages.
static LEAVES: [Table; 2] = [const { Table::new() }; 2];

/// Levels of a process's tables.
pub const USER_LEVELS: &[Level] = &[
    Level {
        shift: 30,
        bits: 9,
        leaf: true,
    },
    Level {
        shift: 21,
        bits: 9,
        leaf: true,
    },
    Level {
        shift: 12,
        bits: 9,
        leaf: true,
    },
];
/// Levels of a guest's tables: the root has four times the entries.
pub const GUEST_LEVELS: &[Level] = &[
    Level {
        shift: 30,
        bits: 11,
        leaf: true,
    },
    Level {
        shift: 21,
        bits: 9,
        leaf: true,
    },
    Level {
        shift: 12,
        bits: 9,
        leaf: true,
    },
];
/// First address of the non-canonical hole: processes live below.
pub const USER_END: u64 = 1 << 38;

/// `Pte::software` of an invalid entry that keeps memory without any access in its place.
const RESERVED_LEAF: u8 = 1;

/// Leaves of page 0 by the bits of their access: read, write, execute.
static FIRST_LEAVES: [u64; 8] = {
    let mut leaves = [0; 8];
    let mut bits: u16 = 0;
    while bits < 8 {
        leaves[bits as usize] = first_leaf(Rights::from_bits(bits)).into_bits();
        bits += 1;
    }
    leaves
};

/// Makes the leaf of page 0. A and D are preset: some machines fault instead of setting them.
/// Without any access it is an invalid entry that is not empty.
const fn first_leaf(access: Rights) -> Pte {
    if access.into_bits() == 0 {
        return Pte::new().with_software(RESERVED_LEAF);
    }
    Pte::new()
        .with_valid(true)
        .with_read(access.read())
        .with_write(access.write())
        .with_execute(access.execute())
        .with_user(true)
        .with_accessed(true)
        .with_dirty(true)
}

/// Makes a leaf.
#[inline(always)]
pub fn leaf(physical: u64, access: Rights) -> u64 {
    // The page number begins two bits below where it is in an address.
    FIRST_LEAVES[usize::from(access.into_bits() & 7)] | physical >> 2
}

/// Makes a pointer to a table.
pub fn table(physical: u64) -> u64 {
    Pte::table(physical >> 12).into_bits()
}

/// Reads an entry.
pub fn decode(entry: u64) -> TableEntry {
    let pte = Pte::from_bits(entry);
    let physical = pte.ppn() << 12;
    if !pte.valid() {
        return match pte.software() {
            RESERVED_LEAF => TableEntry::Leaf {
                physical,
                access: Rights::new(),
            },
            _ => TableEntry::Empty,
        };
    }
    if pte.is_leaf() {
        let access = Rights::new()
            .with_read(pte.read())
            .with_write(pte.write())
            .with_execute(pte.execute());
        TableEntry::Leaf { physical, access }
    } else {
        TableEntry::Table(physical)
    }
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

/// Replaces the boot mapping of the kernel's image by one in which nothing is both writable and
/// executable, and drops the one-to-one mapping.
pub fn protect_kernel() {
    let start = &raw const crate::entry::_image_start as u64;
    let text = &raw const crate::entry::_text_end as u64;
    let rodata = &raw const crate::entry::_rodata_end as u64;
    let end = &raw const crate::entry::_image_end as u64;
    assert!(
        end - start <= 4 << 20,
        "the kernel's image fits two megapages"
    );
    let leaves = LEAVES.iter().flat_map(|table| &table.0);
    for (index, entry) in leaves.enumerate() {
        let address = start + index as u64 * 4096;
        if address >= end {
            break;
        }
        let pte = Pte::new()
            .with_valid(true)
            .with_read(true)
            .with_execute(address < text)
            .with_write(address >= rodata)
            .with_global(true)
            .with_accessed(true)
            .with_dirty(true)
            .with_ppn((address - LOAD_OFFSET) >> 12);
        entry.store(pte.into_bits(), Ordering::Relaxed);
    }
    let first = usize::try_from((start >> 21) & 511).unwrap_or(0);
    for (index, table) in LEAVES.iter().enumerate() {
        let pte = Pte::table(physical_of(table) >> 12).into_bits();
        MIDDLE.0[first + index].store(pte, Ordering::Relaxed);
    }
    let middle = Pte::table(physical_of(&raw const MIDDLE) >> 12).into_bits();
    ROOT.0[510].store(middle, Ordering::Relaxed);
    for entry in &ROOT.0[..256] {
        entry.store(0, Ordering::Relaxed);
    }
    csr::fence_all();
}

/// Returns the physical pages of the code that only runs before the first process.
pub fn boot_code() -> Range {
    let base = physical_of(&raw const crate::entry::_image_start);
    Range {
        base,
        length: physical_of(&raw const crate::entry::_boot_end) - base,
    }
}

/// Takes the boot code out of the kernel's image, in which it comes first. The other harts drop
/// their translations before they run anything but the kernel's start.
pub fn forget_boot_code() {
    let pages = usize::try_from(boot_code().length / abi::PAGE_SIZE).unwrap_or(0);
    for entry in LEAVES.iter().flat_map(|table| &table.0).take(pages) {
        entry.store(0, Ordering::Relaxed);
    }
    csr::fence_all();
}
