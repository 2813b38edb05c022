//! Registers of a vCPU by their ids, and what they say together.

use super::Trouble;
use super::arithmetic::cut;
use super::instruction::{Mode, Part};
use crate::{Effects, VcpuId};
use core::hint::cold_path;
use x86_regs::one_reg::{NOTED, Register, SegmentField};
use x86_regs::{Efer, msr};

/// RSP, which is not in the register page.
const STACK_POINTER: u8 = 4;

/// The extended features' register.
pub const EFER: Register = Register::ModelSpecific(msr::EFER);

/// Reads a register that every vCPU has.
#[inline]
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

// [`Context::of`] takes them in this order.
const _: () = assert!(matches!(
    NOTED,
    [
        Register::Cr0,
        Register::Cr3,
        Register::Cr4,
        Register::ModelSpecific(msr::EFER),
        Register::Segment(1, SegmentField::Attributes),
        Register::Segment(1, SegmentField::Base),
    ]
));

/// What decides how addresses are translated and code is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Control registers 0, 3 and 4.
    pub control: [u64; 3],
    /// The extended features.
    features: u64,
    /// The code segment's attributes.
    attributes: u64,
    /// The code segment's base.
    base: u64,
}

impl Context {
    /// Returns a vCPU's.
    ///
    /// # Errors
    ///
    /// [`Trouble`] where a register is not there.
    #[inline]
    pub fn of<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<Self, Trouble> {
        let registers = match effects.noted(vcpu) {
            Some(registers) => registers,
            None => ask(vcpu, effects)?,
        };
        let [cr0, cr3, cr4, features, attributes, base] = registers;
        Ok(Self {
            control: [cr0, cr3, cr4],
            features,
            attributes,
            base,
        })
    }

    /// Returns whether the processor is in long mode.
    #[inline]
    pub const fn is_long(self) -> bool {
        const ACTIVE: u64 = 1 << 10;
        self.features & ACTIVE != 0
    }

    /// Returns the mode of the code segment.
    #[inline]
    pub const fn mode(self) -> Mode {
        const LONG: u64 = 1 << 9;
        const WIDE: u64 = 1 << 10;
        if self.attributes & LONG != 0 && self.is_long() {
            return Mode::Bits64;
        }
        cold_path();
        if self.attributes & WIDE != 0 {
            Mode::Bits32
        } else {
            Mode::Bits16
        }
    }

    /// Returns the linear address of an offset in the code segment.
    #[inline]
    pub const fn code(self, offset: u64) -> u64 {
        match self.mode() {
            Mode::Bits64 => offset,
            Mode::Bits32 | Mode::Bits16 => cut(self.base.wrapping_add(offset), 4),
        }
    }
}

/// Asks for the registers of [`NOTED`].
#[cold]
#[inline(never)]
fn ask<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<[u64; NOTED.len()], Trouble> {
    let mut values = [0; NOTED.len()];
    for (value, register) in values.iter_mut().zip(NOTED) {
        *value = read(vcpu, register, effects)?;
    }
    Ok(values)
}

/// Returns the linear address of an offset in a segment: in 64-bit mode only FS and GS have bases.
pub fn linear<E: Effects>(
    vcpu: VcpuId,
    segment: u8,
    offset: u64,
    effects: &mut E,
) -> Result<u64, Trouble> {
    let is_wide = Context::of(vcpu, effects)?.mode() == Mode::Bits64;
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
