//! Fetching the guest's instructions: its own page tables, walked over copied memory.
//!
//! The tables and the code belong to the guest and may change at any time: every word is copied
//! once, and the result is what one read of the hardware could have seen.

use super::{Trouble, absence, read};
use crate::{Effects, VcpuId};
use riscv_regs::Register;
use riscv_regs::instruction::Length;
use riscv_regs::one_reg::CsrRegister;
use riscv_regs::pte::{Pte, index, level_shift};
use riscv_regs::translation::{Mode, Satp};

/// Why an address was not translated or fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkError {
    /// A page of a table, or the instruction itself, is absent.
    Absent(u64),
    /// The guest's tables do not map the address, or they or it lie outside its memory. The
    /// guest's own access would fault: let it try again.
    Unmapped,
}

/// Returns the guest-physical address of a virtual one; permissions do not matter, for the
/// hardware checked them when the instruction was executed.
///
/// # Errors
///
/// [`WalkError`] where there is no such address now.
pub fn translate<E: Effects>(satp: Satp, address: u64, effects: &mut E) -> Result<u64, WalkError> {
    let mode = Mode::from_field(satp.mode()).ok_or(WalkError::Unmapped)?;
    if mode == Mode::Bare {
        return Ok(address);
    }
    let unused = 64 - mode.virtual_bits();
    if (address << unused).cast_signed() >> unused != address.cast_signed() {
        return Err(WalkError::Unmapped);
    }
    let mut table = satp.ppn();
    for level in (0..mode.levels()).rev() {
        let entry = read_entry((table << 12) + index(address, level) * 8, effects)?;
        if !entry.valid() || entry.is_malformed() {
            return Err(WalkError::Unmapped);
        }
        if entry.is_leaf() {
            return leaf_address(entry, address, level);
        }
        table = entry.ppn();
    }
    Err(WalkError::Unmapped)
}

/// Copies one table entry.
fn read_entry<E: Effects>(address: u64, effects: &mut E) -> Result<Pte, WalkError> {
    let mut bytes = [0; 8];
    copy(address, &mut bytes, effects)?;
    Ok(Pte::from_bits(u64::from_le_bytes(bytes)))
}

/// Copies guest memory.
fn copy<E: Effects>(address: u64, bytes: &mut [u8], effects: &mut E) -> Result<(), WalkError> {
    effects
        .read_guest(address, bytes)
        .map_err(|error| match absence(error) {
            Some(address) => WalkError::Absent(address),
            None => WalkError::Unmapped,
        })
}

/// Returns the address that a leaf gives.
fn leaf_address(entry: Pte, address: u64, level: u32) -> Result<u64, WalkError> {
    let below = (1u64 << level_shift(level)) - 1;
    let frame = entry.ppn() << 12;
    if entry.napot() {
        // The only group that is defined is 64 KiB: low bits of the page number 1000.
        if level != 0 || entry.ppn() & 0xf != 8 {
            return Err(WalkError::Unmapped);
        }
        return Ok(frame & !0xffff | address & 0xffff);
    }
    if frame & below != 0 {
        Err(WalkError::Unmapped)
    } else {
        Ok(frame | address & below)
    }
}

/// Returns the instruction at a guest virtual address: two bytes, or four where it is that long.
///
/// # Errors
///
/// As [`translate`].
pub fn fetch<E: Effects>(satp: Satp, address: u64, effects: &mut E) -> Result<u32, WalkError> {
    let low = fetch_parcel(satp, address, effects)?;
    match Length::of(low) {
        Length::Two => Ok(low.into()),
        Length::Four => {
            let high = fetch_parcel(satp, address.wrapping_add(2), effects)?;
            Ok(u32::from(low) | u32::from(high) << 16)
        }
    }
}

/// Returns the two bytes at a virtual address; they lie in one page, for code is 2-byte aligned.
fn fetch_parcel<E: Effects>(satp: Satp, address: u64, effects: &mut E) -> Result<u16, WalkError> {
    if address & 1 != 0 {
        return Err(WalkError::Unmapped);
    }
    let physical = translate(satp, address, effects)?;
    let mut bytes = [0; 2];
    copy(physical, &mut bytes, effects)?;
    Ok(u16::from_le_bytes(bytes))
}

/// Returns the instruction at `program_counter` of a vCPU, or `None` where the guest has to try
/// again.
pub(super) fn fetch_instruction<E: Effects>(
    vcpu: VcpuId,
    program_counter: u64,
    effects: &mut E,
) -> Result<Option<u32>, Trouble> {
    let satp = read(vcpu, Register::Csr(CsrRegister::Satp).id(), effects)?;
    match fetch(Satp::from_bits(satp), program_counter, effects) {
        Ok(bits) => Ok(Some(bits)),
        Err(WalkError::Absent(address)) => Err(Trouble::Absent(address)),
        Err(WalkError::Unmapped) => Ok(None),
    }
}
