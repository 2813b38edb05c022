//! The operands of an instruction: a register, and memory whose address is skipped.

use super::Mode;
use super::bytes::Prefixes;

/// The other operand is a register too.
const REGISTER: u8 = 0xff;
/// A byte of scale, index and base follows, and perhaps a displacement.
const SCALED: u8 = 0x80;

/// How many bytes follow each byte of operands, where addresses have 32 or 64 bits; or [`REGISTER`], or
/// [`SCALED`], where the next byte tells.
static WIDE: [u8; 256] = {
    let mut follow = [REGISTER; 256];
    let mut byte = 0;
    while byte < 0xc0 {
        let scale = (byte & 7 == 4) as u8;
        follow[byte] = match (byte >> 6, byte & 7) {
            (0, 4) => SCALED,
            (0, 5) => 4,
            (0, _) => 0,
            (1, _) => 1 + scale,
            _ => 4 + scale,
        };
        byte += 1;
    }
    follow
};

/// The same, where addresses have 16 bits.
const fn narrow(byte: u8) -> u8 {
    match (byte >> 6, byte & 7) {
        (3, _) => REGISTER,
        (0, 6) | (2, _) => 2,
        (1, _) => 1,
        _ => 0,
    }
}

/// Returns the register field, without its extension, and the bytes of the operands that `code` begins
/// with; `None` where the other operand is no memory.
#[inline]
pub fn operands(code: u64, prefixes: Prefixes, mode: Mode) -> Option<(u8, u8)> {
    let byte = code as u8;
    let follow = if mode != Mode::Bits64 && prefixes.address_size(mode) == 2 {
        narrow(byte)
    } else {
        WIDE[usize::from(byte)]
    };
    let follow = match follow {
        REGISTER => return None,
        SCALED => scaled((code >> 8) as u8),
        follow => follow,
    };
    Some((byte >> 3 & 7, 1 + follow))
}

/// Returns how many bytes a byte of scale, index and base and its displacement are; only where there is
/// no base, there is one.
#[inline(never)]
const fn scaled(byte: u8) -> u8 {
    if byte & 7 == 5 { 5 } else { 1 }
}
