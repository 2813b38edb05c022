//! What a multiboot2 loader passes (Multiboot2 Specification, "Boot information"): memory, modules,
//! ACPI's root.

use super::loader::Loaded;
use super::{number, physical_bytes};
use kernel::boot::Range;

/// What EAX has at the entry.
pub const MAGIC: u64 = 0x36d7_6289;
/// Type of memory that is free to use.
const FREE: u64 = 1;

/// Tags.
mod tag {
    pub const END: u64 = 0;
    pub const MODULE: u64 = 3;
    pub const MEMORY: u64 = 6;
    pub const ACPI_OLD: u64 = 14;
    pub const ACPI_NEW: u64 = 15;
}

/// Reads the boot information at a physical address.
pub fn read(start: u64) -> Loaded {
    let size = number::<4>(physical_bytes(start, 8), 0);
    let info = physical_bytes(start, size);
    let mut loaded = Loaded::default();
    let mut at = 8;
    while let Some(rest) = info.get(at..).filter(|rest| rest.len() >= 8) {
        let length = (number::<4>(rest, 4) as usize).clamp(8, rest.len());
        let row = &rest[..length];
        match number::<4>(row, 0) {
            tag::END => break,
            tag::MODULE if loaded.bundle.is_none() => {
                let (base, end) = (number::<4>(row, 8), number::<4>(row, 12));
                let length = end.saturating_sub(base);
                loaded.bundle = (length != 0).then_some(Range { base, length });
            }
            tag::MEMORY => read_memory(row, &mut loaded),
            tag::ACPI_OLD if loaded.acpi == 0 => loaded.acpi = start + at as u64 + 8,
            tag::ACPI_NEW => loaded.acpi = start + at as u64 + 8,
            _ => {}
        }
        at += length.next_multiple_of(8);
    }
    loaded
}

/// Reads the memory map.
fn read_memory(row: &[u8], loaded: &mut Loaded) {
    let size = (number::<4>(row, 8) as usize).max(24);
    for entry in row.get(16..).unwrap_or(&[]).chunks_exact(size) {
        if number::<4>(entry, 16) == FREE {
            loaded.memory.add(Range {
                base: number::<8>(entry, 0),
                length: number::<8>(entry, 8),
            });
        }
    }
}
