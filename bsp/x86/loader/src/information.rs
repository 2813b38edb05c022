//! What a PVH loader passes to the kernel (Xen, "x86/HVM direct boot ABI"): a page with the start
//! information, the list of modules, and the memory map.

use crate::load::{PAGE, Pages, Refusal};
use uefi::boot::MemoryType;
use uefi::mem::memory_map::{MemoryMap, MemoryMapOwned};

/// The first word of the start information.
const MAGIC: u32 = 0x336e_c578;
/// Type of memory that is free to use.
const FREE: u32 = 1;
/// Where the list of modules begins in the page.
const MODULES: usize = 64;
/// Where the memory map begins.
const MEMORY: usize = 128;
/// Bytes of a row of it.
const ROW: usize = 24;
/// The most rows: as many as the kernel keeps.
const ROWS: usize = 32;

/// The page.
pub struct Information {
    page: Pages,
}

impl Information {
    /// Makes the page for a module (base, length) and ACPI's root pointer.
    pub fn new((base, length): (u64, u64), root_pointer: u64) -> Result<Self, Refusal> {
        let mut information = Self {
            page: Pages::new(PAGE)?,
        };
        let own = information.base();
        information.set(0, u64::from(MAGIC) | 1 << 32);
        // No flags, one module.
        information.set(8, 1 << 32);
        information.set(16, own + MODULES as u64);
        information.set(32, root_pointer);
        information.set(40, own + MEMORY as u64);
        information.set(MODULES, base);
        information.set(MODULES + 8, length);
        Ok(information)
    }

    /// Returns where the page is.
    pub fn base(&self) -> u64 {
        self.page.base()
    }

    /// Sets a word.
    fn set(&mut self, offset: usize, value: u64) {
        self.page.bytes()[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// Takes over the firmware's memory map: what is free once the firmware is left, in as few rows
    /// as can be, and of too many the largest.
    pub fn take_memory(&mut self, map: &MemoryMapOwned) {
        let mut rows = [(0_u64, 0_u64); ROWS];
        let mut count = 0;
        for entry in map.entries().filter(|entry| is_free(entry.ty)) {
            let (base, length) = (entry.phys_start, entry.page_count * PAGE);
            let last = rows[..count].iter_mut().find(|row| row.0 + row.1 == base);
            if let Some(row) = last {
                row.1 += length;
            } else if count < ROWS {
                rows[count] = (base, length);
                count += 1;
            } else if let Some(least) = rows.iter_mut().min_by_key(|row| row.1)
                && least.1 < length
            {
                *least = (base, length);
            }
        }
        for (index, (base, length)) in rows[..count].iter().enumerate() {
            let at = MEMORY + index * ROW;
            self.set(at, *base);
            self.set(at + 8, *length);
            self.set(at + 16, u64::from(FREE));
        }
        self.set(48, count as u64);
    }
}

/// Returns whether memory of this kind is free once the firmware is left (UEFI 2.10, "Memory Type
/// Usage after ExitBootServices()").
fn is_free(kind: MemoryType) -> bool {
    matches!(
        kind,
        MemoryType::CONVENTIONAL
            | MemoryType::LOADER_CODE
            | MemoryType::LOADER_DATA
            | MemoryType::BOOT_SERVICES_CODE
            | MemoryType::BOOT_SERVICES_DATA
    )
}
