//! What a PVH loader passes (Xen, "x86/HVM direct boot ABI"): memory, modules, ACPI's root.

use super::loader::Loaded;
use super::{number, physical_bytes};
use kernel::boot::Range;
use kernel::ranges::Ranges;

/// The first word of the start information.
const MAGIC: u32 = 0x336e_c578;
/// Type of memory that is free to use.
const FREE: u32 = 1;

/// Reads the start information at a physical address.
///
/// # Errors
///
/// What is missing.
pub fn read(start: u64) -> Result<Loaded, &'static str> {
    let info = physical_bytes(start, 56);
    if number::<4>(info, 0) != u64::from(MAGIC) {
        return Err("the loader passed no PVH start information");
    }
    if number::<4>(info, 4) < 1 {
        return Err("the loader's PVH start information has no memory map");
    }
    let rows = number::<4>(info, 48).min(256);
    let mut memory = Ranges::default();
    for row in physical_bytes(number::<8>(info, 40), rows * 24).chunks_exact(24) {
        if number::<4>(row, 16) == u64::from(FREE) {
            memory.add(Range {
                base: number::<8>(row, 0),
                length: number::<8>(row, 8),
            });
        }
    }
    let bundle = (number::<4>(info, 12) > 0).then(|| {
        let module = physical_bytes(number::<8>(info, 16), 32);
        Range {
            base: number::<8>(module, 0),
            length: number::<8>(module, 8),
        }
    });
    Ok(Loaded {
        memory,
        bundle: bundle.filter(|bundle| bundle.length != 0),
        acpi: number::<8>(info, 32),
    })
}
