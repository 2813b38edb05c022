//! The instructions that access memory of devices: what they do, and how long they are (SDM 2,
//! chapter 2 and appendix A).
//!
//! Only what matters for the access is kept: where the operand in memory is, the machine told. So an
//! effective address is skipped, not computed, and an instruction without a memory operand is none.

mod bytes;
mod decode;
mod opcode;
mod operands;

pub use bytes::{Bytes, Prefixes};

/// The longest instruction.
pub const LONGEST: usize = 15;

/// The mode that instructions are decoded in, by the code segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 16-bit operands and addresses.
    Bits16,
    /// 32-bit operands and addresses.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

/// A general register, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The register, 0 to 15.
    pub register: u8,
    /// It is bits 15:8.
    pub high: bool,
}

/// Where the other operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A register, as wide as the memory operand.
    Register(Part),
    /// [`Instruction::immediate`].
    Immediate,
}

/// What a value of memory and another are combined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Addition.
    Add,
    /// Bitwise or.
    Or,
    /// Addition with carry.
    AddCarry,
    /// Subtraction with borrow.
    SubtractBorrow,
    /// Bitwise and.
    And,
    /// Subtraction.
    Subtract,
    /// Bitwise exclusive or.
    ExclusiveOr,
    /// Subtraction whose result only sets flags.
    Compare,
    /// Bitwise and whose result only sets flags.
    Test,
}

/// What becomes of a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitChange {
    /// It stays.
    Test,
    /// It is set.
    Set,
    /// It is cleared.
    Reset,
    /// It is inverted.
    Complement,
}

/// What an instruction does with its memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Loads it into a register, extended to `wide` bytes, by its sign if `signed`.
    Load {
        /// The register.
        to: Part,
        /// Bytes of the register that change; the upper half of eight becomes zero behind four.
        wide: u8,
        /// The sign is extended.
        signed: bool,
    },
    /// Stores into it.
    Store(Source),
    /// Combines it with another value; the result goes to memory, or to a register.
    Combine {
        /// How.
        operator: Operator,
        /// The other value.
        source: Source,
        /// The result goes to the register that is the source.
        to_register: bool,
    },
    /// Adds one, or subtracts one: the carry stays.
    Step {
        /// It subtracts.
        down: bool,
    },
    /// Inverts its bits; no flag changes.
    Invert,
    /// Exchanges it with a register.
    Exchange(Part),
    /// Copies a bit of it to the carry.
    Bit {
        /// What becomes of the bit.
        change: BitChange,
        /// Its number.
        source: Source,
    },
    /// `MOVS`: from memory at rSI to memory at rDI.
    MoveString,
    /// `STOS`: stores rAX at rDI.
    StoreString,
    /// `LODS`: loads rAX from rSI.
    LoadString,
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub operation: Operation,
    /// The value in it, to be sign-extended; 0 where there is none.
    pub immediate: i32,
    /// Bytes of its memory operand: 1, 2, 4 or 8.
    pub size: u8,
    /// Its own bytes.
    pub length: u8,
    /// Its prefixes.
    pub prefixes: Prefixes,
    /// The mode that it was decoded in.
    pub mode: Mode,
}

impl Instruction {
    /// Returns the bytes of an address: 2, 4 or 8.
    #[must_use]
    pub const fn address_size(self) -> u8 {
        self.prefixes.address_size(self.mode)
    }
}

/// An access by a string instruction to ports: `INS` and `OUTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortString {
    /// It stores to the port.
    pub write: bool,
    /// Bytes: 1, 2 or 4.
    pub size: u8,
    /// Its own bytes.
    pub length: u8,
    /// Bytes of an address.
    pub address_size: u8,
    /// It is repeated as rCX says.
    pub repeats: bool,
    /// The segment whose prefix it has.
    pub segment: Option<u8>,
}

/// A move between a control or debug register and a general one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemMove {
    /// Of a control register; else of a debug register.
    pub control: bool,
    /// To that register.
    pub write: bool,
    /// Its number, 0 to 15.
    pub number: u8,
    /// The general register.
    pub register: u8,
    /// Bytes that move: 4 or 8.
    pub size: u8,
    /// Its own bytes.
    pub length: u8,
}
