//! Operands in the guest's storage: effective, logical, real and absolute addresses (PoP chapter 3).

use super::program::Exception;
use super::text::Place;
use super::{Trouble, read, walk};
use crate::{Effects, MemoryError, VcpuId};
use s390_regs::lowcore;
use s390_regs::one_reg::Register;
use s390_regs::{AddressSpace, PswMask};

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Returns the PSW's first doubleword.
pub fn psw<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<PswMask, Trouble> {
    read(vcpu, Register::PswMask, effects).map(PswMask::from_bits)
}

/// Returns an address as far as addresses go.
#[must_use]
pub const fn wrap(address: u64, psw: PswMask) -> u64 {
    match (psw.extended(), psw.basic()) {
        (true, _) => address,
        (false, true) => address & 0x7fff_ffff,
        (false, false) => address & 0x00ff_ffff,
    }
}

/// Returns the address of an operand.
pub fn address_of<E: Effects>(vcpu: VcpuId, place: Place, effects: &mut E) -> Result<u64, Trouble> {
    let psw = psw(vcpu, effects)?;
    Ok(effective(vcpu, (place, psw), effects))
}

/// As [`address_of`], with the PSW at hand.
pub fn effective<E: Effects>(vcpu: VcpuId, (place, psw): (Place, PswMask), effects: &mut E) -> u64 {
    let base = match place.base {
        0 => 0,
        base => effects.general(vcpu, base),
    };
    wrap(base.wrapping_add(place.displacement.cast_unsigned()), psw)
}

/// As [`address_of`], of an operand that has to lie on a boundary.
pub fn aligned<E: Effects>(
    vcpu: VcpuId,
    (place, boundary): (Place, u64),
    effects: &mut E,
) -> Result<u64, Trouble> {
    let address = address_of(vcpu, place, effects)?;
    if address.is_multiple_of(boundary) {
        Ok(address)
    } else {
        Err(Exception::Specification.into())
    }
}

/// Returns the absolute address of a logical one.
fn absolute<E: Effects>(
    vcpu: VcpuId,
    (address, is_store): (u64, bool),
    effects: &mut E,
) -> Result<u64, Trouble> {
    let psw = psw(vcpu, effects)?;
    let real = if psw.translation() {
        let control = match psw.space() {
            // Access registers of privileged instructions' operands are seldom used: the primary
            // space stands in for theirs.
            AddressSpace::Primary | AddressSpace::AccessRegister => 1,
            AddressSpace::Secondary => 7,
            AddressSpace::Home => 13,
        };
        let designation = read(vcpu, Register::Control(control), effects)?;
        walk::translate(designation, address, is_store, effects)?
    } else {
        address
    };
    let prefix = read(vcpu, Register::Prefix, effects)?;
    Ok(absolute_of_real(real, prefix))
}

/// Returns the absolute address of a real one.
#[must_use]
pub const fn absolute_of_real(real: u64, prefix: u64) -> u64 {
    let area = real & !(lowcore::BYTES - 1);
    if area == 0 {
        real + prefix
    } else if area == prefix {
        real - prefix
    } else {
        real
    }
}

/// Returns what a copy that failed is for the guest.
fn trouble(error: MemoryError) -> Trouble {
    match error {
        MemoryError::Absent { address } => Trouble::Absent(address),
        MemoryError::Outside => Exception::Addressing.into(),
    }
}

/// Copies absolute storage out.
pub fn read_absolute<E: Effects>(
    address: u64,
    bytes: &mut [u8],
    effects: &mut E,
) -> Result<(), Trouble> {
    effects.read_guest(address, bytes).map_err(trouble)
}

/// Copies into absolute storage.
pub fn write_absolute<E: Effects>(
    address: u64,
    bytes: &[u8],
    effects: &mut E,
) -> Result<(), Trouble> {
    effects.write_guest(address, bytes).map_err(trouble)
}

/// Returns how many of `count` bytes from `address` on lie in its page.
fn in_page(address: u64, count: usize) -> usize {
    let rest = PAGE - address % PAGE;
    usize::try_from(rest).map_or(count, |rest| rest.min(count))
}

/// Copies logical storage out.
pub fn load<E: Effects>(
    vcpu: VcpuId,
    address: u64,
    bytes: &mut [u8],
    effects: &mut E,
) -> Result<(), Trouble> {
    let (mut rest, mut at) = (bytes, address);
    while !rest.is_empty() {
        let (here, behind) = rest.split_at_mut(in_page(at, rest.len()));
        let place = absolute(vcpu, (at, false), effects)?;
        read_absolute(place, here, effects)?;
        at = at.wrapping_add(here.len() as u64);
        rest = behind;
    }
    Ok(())
}

/// Copies into logical storage, in one page: operands that are aligned never cross one.
pub fn store<E: Effects>(
    vcpu: VcpuId,
    address: u64,
    bytes: &[u8],
    effects: &mut E,
) -> Result<(), Trouble> {
    debug_assert_eq!(in_page(address, bytes.len()), bytes.len());
    let place = absolute(vcpu, (address, true), effects)?;
    write_absolute(place, bytes, effects)
}
