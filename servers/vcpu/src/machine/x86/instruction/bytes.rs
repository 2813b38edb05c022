//! The bytes of an instruction, and its prefixes.

use super::{LONGEST, Mode};
use core::hint::cold_path;

/// Bytes that were fetched: fewer than [`LONGEST`] where a page ends what can be read. Behind the last
/// one there are zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// The first byte is the lowest.
    all: u128,
    count: u8,
}

impl Bytes {
    /// Returns the first bytes of `bytes`, as many as an instruction can have.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        for byte in bytes.iter().take(LONGEST) {
            found.all |= u128::from(*byte) << (8 * found.count);
            found.count += 1;
        }
        found
    }

    /// Returns as many bytes as an instruction can have, out of the first eight and the last eight,
    /// which have one in common: it is one of the last.
    #[must_use]
    #[inline]
    pub const fn of_words(first: [u8; 8], last: [u8; 8]) -> Self {
        const COMMON: u32 = 8 * (LONGEST as u32 - 8);
        let first = u64::from_le_bytes(first) & ((1 << COMMON) - 1);
        Self {
            all: first as u128 | (u64::from_le_bytes(last) as u128) << COMMON,
            count: LONGEST as u8,
        }
    }

    /// Returns how many there are.
    #[must_use]
    #[inline]
    pub const fn count(self) -> u8 {
        self.count
    }

    /// Returns eight bytes, from this one on; `place` is below 16.
    #[must_use]
    #[inline]
    pub const fn from(self, place: u8) -> u64 {
        (self.all >> (8 * place)) as u64
    }

    /// Returns the signed number of so many bytes, one to eight, from a place below 16 on.
    #[must_use]
    #[inline]
    pub const fn number(self, place: u8, bytes: u8) -> i64 {
        let unused = 64 - 8 * bytes as u32;
        (self.from(place) << unused).cast_signed() >> unused
    }
}

/// The prefixes of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// How many bytes they are.
    pub count: u8,
    /// It is repeated.
    pub repeats: bool,
    /// The segment: ES, CS, SS, DS, FS, GS are 0 to 5.
    pub segment: Option<u8>,
    /// Operands have the other size.
    operand: bool,
    /// Addresses have the other size.
    address: bool,
    rex: Rex,
}

/// The REX prefix; 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rex(u8);

impl Rex {
    /// There is none.
    const NONE: Self = Self(0);

    /// Returns whether there is one: byte registers 4 to 7 are the low bytes of rSP to rDI.
    #[must_use]
    #[inline]
    pub const fn is_there(self) -> bool {
        self.0 != 0
    }

    /// Returns whether operands have 64 bits (W).
    #[must_use]
    #[inline]
    pub const fn is_wide(self) -> bool {
        self.0 & 8 != 0
    }

    /// Returns the register of the register field of the operands, with its extension (R).
    #[must_use]
    #[inline]
    pub const fn register(self, field: u8) -> u8 {
        field | (self.0 & 4) << 1
    }

    /// Returns the register of the base field of the operands, with its extension (B).
    #[must_use]
    #[inline]
    pub const fn base(self, field: u8) -> u8 {
        field | (self.0 & 1) << 3
    }
}

impl Prefixes {
    /// There are none.
    const NONE: Self = Self {
        count: 0,
        repeats: false,
        segment: None,
        operand: false,
        address: false,
        rex: Rex::NONE,
    };

    /// Returns the prefixes that bytes begin with, and the eight bytes behind them.
    #[inline]
    pub fn of(bytes: Bytes, mode: Mode) -> (Self, u64) {
        let first = bytes.from(0);
        if !is_prefix(first as u8, mode) {
            return (Self::NONE, first);
        }
        let prefixes = Self::all(bytes.all, mode);
        (prefixes, bytes.from(prefixes.count))
    }

    /// Returns the prefixes that bytes begin with: zeros are none.
    #[inline(never)]
    fn all(mut bytes: u128, mode: Mode) -> Self {
        let mut prefixes = Self::NONE;
        while is_prefix(bytes as u8, mode) {
            // A REX prefix counts only right before the opcode.
            prefixes.rex = Rex::NONE;
            match bytes as u8 {
                0x66 => prefixes.operand = true,
                0x67 => prefixes.address = true,
                0xf2 | 0xf3 => prefixes.repeats = true,
                byte @ (0x26 | 0x2e | 0x36 | 0x3e) => prefixes.segment = Some(byte >> 3 & 3),
                byte @ (0x64 | 0x65) => prefixes.segment = Some(byte & 7),
                byte @ 0x40..=0x4f => prefixes.rex = Rex(byte),
                _ => {}
            }
            prefixes.count += 1;
            bytes >>= 8;
        }
        prefixes
    }

    /// Returns the bytes of an operand, but of byte instructions.
    #[must_use]
    #[inline]
    pub const fn operand_size(self, mode: Mode) -> u8 {
        if self.rex.is_wide() {
            return 8;
        }
        if self.operand == matches!(mode, Mode::Bits16) {
            return 4;
        }
        cold_path();
        2
    }

    /// Returns the bytes of an address.
    #[must_use]
    #[inline]
    pub const fn address_size(self, mode: Mode) -> u8 {
        match (mode, self.address) {
            (Mode::Bits64, false) => 8,
            (Mode::Bits16, false) | (Mode::Bits32, true) => 2,
            _ => 4,
        }
    }

    /// Returns the REX prefix.
    #[must_use]
    #[inline]
    pub const fn rex(self) -> Rex {
        self.rex
    }
}

/// What a byte is before an opcode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// No prefix.
    None,
    /// A prefix in every mode.
    Prefix,
    /// A prefix in 64-bit mode.
    Rex,
}

/// What each byte is.
static CLASSES: [Class; 256] = {
    let mut classes = [Class::None; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte {
            0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3 => Class::Prefix,
            0x40..=0x4f => Class::Rex,
            _ => Class::None,
        };
        byte += 1;
    }
    classes
};

/// Returns whether a byte is a prefix.
#[inline]
fn is_prefix(byte: u8, mode: Mode) -> bool {
    match CLASSES[usize::from(byte)] {
        Class::None => false,
        Class::Prefix => true,
        Class::Rex => mode == Mode::Bits64,
    }
}
