//! From bytes to instructions.

use super::bytes::{Bytes, Prefixes, Rex};
use super::opcode::{Meaning, OPCODES, Opcode};
use super::operands::operands;
use super::{
    BitChange, Instruction, Mode, Operation, Operator, Part, PortString, Source, SystemMove,
};
use core::hint::cold_path;

/// Operators by their number in opcodes.
const OPERATORS: [Operator; 8] = [
    Operator::Add,
    Operator::Or,
    Operator::AddCarry,
    Operator::SubtractBorrow,
    Operator::And,
    Operator::Subtract,
    Operator::ExclusiveOr,
    Operator::Compare,
];

/// Changes of bits by their number in opcodes, less four.
const CHANGES: [BitChange; 4] = [
    BitChange::Test,
    BitChange::Set,
    BitChange::Reset,
    BitChange::Complement,
];

/// The byte before an opcode of two bytes.
const ESCAPE: u8 = 0x0f;

/// What the bytes of an instruction say, before what they mean.
#[derive(Clone, Copy)]
struct Fields {
    prefixes: Prefixes,
    mode: Mode,
    opcode: u8,
    /// The register field of the operands, without its extension.
    register: u8,
    /// Bytes of the memory operand, as they mostly are.
    size: u8,
}

impl Instruction {
    /// Decodes an instruction with an operand in memory; `None` where it is none that is known, or
    /// its bytes are not all there.
    #[must_use]
    #[inline]
    pub fn decode(bytes: Bytes, mode: Mode) -> Option<Self> {
        let (prefixes, code) = Prefixes::of(bytes, mode);
        let operand_size = prefixes.operand_size(mode);
        let mut length = prefixes.count + 1;
        let [first, second, ..] = code.to_le_bytes();
        let (opcode, it, size, code) = if first == ESCAPE {
            cold_path();
            length += 1;
            let it = OPCODES[1][usize::from(second)];
            (second, it, operand_size, code >> 16)
        } else {
            let size = if first & 1 == 0 { 1 } else { operand_size };
            (first, OPCODES[0][usize::from(first)], size, code >> 8)
        };
        let mut register = 0;
        if it.operands {
            let taken;
            (register, taken) = operands(code, prefixes, mode)?;
            length += taken;
        }
        let fields = Fields {
            prefixes,
            mode,
            opcode,
            register,
            size,
        };
        let mut immediate = 0;
        if it.value > 0 {
            let value = fields.value(it);
            // One that is not there is found below.
            if value > 0 && length < bytes.count() {
                immediate = bytes.number(length, value) as i32;
            }
            length += value;
        }
        if length > bytes.count() {
            return None;
        }
        let (operation, size) = fields.operation(it.meaning)?;
        Some(Self {
            operation,
            immediate,
            size,
            length,
            prefixes,
            mode,
        })
    }
}

impl PortString {
    /// Decodes `INS` and `OUTS`.
    #[must_use]
    pub fn decode(bytes: Bytes, mode: Mode) -> Option<Self> {
        let (prefixes, code) = Prefixes::of(bytes, mode);
        let opcode = code as u8;
        let length = prefixes.count + 1;
        if !(0x6c..=0x6f).contains(&opcode) || length > bytes.count() {
            return None;
        }
        Some(Self {
            write: opcode & 2 != 0,
            size: match opcode & 1 {
                0 => 1,
                _ => prefixes.operand_size(mode).min(4),
            },
            length,
            address_size: prefixes.address_size(mode),
            repeats: prefixes.repeats,
            segment: prefixes.segment,
        })
    }
}

impl SystemMove {
    /// Decodes a move of a control or debug register; both operands are registers whatever the mode
    /// field says.
    #[must_use]
    pub fn decode(bytes: Bytes, mode: Mode) -> Option<Self> {
        let (prefixes, code) = Prefixes::of(bytes, mode);
        let [escape, opcode, operands, ..] = code.to_le_bytes();
        let (control, write) = match (escape, opcode) {
            (ESCAPE, 0x20) => (true, false),
            (ESCAPE, 0x21) => (false, false),
            (ESCAPE, 0x22) => (true, true),
            (ESCAPE, 0x23) => (false, true),
            _ => return None,
        };
        let length = prefixes.count + 3;
        (length <= bytes.count()).then_some(Self {
            control,
            write,
            number: prefixes.rex().register(operands >> 3 & 7),
            register: prefixes.rex().base(operands & 7),
            size: if mode == Mode::Bits64 { 8 } else { 4 },
            length,
        })
    }
}

impl Fields {
    /// Returns the bytes of the value that follows.
    #[inline]
    const fn value(self, it: Opcode) -> u8 {
        match it.meaning {
            Meaning::LoadAbsolute | Meaning::StoreAbsolute => self.prefixes.address_size(self.mode),
            // Others of that group have none.
            Meaning::Group3 if self.register > 1 => 0,
            _ if self.size < it.value => self.size,
            _ => it.value,
        }
    }

    /// Returns the register of the register field, as wide as the memory operand.
    #[inline]
    fn part(self) -> Part {
        if self.size == 1 {
            return byte_part(self.prefixes.rex(), self.register);
        }
        self.whole()
    }

    /// Returns the register of the register field, which is wider than a byte.
    #[inline]
    const fn whole(self) -> Part {
        Part {
            register: self.prefixes.rex().register(self.register),
            high: false,
        }
    }

    /// Returns what the instruction does, and the bytes of its memory operand.
    #[inline(always)]
    fn operation(self, meaning: Meaning) -> Option<(Operation, u8)> {
        let size = self.size;
        Some((
            match meaning {
                Meaning::Unknown => return None,
                Meaning::Load => loads(self.part(), size),
                Meaning::Store => Operation::Store(Source::Register(self.part())),
                Meaning::StoreImmediate if self.register == 0 => {
                    Operation::Store(Source::Immediate)
                }
                Meaning::StoreImmediate => return None,
                Meaning::LoadExtended => return self.extended(),
                Meaning::LoadSmall => return Some(self.small()),
                Meaning::LoadAbsolute | Meaning::StoreAbsolute => absolute(meaning, size),
                Meaning::Combine => {
                    let operator = *OPERATORS.get(usize::from(self.opcode >> 3))?;
                    let source = Source::Register(self.part());
                    combine(operator, source, self.opcode & 2 != 0)
                }
                Meaning::CombineImmediate => {
                    let operator = *OPERATORS.get(usize::from(self.register))?;
                    combine(operator, Source::Immediate, false)
                }
                Meaning::Test => combine(Operator::Test, Source::Register(self.part()), false),
                Meaning::Exchange => Operation::Exchange(self.part()),
                Meaning::Group3 | Meaning::Group4 => self.group(meaning)?,
                Meaning::Bit => changes(self.opcode >> 3, Source::Register(self.part()))?,
                Meaning::BitImmediate => changes(self.register.checked_sub(4)?, Source::Immediate)?,
                Meaning::MoveString => Operation::MoveString,
                Meaning::StoreString => Operation::StoreString,
                Meaning::LoadString => Operation::LoadString,
            },
            size,
        ))
    }

    /// Returns the load of four bytes that are extended by their sign, and four; only 64-bit mode has
    /// one.
    #[inline]
    fn extended(self) -> Option<(Operation, u8)> {
        let load = Operation::Load {
            to: self.whole(),
            wide: self.prefixes.operand_size(self.mode),
            signed: true,
        };
        (self.mode == Mode::Bits64).then_some((load, 4))
    }

    /// Returns the load of one or two bytes that are extended, and how many.
    #[inline]
    const fn small(self) -> (Operation, u8) {
        let load = Operation::Load {
            to: self.whole(),
            wide: self.prefixes.operand_size(self.mode),
            signed: self.opcode & 8 != 0,
        };
        (load, 1 << (self.opcode & 1))
    }

    /// Returns what an opcode does whose register field belongs to it.
    #[inline]
    const fn group(self, meaning: Meaning) -> Option<Operation> {
        match (meaning, self.register) {
            (Meaning::Group3, 0 | 1) => Some(combine(Operator::Test, Source::Immediate, false)),
            (Meaning::Group3, 2) => Some(Operation::Invert),
            (Meaning::Group4, register @ 0..=1) => Some(Operation::Step {
                down: register == 1,
            }),
            _ => None,
        }
    }
}

/// Returns a register of one byte: without a REX prefix, the last four are the high ones of the first.
#[inline(never)]
const fn byte_part(rex: Rex, field: u8) -> Part {
    let high = !rex.is_there() && field >= 4;
    let register = if high { field - 4 } else { rex.register(field) };
    Part { register, high }
}

/// Returns the load into a register of the operand's.
#[inline]
const fn loads(to: Part, wide: u8) -> Operation {
    Operation::Load {
        to,
        wide,
        signed: false,
    }
}

/// Returns the move between rAX and memory.
#[inline]
fn absolute(meaning: Meaning, size: u8) -> Operation {
    let accumulator = Part {
        register: 0,
        high: false,
    };
    if meaning == Meaning::LoadAbsolute {
        loads(accumulator, size)
    } else {
        Operation::Store(Source::Register(accumulator))
    }
}

/// Returns the operation that combines memory with something.
#[inline]
const fn combine(operator: Operator, source: Source, to_register: bool) -> Operation {
    Operation::Combine {
        operator,
        source,
        to_register,
    }
}

/// Returns the change of a bit that has the number `change` in opcodes, less four.
#[inline]
fn changes(change: u8, source: Source) -> Option<Operation> {
    let change = *CHANGES.get(usize::from(change & 3))?;
    Some(Operation::Bit { change, source })
}
