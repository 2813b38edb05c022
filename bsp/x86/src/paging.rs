//! Translation tables and the TLB.
//!
//! CR4.PCIDE stays clear so far: the TLB holds translations of the loaded process only, and every
//! write of CR3 drops them.

use abi::{PAGE_SHIFT, Rights};
use core::arch::asm;
use core::arch::x86_64::__cpuid;
use kernel::arch::{Level, Stage, TableEntry};
use x86_regs::{EptEntry, Pte};

/// Levels of processes' tables and of both kinds of second-stage tables.
///
/// Leaves of 1 GiB need CPUID to announce them, which a constant cannot ask.
pub const LEVELS: &[Level] = &[
    level(39, false),
    level(30, false),
    level(21, true),
    level(12, true),
];

/// First address behind the lower half.
pub const USER_END: u64 = 1 << 47;

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

impl SecondStage {
    /// Asks the processor.
    pub fn detect() -> Option<Self> {
        const SVM: u32 = 1 << 2;
        const VMX: u32 = 1 << 5;
        let highest = __cpuid(0x8000_0000).eax;
        if highest >= 0x8000_0001 && __cpuid(0x8000_0001).ecx & SVM != 0 {
            return Some(Self::Nested);
        }
        (__cpuid(1).ecx & VMX != 0).then_some(Self::Extended)
    }
}

/// Makes an entry for memory, or an empty one.
///
/// Bit 7 is set in every leaf: it makes a leaf of an entry of a higher level, and in the last level
/// it is bit 2 of the PAT index (ignored in an extended page table), where entries 4 to 7 of the
/// PAT equal entries 0 to 3, as after reset. So the entry is the same at every level.
pub fn leaf(format: Option<SecondStage>, physical: u64, access: Rights, device: bool) -> u64 {
    if !(access.read() || access.write() || access.execute()) {
        return 0;
    }
    let frame = physical >> PAGE_SHIFT;
    if format == Some(SecondStage::Extended) {
        let entry = EptEntry::leaf(frame, access.write(), access.execute()).with_large(true);
        return if device { entry.uncached() } else { entry }.into_bits();
    }
    let entry = Pte::user_leaf(frame, access.write(), access.execute()).with_large(true);
    if device { entry.uncached() } else { entry }.into_bits()
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
        TableEntry::Empty
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

/// Drops all translations of the loaded process.
pub fn flush_all() {
    // SAFETY: CR3 gets the value that it has, so the mapping stays as it is.
    unsafe {
        asm!(
            "mov {root}, cr3",
            "mov cr3, {root}",
            root = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Drops the translation of one page of the loaded process.
pub fn flush_page(address: u64) {
    // SAFETY: INVLPG accesses nothing: it only drops a cached translation.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}
