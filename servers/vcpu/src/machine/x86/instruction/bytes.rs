//! The bytes of an instruction, taken one by one, and its prefixes.

use super::{LONGEST, Mode};

/// Bytes that were fetched: fewer than [`LONGEST`] where a page ends what can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    bytes: [u8; LONGEST],
    count: usize,
    taken: usize,
}

impl Bytes {
    /// Returns the first bytes of `bytes`, as many as an instruction can have.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut all = Self::default();
        for (place, byte) in all.bytes.iter_mut().zip(bytes) {
            *place = *byte;
            all.count += 1;
        }
        all
    }

    /// Takes a byte.
    pub fn take(&mut self) -> Option<u8> {
        let byte = (self.taken < self.count).then(|| self.bytes.get(self.taken));
        self.taken += 1;
        byte.flatten().copied()
    }

    /// Takes a signed number of so many bytes: at most eight.
    pub fn number(&mut self, bytes: u8) -> Option<u64> {
        let mut value = 0;
        for index in 0..u32::from(bytes.min(8)) {
            value |= u64::from(self.take()?) << (8 * index);
        }
        let unused = 64 - 8 * u32::from(bytes.clamp(1, 8));
        Some(
            (value << unused)
                .cast_signed()
                .wrapping_shr(unused)
                .cast_unsigned(),
        )
    }

    /// Returns how many were taken.
    #[must_use]
    pub fn taken(&self) -> u8 {
        u8::try_from(self.taken).unwrap_or(u8::MAX)
    }
}

/// What the prefixes of an instruction say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Bytes of an operand, but of byte instructions.
    pub operand_size: u8,
    /// Bytes of an address.
    pub address_size: u8,
    /// It is repeated.
    pub repeats: bool,
    /// The segment.
    pub segment: Option<u8>,
    /// REX.R, X and B.
    pub extensions: [bool; 3],
    /// There is a REX prefix: byte registers 4 to 7 are the low bytes of rSP to rDI.
    pub is_rex: bool,
}

impl Prefixes {
    /// Takes all prefixes, and the first byte behind them.
    pub fn take(bytes: &mut Bytes, mode: Mode) -> Option<(Self, u8)> {
        let (mut operand, mut address, mut repeats) = (false, false, false);
        let mut segment = None;
        let (mut rex, mut is_rex) = (0, false);
        let opcode = loop {
            let byte = bytes.take()?;
            match byte {
                0x66 => operand = true,
                0x67 => address = true,
                0xf2 | 0xf3 => repeats = true,
                0xf0 => {}
                0x26 | 0x2e | 0x36 | 0x3e => segment = Some(byte >> 3 & 3),
                0x64 | 0x65 => segment = Some(byte & 7),
                0x40..=0x4f if mode == Mode::Bits64 => {
                    (rex, is_rex) = (byte, true);
                    continue;
                }
                _ => break byte,
            }
            // A REX prefix counts only right before the opcode.
            (rex, is_rex) = (0, false);
        };
        let operand_size = match (mode, operand) {
            (Mode::Bits64, _) if rex & 8 != 0 => 8,
            (Mode::Bits16, false) | (Mode::Bits32 | Mode::Bits64, true) => 2,
            _ => 4,
        };
        let address_size = match (mode, address) {
            (Mode::Bits64, false) => 8,
            (Mode::Bits16, false) | (Mode::Bits32, true) => 2,
            _ => 4,
        };
        let prefixes = Self {
            operand_size,
            address_size,
            repeats,
            segment,
            extensions: [rex & 4 != 0, rex & 2 != 0, rex & 1 != 0],
            is_rex,
        };
        Some((prefixes, opcode))
    }

    /// Takes the byte of operands and what belongs to it; returns the register field without its
    /// extension, or `None` where the other operand is no memory.
    pub fn operands(&self, bytes: &mut Bytes) -> Option<u8> {
        let byte = bytes.take()?;
        let (mode, register, base) = (byte >> 6, byte >> 3 & 7, byte & 7);
        if mode == 3 {
            return None;
        }
        let displacement = if self.address_size == 2 {
            match (mode, base) {
                (0, 6) | (2, _) => 2,
                (1, _) => 1,
                _ => 0,
            }
        } else {
            let base = if base == 4 { bytes.take()? & 7 } else { base };
            match (mode, base) {
                (0, 5) | (2, _) => 4,
                (1, _) => 1,
                _ => 0,
            }
        };
        for _ in 0..displacement {
            bytes.take()?;
        }
        Some(register)
    }
}
