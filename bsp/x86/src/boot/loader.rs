//! What the loader passed, whichever it was.

use super::{multiboot, pvh};
use kernel::boot::Range;
use kernel::ranges::Ranges;

/// What the loader passed.
#[derive(Default)]
pub struct Loaded {
    /// All free memory, the kernel's image and modules included.
    pub memory: Ranges,
    /// The boot bundle: the first module.
    pub bundle: Option<Range>,
    /// Where ACPI's root pointer is, or 0.
    pub acpi: u64,
}

impl Loaded {
    /// Reads what the loader left at a physical address; `magic` is what it left in EAX, or 0 where
    /// it began at the PVH entry.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn read(start: u64, magic: u64) -> Result<Self, &'static str> {
        match magic {
            0 => pvh::read(start),
            multiboot::MAGIC => Ok(multiboot::read(start)),
            _ => Err("the loader is no multiboot2 loader"),
        }
    }
}
