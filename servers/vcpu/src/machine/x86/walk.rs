//! The guest's own page tables, walked over copied memory (SDM 3A, chapter 4).
//!
//! The tables belong to the guest and may change at any time: every entry is copied once. Permissions
//! do not matter, for the hardware checked them when the instruction was executed.

use super::registers::{is_long, read};
use super::{Trouble, absence};
use crate::{Effects, VcpuId};
use x86_regs::one_reg::Register;

/// An entry is there.
const PRESENT: u64 = 1;
/// An entry of a middle level is a large page.
const LARGE: u64 = 1 << 7;
/// The address in an entry of eight bytes.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Where and how the tables of a vCPU begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Address of the first table.
    root: u64,
    /// Lowest bit that each level's index has, first table first.
    levels: &'static [u32],
    /// Bits of an index.
    index_bits: u32,
    /// The level below which there may be large pages: bits of the largest.
    largest: u32,
}

impl Tables {
    /// Returns the tables of a vCPU, or `None` where it does not translate.
    pub fn of<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<Option<Self>, Trouble> {
        const PAGING: u64 = 1 << 31;
        const EXTENSION: u64 = 1 << 5;
        const LARGE_PAGES: u64 = 1 << 4;
        const FIVE_LEVELS: u64 = 1 << 12;
        if read(vcpu, Register::Cr0, effects)? & PAGING == 0 {
            return Ok(None);
        }
        let (cr3, cr4) = (
            read(vcpu, Register::Cr3, effects)?,
            read(vcpu, Register::Cr4, effects)?,
        );
        let wide = |levels: &'static [u32]| Self {
            root: cr3 & ADDRESS,
            levels,
            index_bits: 9,
            largest: 30,
        };
        Ok(Some(if is_long(vcpu, effects)? {
            if cr4 & FIVE_LEVELS != 0 {
                wide(&[48, 39, 30, 21, 12])
            } else {
                wide(&[39, 30, 21, 12])
            }
        } else if cr4 & EXTENSION != 0 {
            Self {
                root: cr3 & 0xffff_ffe0,
                largest: 21,
                ..wide(&[30, 21, 12])
            }
        } else {
            Self {
                root: cr3 & 0xffff_f000,
                levels: &[22, 12],
                index_bits: 10,
                largest: if cr4 & LARGE_PAGES != 0 { 22 } else { 12 },
            }
        }))
    }

    /// Returns the guest-physical address of a linear one, or `None` where it has none now: the
    /// guest's own access would fault.
    fn translate<E: Effects>(self, address: u64, effects: &mut E) -> Result<Option<u64>, Trouble> {
        let mut table = self.root;
        for shift in self.levels {
            let index = address >> shift & ((1 << self.index_bits) - 1);
            let Some(entry) = self.entry(table, index, effects)? else {
                return Ok(None);
            };
            if entry & PRESENT == 0 {
                return Ok(None);
            }
            let is_leaf = *shift == 12 || (entry & LARGE != 0 && *shift <= self.largest);
            if is_leaf {
                let below = (1_u64 << shift) - 1;
                return Ok(Some(self.frame(entry, *shift) & !below | address & below));
            }
            table = entry & ADDRESS;
        }
        Ok(None)
    }

    /// Returns the address of a leaf's page. A large page of 4 MiB has bits 39:32 in 20:13.
    const fn frame(self, entry: u64, shift: u32) -> u64 {
        if self.index_bits == 10 && shift == 22 {
            return entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32;
        }
        entry & ADDRESS
    }

    /// Copies an entry of a table; `None` where the table is no memory.
    fn entry<E: Effects>(
        self,
        table: u64,
        index: u64,
        effects: &mut E,
    ) -> Result<Option<u64>, Trouble> {
        let mut bytes = [0; 8];
        let size = if self.index_bits == 10 { 4 } else { 8 };
        let place = table + index * size as u64;
        let filled = bytes.get_mut(..size).unwrap_or_default();
        match effects.read_guest(place, filled) {
            Ok(()) => Ok(Some(u64::from_le_bytes(bytes))),
            Err(error) => match absence(error) {
                Some(address) => Err(Trouble::Absent(address)),
                None => Ok(None),
            },
        }
    }
}

/// Returns the guest-physical address of a linear one, or `None` where it has none now.
pub fn translate<E: Effects>(
    vcpu: VcpuId,
    address: u64,
    effects: &mut E,
) -> Result<Option<u64>, Trouble> {
    match Tables::of(vcpu, effects)? {
        None => Ok(Some(address)),
        Some(tables) => tables.translate(address, effects),
    }
}

/// Copies bytes at a linear address into `buffer`, page by page; returns how many there are before
/// something is not translated, or no memory.
pub fn fetch<E: Effects>(
    vcpu: VcpuId,
    address: u64,
    buffer: &mut [u8],
    effects: &mut E,
) -> Result<usize, Trouble> {
    const PAGE: u64 = 4096;
    let mut done = 0;
    while done < buffer.len() {
        let at = address.wrapping_add(done as u64);
        let Some(physical) = translate(vcpu, at, effects)? else {
            break;
        };
        let room = usize::try_from(PAGE - at % PAGE).unwrap_or(0);
        let end = buffer.len().min(done + room);
        let piece = buffer.get_mut(done..end).unwrap_or_default();
        match effects.read_guest(physical, piece) {
            Ok(()) => done = end,
            Err(error) => match absence(error) {
                Some(address) => return Err(Trouble::Absent(address)),
                None => break,
            },
        }
    }
    Ok(done)
}
