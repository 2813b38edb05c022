//! The guest's own page tables, walked over copied memory (SDM 3A, chapter 4).
//!
//! The tables belong to the guest and may change at any time: every entry is copied once, and so is
//! every byte of an instruction. Permissions do not matter, for the hardware checked them when the
//! instruction was executed.

use super::instruction::{Bytes, LONGEST, Mode};
use super::registers::Context;
use super::{Trouble, absence};
use crate::{Effects, MemoryError, VcpuId};
use core::hint::cold_path;

/// An entry is there.
const PRESENT: u64 = 1;
/// An entry of a middle level is a large page.
const LARGE: u64 = 1 << 7;
/// The address in an entry of eight bytes.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Lowest bit of a page's number.
const PAGE_SHIFT: u32 = 12;

/// How the linear addresses of a vCPU become guest-physical ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tables {
    /// They are the same.
    None,
    /// Entries have eight bytes.
    Wide(Wide),
    /// Entries have four bytes, 1024 of them a table.
    Narrow {
        /// Address of the first table.
        root: u64,
        /// There may be pages of 4 MiB.
        large: bool,
    },
}

/// Tables whose entries have eight bytes, 512 of them a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    /// Address of the first table.
    root: u64,
    /// Bits of an address above the index of the first table.
    above: u32,
    /// Levels below the first table.
    below: u32,
    /// Levels below the tables of the largest page.
    large: u32,
}

impl Tables {
    /// Returns the tables that the registers of a vCPU name.
    #[inline]
    const fn of(context: Context) -> Self {
        const PAGING: u64 = 1 << 31;
        const EXTENSION: u64 = 1 << 5;
        const LARGE_PAGES: u64 = 1 << 4;
        const FIVE_LEVELS: u64 = 1 << 12;
        let [cr0, cr3, cr4] = context.control;
        if cr0 & PAGING == 0 {
            cold_path();
            Self::None
        } else if context.is_long() {
            if cr4 & FIVE_LEVELS != 0 {
                cold_path();
                return Self::Wide(Wide::new(cr3 & ADDRESS, 5, 2));
            }
            Self::Wide(Wide::new(cr3 & ADDRESS, 4, 2))
        } else if cr4 & EXTENSION != 0 {
            cold_path();
            Self::Wide(Wide::new(cr3 & 0xffff_ffe0, 3, 1))
        } else {
            cold_path();
            Self::Narrow {
                root: cr3 & 0xffff_f000,
                large: cr4 & LARGE_PAGES != 0,
            }
        }
    }

    /// Returns the guest-physical address of a linear one, or `None` where it has none now: the
    /// guest's own access would fault.
    fn translate<E: Effects>(self, address: u64, effects: &mut E) -> Result<Option<u64>, Trouble> {
        match self {
            Self::None => Ok(Some(address)),
            Self::Wide(tables) => {
                let read = |place| {
                    let mut bytes = [0; 8];
                    effects.read_guest(place, &mut bytes).map(|()| bytes)
                };
                match tables.translate(address, read) {
                    Ok(found) => Ok(found),
                    Err(error) => nowhere(error),
                }
            }
            Self::Narrow { root, large } => translate_narrow((root, large), address, effects),
        }
    }
}

impl Wide {
    /// Bits of an index.
    const INDEX_BITS: u32 = 9;

    /// Returns the tables from `root` on, of so many levels, and with large pages in so many.
    const fn new(root: u64, levels: u32, large: u32) -> Self {
        Self {
            root,
            above: u64::BITS - PAGE_SHIFT - Self::INDEX_BITS * levels,
            below: levels - 1,
            large,
        }
    }

    /// Returns whether entries of this level may be large pages.
    #[inline]
    const fn has_pages(self, below: u32) -> bool {
        // Few entries on the way have the bit, whose meaning is looked up then.
        cold_path();
        below <= self.large
    }

    /// Returns the guest-physical address of a linear one, or `None` where it has none; `read` reads
    /// entries, each once.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    #[inline]
    fn translate<R>(
        self,
        address: u64,
        mut read: impl FnMut(u64) -> Result<[u8; 8], R>,
    ) -> Result<Option<u64>, R> {
        let (mut table, mut below) = (self.root, self.below);
        // Each index is at the top when its table is read.
        let mut rest = address << self.above;
        loop {
            let index = rest >> (u64::BITS - Self::INDEX_BITS);
            let entry = u64::from_le_bytes(read(table + index * 8)?);
            if entry & PRESENT == 0 {
                return Ok(None);
            }
            table = entry & ADDRESS;
            if below == 0 || (entry & LARGE != 0 && self.has_pages(below)) {
                let shift = PAGE_SHIFT + Self::INDEX_BITS * below;
                return Ok(Some(within(table, shift, address)));
            }
            rest <<= Self::INDEX_BITS;
            below -= 1;
        }
    }
}

/// Translates by tables whose entries have four bytes.
fn translate_narrow<E: Effects>(
    (root, large): (u64, bool),
    address: u64,
    effects: &mut E,
) -> Result<Option<u64>, Trouble> {
    const INDEX: u64 = 0x3ff;
    let mut table = root;
    for shift in [22, PAGE_SHIFT] {
        let mut bytes = [0; 4];
        let place = table + (address >> shift & INDEX) * 4;
        if let Err(error) = effects.read_guest(place, &mut bytes) {
            return nowhere(error);
        }
        let entry = u64::from(u32::from_le_bytes(bytes));
        if entry & PRESENT == 0 {
            return Ok(None);
        }
        if shift == PAGE_SHIFT {
            return Ok(Some(within(entry, shift, address)));
        }
        if large && entry & LARGE != 0 {
            // Bits 39:32 of its address are in 20:13.
            let page = entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32;
            return Ok(Some(within(page, shift, address)));
        }
        table = entry & ADDRESS;
    }
    Ok(None)
}

/// Returns the address in a page that begins at this one, but for the bits below `shift`.
const fn within(page: u64, shift: u32, address: u64) -> u64 {
    let below = (1 << shift) - 1;
    page & !below | address & below
}

/// Returns what a table is worth that was not copied: nothing where it is no memory.
#[cold]
const fn nowhere(error: MemoryError) -> Result<Option<u64>, Trouble> {
    match absence(error) {
        Some(address) => Err(Trouble::Absent(address)),
        None => Ok(None),
    }
}

/// Returns the guest-physical address of a linear one, or `None` where it has none now.
///
/// # Errors
///
/// [`Trouble`] where a table, or a register, is not there.
pub fn translate<E: Effects>(
    vcpu: VcpuId,
    address: u64,
    effects: &mut E,
) -> Result<Option<u64>, Trouble> {
    Tables::of(Context::of(vcpu, effects)?).translate(address, effects)
}

/// Copies the instruction at an offset in the code segment, as many bytes as one can have, or fewer
/// where something is not translated, or no memory. Returns it, and the mode that it is decoded in.
///
/// # Errors
///
/// [`Trouble`] where a page of it, a table, or a register, is not there.
#[inline(always)]
pub fn fetch<E: Effects>(
    vcpu: VcpuId,
    offset: u64,
    effects: &mut E,
) -> Result<(Bytes, Mode), Trouble> {
    let context = Context::of(vcpu, effects)?;
    let (address, mode) = (context.code(offset), context.mode());
    if let Some(bytes) = at_hand(context, address, effects) {
        return Ok((bytes, mode));
    }
    fetch_pieces(vcpu, offset, effects)
}

/// Copies as many bytes as an instruction can have at a linear address, where they lie in one page, by
/// tables as they mostly are, and everything is at hand.
#[inline(always)]
fn at_hand<E: Effects>(context: Context, address: u64, effects: &mut E) -> Option<Bytes> {
    const LAST: u64 = LONGEST as u64 - 8;
    if room(address) < LONGEST {
        return None;
    }
    let physical = match Tables::of(context) {
        Tables::None => address,
        Tables::Wide(tables) => {
            let read = |place| effects.guest_word(place).ok_or(());
            tables.translate(address, read).ok()??
        }
        Tables::Narrow { .. } => return None,
    };
    let first = effects.guest_word(physical)?;
    let last = effects.guest_word(physical + LAST)?;
    Some(Bytes::of_words(first, last))
}

/// Does what [`fetch`] does, page by page.
#[cold]
#[inline(never)]
fn fetch_pieces<E: Effects>(
    vcpu: VcpuId,
    offset: u64,
    effects: &mut E,
) -> Result<(Bytes, Mode), Trouble> {
    let context = Context::of(vcpu, effects)?;
    let (tables, address) = (Tables::of(context), context.code(offset));
    let mut buffer = [0; LONGEST];
    let mut done = 0;
    while done < LONGEST {
        let at = address.wrapping_add(done as u64);
        let Some(physical) = tables.translate(at, effects)? else {
            break;
        };
        let end = LONGEST.min(done + room(at));
        let piece = buffer.get_mut(done..end).unwrap_or_default();
        match effects.read_guest(physical, piece) {
            Ok(()) => done = end,
            Err(error) => match absence(error) {
                Some(address) => return Err(Trouble::Absent(address)),
                None => break,
            },
        }
    }
    let bytes = Bytes::new(buffer.get(..done).unwrap_or_default());
    Ok((bytes, context.mode()))
}

/// Returns how many bytes there are from an address to the end of its page.
const fn room(address: u64) -> usize {
    const PAGE: u64 = 1 << PAGE_SHIFT;
    (PAGE - address % PAGE) as usize
}
