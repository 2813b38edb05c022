//! The guest's own translation (PoP chapter 3, "Dynamic Address Translation"), walked over copied
//! memory: the tables are the guest's and may change at any time; every entry is copied once.

use super::program::Exception;
use super::{Trouble, operand};
use crate::Effects;

/// Designation of a space: its addresses are real.
const REAL_SPACE: u64 = 0x20;
/// Entry of a region or segment table: there is nothing.
const INVALID: u64 = 0x20;
/// The same of a page table.
const PAGE_INVALID: u64 = 0x400;
/// Entry of a segment or region-third table: it maps all of its range by itself.
const LARGE: u64 = 0x400;
/// Stores are not allowed.
const PROTECTED: u64 = 0x200;

/// A kind of table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    /// Place of its index in an address.
    shift: u32,
    /// Bits of an entry with the next table's address.
    origin: u64,
    /// What an entry is that there is not.
    exception: Exception,
}

/// The tables, the first one last: a designation's type is its place.
const LEVELS: [Level; 4] = [
    Level {
        shift: 20,
        origin: !0x7ff,
        exception: Exception::SegmentTranslation,
    },
    Level {
        shift: 31,
        origin: !0xfff,
        exception: Exception::RegionThirdTranslation,
    },
    Level {
        shift: 42,
        origin: !0xfff,
        exception: Exception::RegionSecondTranslation,
    },
    Level {
        shift: 53,
        origin: !0xfff,
        exception: Exception::RegionFirstTranslation,
    },
];

/// Returns what stands for `exception` at an address: the page, in the primary space.
const fn fails(exception: Exception, address: u64) -> Trouble {
    let identification = address & !0xfff;
    Trouble::Program {
        exception,
        identification,
    }
}

/// Copies one entry of a table.
fn entry<E: Effects>(address: u64, effects: &mut E) -> Result<u64, Trouble> {
    let mut bytes = [0; 8];
    operand::read_absolute(address, &mut bytes, effects)?;
    Ok(u64::from_be_bytes(bytes))
}

/// Returns the real address of a virtual one in the space with this designation.
pub fn translate<E: Effects>(
    designation: u64,
    address: u64,
    is_store: bool,
    effects: &mut E,
) -> Result<u64, Trouble> {
    if designation & REAL_SPACE != 0 {
        return Ok(address);
    }
    let root = (designation >> 2 & 3) as usize;
    let reach = LEVELS.get(root).map_or(0, |level| level.shift + 11);
    if reach < 64 && address >> reach != 0 {
        return Err(fails(Exception::AsceType, address));
    }
    let (mut table, mut first, mut last) = (designation & !0xfff, 0, designation & 3);
    let mut is_protected = false;
    for (kind, level) in LEVELS.iter().enumerate().take(root + 1).rev() {
        let index = address >> level.shift & 0x7ff;
        if index >> 9 < first || index >> 9 > last {
            return Err(fails(level.exception, address));
        }
        let entry = entry(table.wrapping_add(index * 8), effects)?;
        if entry & INVALID != 0 {
            return Err(fails(level.exception, address));
        }
        is_protected |= entry & PROTECTED != 0;
        if kind <= 1 && entry & LARGE != 0 {
            let offset = (1 << level.shift) - 1;
            return finish(
                entry & !offset | address & offset,
                is_protected && is_store,
                address,
            );
        }
        (table, first, last) = (entry & level.origin, entry >> 6 & 3, entry & 3);
    }
    let page = entry(table.wrapping_add((address >> 12 & 0xff) * 8), effects)?;
    if page & PAGE_INVALID != 0 {
        return Err(fails(Exception::PageTranslation, address));
    }
    is_protected |= page & PROTECTED != 0;
    finish(
        page & !0xfff | address & 0xfff,
        is_protected && is_store,
        address,
    )
}

/// Returns an address that was found, unless the store to it is not allowed.
const fn finish(real: u64, is_refused: bool, address: u64) -> Result<u64, Trouble> {
    if is_refused {
        // Bit 61 of the identification: it is the table that does not allow it.
        return Err(Trouble::Program {
            exception: Exception::Protection,
            identification: address & !0xfff | 4,
        });
    }
    Ok(real)
}
