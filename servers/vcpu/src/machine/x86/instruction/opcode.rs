//! The opcodes of instructions that access memory of devices: what each means, and what follows it.

/// Bytes of a value that is an address.
const ADDRESS: u8 = 8;

/// What an opcode means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is none that is known.
    Unknown,
    /// A load into the register.
    Load,
    /// A store of the register.
    Store,
    /// A store of the value; its register field is 0.
    StoreImmediate,
    /// A load of four bytes that are extended by their sign.
    LoadExtended,
    /// A load of a byte or a word that are extended by zeros, or by their sign.
    LoadSmall,
    /// A load into rAX, from an address in the instruction.
    LoadAbsolute,
    /// A store of rAX, to an address in the instruction.
    StoreAbsolute,
    /// The opcode's operator, with the register.
    Combine,
    /// The operator of the register field, with the value.
    CombineImmediate,
    /// A test, with the register.
    Test,
    /// An exchange with the register.
    Exchange,
    /// A test with the value, or an inversion, as the register field says.
    Group3,
    /// An increment or a decrement, as the register field says.
    Group4,
    /// A change of the bit that the register names.
    Bit,
    /// A change of the bit that the value names.
    BitImmediate,
    /// `MOVS`.
    MoveString,
    /// `STOS`.
    StoreString,
    /// `LODS`.
    LoadString,
}

/// An opcode.
#[derive(Clone, Copy)]
pub struct Opcode {
    /// What it means.
    pub meaning: Meaning,
    /// A register and memory follow.
    pub operands: bool,
    /// Bytes of the value that follows: so many as an address has, or at most as the operand has.
    pub value: u8,
}

impl Opcode {
    /// Returns an opcode that operands follow.
    const fn with_operands(meaning: Meaning, value: u8) -> Self {
        Self {
            meaning,
            operands: true,
            value,
        }
    }

    /// Returns an opcode without operands.
    const fn alone(meaning: Meaning) -> Self {
        Self {
            meaning,
            operands: false,
            value: 0,
        }
    }

    /// Returns an opcode that an address follows.
    const fn with_address(meaning: Meaning) -> Self {
        Self {
            meaning,
            operands: false,
            value: ADDRESS,
        }
    }

    /// Returns an opcode of one byte.
    const fn of(opcode: u8) -> Self {
        match opcode {
            0x00..=0x3f if opcode & 4 == 0 => Self::with_operands(Meaning::Combine, 0),
            0x63 => Self::with_operands(Meaning::LoadExtended, 0),
            0x80 | 0x81 => Self::with_operands(Meaning::CombineImmediate, 4),
            0x83 => Self::with_operands(Meaning::CombineImmediate, 1),
            0x84 | 0x85 => Self::with_operands(Meaning::Test, 0),
            0x86 | 0x87 => Self::with_operands(Meaning::Exchange, 0),
            0x88 | 0x89 => Self::with_operands(Meaning::Store, 0),
            0x8a | 0x8b => Self::with_operands(Meaning::Load, 0),
            0xa0 | 0xa1 => Self::with_address(Meaning::LoadAbsolute),
            0xa2 | 0xa3 => Self::with_address(Meaning::StoreAbsolute),
            0xa4 | 0xa5 => Self::alone(Meaning::MoveString),
            0xaa | 0xab => Self::alone(Meaning::StoreString),
            0xac | 0xad => Self::alone(Meaning::LoadString),
            0xc6 | 0xc7 => Self::with_operands(Meaning::StoreImmediate, 4),
            0xf6 | 0xf7 => Self::with_operands(Meaning::Group3, 4),
            0xfe | 0xff => Self::with_operands(Meaning::Group4, 0),
            _ => Self::alone(Meaning::Unknown),
        }
    }

    /// Returns an opcode of two bytes.
    const fn of_two(opcode: u8) -> Self {
        match opcode {
            0xa3 | 0xab | 0xb3 | 0xbb => Self::with_operands(Meaning::Bit, 0),
            0xb6 | 0xb7 | 0xbe | 0xbf => Self::with_operands(Meaning::LoadSmall, 0),
            0xba => Self::with_operands(Meaning::BitImmediate, 1),
            // A store of a doubleword or quadword without temporal locality.
            0xc3 => Self::with_operands(Meaning::Store, 0),
            _ => Self::alone(Meaning::Unknown),
        }
    }
}

/// Opcodes of one byte, then those of two.
pub static OPCODES: [[Opcode; 256]; 2] = {
    let mut opcodes = [[Opcode::alone(Meaning::Unknown); 256]; 2];
    let mut number = 0;
    while number < 256 {
        opcodes[0][number] = Opcode::of(number as u8);
        opcodes[1][number] = Opcode::of_two(number as u8);
        number += 1;
    }
    opcodes
};
