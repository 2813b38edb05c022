//! Instructions that a hypervisor has to understand: loads and stores, and accesses to CSRs.

mod compressed;
mod memory;
mod system;

pub use memory::{DataAccess, MemoryInstruction, Operation, Width};
pub use system::{CsrAccess, CsrOperand, CsrOperation, SystemInstruction};

/// A general register, x0 to x31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gpr(u8);

impl Gpr {
    /// The register that is always zero.
    pub const ZERO: Self = Self(0);
    /// Argument and result register 0 (x10).
    pub const A0: Self = Self(10);
    /// Argument and result register 1 (x11).
    pub const A1: Self = Self(11);
    /// Argument register 2 (x12).
    pub const A2: Self = Self(12);
    /// Argument register 3 (x13).
    pub const A3: Self = Self(13);
    /// Argument register 4 (x14).
    pub const A4: Self = Self(14);
    /// Argument register 5 (x15).
    pub const A5: Self = Self(15);
    /// Argument register 6 (x16); the function of an SBI call.
    pub const A6: Self = Self(16);
    /// Argument register 7 (x17); the extension of an SBI call.
    pub const A7: Self = Self(17);

    /// Returns register x`number`, or `None` from 32 on.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 32 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns the register in five bits of an instruction, from bit `shift` on.
    pub(crate) const fn field(bits: u32, shift: u32) -> Self {
        Self(((bits >> shift) & 31) as u8)
    }

    /// Returns the register in three bits of a compressed instruction (x8 to x15).
    pub(crate) const fn short_field(bits: u32, shift: u32) -> Self {
        Self(((bits >> shift) & 7) as u8 + 8)
    }

    /// Returns the number, 0 to 31.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Bytes of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Length {
    /// A compressed instruction.
    Two = 2,
    /// An ordinary instruction.
    Four = 4,
}

impl Length {
    /// Returns the length of the instruction that begins with this parcel (I 1.5); longer
    /// encodings than 32 bits have no users, so they count as four.
    #[must_use]
    pub const fn of(parcel: u16) -> Self {
        if parcel & 3 == 3 {
            Self::Four
        } else {
            Self::Two
        }
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        self as u8
    }
}
