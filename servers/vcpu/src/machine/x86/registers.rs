//! Registers of a vCPU by their ids, and what they say together.

use super::Trouble;
use super::arithmetic::cut;
use super::instruction::{Mode, Part};
use crate::{Effects, VcpuId};
use x86_regs::one_reg::{Register, SegmentField};
use x86_regs::{Efer, msr};

/// RSP, which is not in the register page.
const STACK_POINTER: u8 = 4;
/// The code segment.
pub const CODE: u8 = 1;

/// The extended features' register.
pub const EFER: Register = Register::ModelSpecific(msr::EFER);

/// Reads a register that every vCPU has.
pub fn read<E: Effects>(vcpu: VcpuId, register: Register, effects: &mut E) -> Result<u64, Trouble> {
    let id = register.id();
    effects
        .read_register(vcpu, id)
        .map_err(|_| Trouble::Register(id))
}

/// Writes a register that every vCPU has.
pub fn write<E: Effects>(
    vcpu: VcpuId,
    (register, value): (Register, u64),
    effects: &mut E,
) -> Result<(), Trouble> {
    let id = register.id();
    effects
        .write_register(vcpu, id, value)
        .map_err(|_| Trouble::Register(id))
}

/// Returns a general register.
pub fn general<E: Effects>(vcpu: VcpuId, number: u8, effects: &mut E) -> Result<u64, Trouble> {
    if number == STACK_POINTER {
        return read(vcpu, Register::General(number), effects);
    }
    Ok(effects.general(vcpu, number))
}

/// Sets a general register.
pub fn set_general<E: Effects>(
    vcpu: VcpuId,
    number: u8,
    value: u64,
    effects: &mut E,
) -> Result<(), Trouble> {
    if number == STACK_POINTER {
        return write(vcpu, (Register::General(number), value), effects);
    }
    effects.set_general(vcpu, number, value);
    Ok(())
}

/// Returns so many bytes of a part of a register.
pub fn part<E: Effects>(
    vcpu: VcpuId,
    part: Part,
    bytes: u8,
    effects: &mut E,
) -> Result<u64, Trouble> {
    let whole = general(vcpu, part.register, effects)?;
    let whole = if part.high { whole >> 8 } else { whole };
    Ok(cut(whole, bytes))
}

/// Sets so many bytes of a part of a register: four of them clear the upper half.
pub fn set_part<E: Effects>(
    vcpu: VcpuId,
    (part, bytes): (Part, u8),
    value: u64,
    effects: &mut E,
) -> Result<(), Trouble> {
    let value = cut(value, bytes);
    let before = general(vcpu, part.register, effects)?;
    let after = match (bytes, part.high) {
        (4.., _) => value,
        (_, true) => before & !0xff00 | value << 8,
        (_, false) => before ^ cut(before, bytes) | value,
    };
    set_general(vcpu, part.register, after, effects)
}

/// Returns whether the processor is in long mode.
pub fn is_long<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<bool, Trouble> {
    const ACTIVE: u64 = 1 << 10;
    Ok(read(vcpu, EFER, effects)? & ACTIVE != 0)
}

/// Returns the mode of the code segment.
pub fn mode<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<Mode, Trouble> {
    const LONG: u64 = 1 << 9;
    const WIDE: u64 = 1 << 10;
    let attributes = read(
        vcpu,
        Register::Segment(CODE, SegmentField::Attributes),
        effects,
    )?;
    Ok(match attributes {
        it if it & LONG != 0 && is_long(vcpu, effects)? => Mode::Bits64,
        it if it & WIDE != 0 => Mode::Bits32,
        _ => Mode::Bits16,
    })
}

/// Returns the linear address of an offset in a segment: in 64-bit mode only FS and GS have bases.
pub fn linear<E: Effects>(
    vcpu: VcpuId,
    segment: u8,
    offset: u64,
    effects: &mut E,
) -> Result<u64, Trouble> {
    let mode = mode(vcpu, effects)?;
    linear_in(mode, vcpu, (segment, offset), effects)
}

/// Does what [`linear`] does, in a mode that is known.
pub fn linear_in<E: Effects>(
    mode: Mode,
    vcpu: VcpuId,
    (segment, offset): (u8, u64),
    effects: &mut E,
) -> Result<u64, Trouble> {
    let is_wide = mode == Mode::Bits64;
    if is_wide && segment < 4 {
        return Ok(offset);
    }
    let base = read(
        vcpu,
        Register::Segment(segment, SegmentField::Base),
        effects,
    )?;
    let address = base.wrapping_add(offset);
    Ok(if is_wide { address } else { cut(address, 4) })
}

/// Returns whether the processor may use extended features that it was told of.
pub const fn efer_is_good(before: u64, after: u64, paging: bool) -> bool {
    const KNOWN: u64 = 0xd01;
    let enable = Efer::new().with_long_mode(true).into_bits();
    after & !KNOWN == 0 && !(paging && (before ^ after) & enable != 0)
}
