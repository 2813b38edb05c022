//! Loads and stores, from the instruction's bits (I 2.6, 27.3; Zcb: I 28.13).

use super::{Gpr, Length, compressed};

/// Size of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Width {
    /// One byte.
    Byte = 0,
    /// Two bytes.
    Half = 1,
    /// Four bytes.
    Word = 2,
    /// Eight bytes.
    Double = 3,
}

impl Width {
    /// Returns the width that the low two bits of funct3 encode.
    const fn from_funct3(funct3: u32) -> Self {
        match funct3 & 3 {
            0 => Self::Byte,
            1 => Self::Half,
            2 => Self::Word,
            _ => Self::Double,
        }
    }

    /// Returns the base-two logarithm of the bytes.
    #[must_use]
    pub const fn log2(self) -> u8 {
        self as u8
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self as u8
    }
}

/// What an access does with its register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Fills a register from memory.
    Load {
        /// The register that is filled.
        destination: Gpr,
        /// Whether the value is sign-extended.
        signed: bool,
    },
    /// Writes a register to memory.
    Store {
        /// The register that is written.
        source: Gpr,
    },
}

/// One plain load or store of a general register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataAccess {
    /// Size of the access.
    pub width: Width,
    /// Direction and register.
    pub operation: Operation,
    /// Bytes by which the program counter advances.
    pub length: Length,
}

/// An instruction that accesses memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryInstruction {
    /// A load or store of a general register: a device can serve it.
    Data(DataAccess),
    /// LR, SC or an AMO: not supported by devices.
    Atomic,
    /// A load or store of a floating-point or vector register: not supported by devices.
    OtherRegisters,
    /// A cache-block operation: not supported by devices.
    CacheBlock,
}

impl MemoryInstruction {
    /// Decodes an RV64 instruction; the upper half is ignored where it is compressed. Returns
    /// `None` where it does not access memory or is reserved.
    #[must_use]
    pub const fn decode(bits: u32) -> Option<Self> {
        match Length::of(bits as u16) {
            Length::Two => compressed::decode(bits & 0xffff),
            Length::Four => Self::decode_full(bits, Length::Four),
        }
    }

    /// Decodes a 32-bit encoding, of an instruction that took `length` bytes.
    pub(crate) const fn decode_full(bits: u32, length: Length) -> Option<Self> {
        let funct3 = (bits >> 12) & 7;
        let width = Width::from_funct3(funct3);
        let operation = match bits & 0x7f {
            0x03 if funct3 != 7 => Operation::Load {
                destination: Gpr::field(bits, 7),
                signed: funct3 < 4,
            },
            0x23 if funct3 < 4 => Operation::Store {
                source: Gpr::field(bits, 20),
            },
            0x07 | 0x27 => return Some(Self::OtherRegisters),
            0x2f if funct3 < 4 => return Some(Self::Atomic),
            0x0f if funct3 == 2 => return Some(Self::CacheBlock),
            _ => return None,
        };
        Some(Self::Data(DataAccess {
            width,
            operation,
            length,
        }))
    }
}
