//! From bytes to instructions.

use super::bytes::{Bytes, Prefixes};
use super::{
    BitChange, Instruction, Mode, Operation, Operator, Part, PortString, Source, SystemMove,
};

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

/// An instruction in the making.
struct Decoder {
    bytes: Bytes,
    prefixes: Prefixes,
    /// Bytes of the memory operand.
    size: u8,
}

impl Instruction {
    /// Decodes an instruction with an operand in memory; `None` where it is none that is known, or
    /// its bytes are not all there.
    #[must_use]
    pub fn decode(bytes: &[u8], mode: Mode) -> Option<Self> {
        let mut bytes = Bytes::new(bytes);
        let (prefixes, opcode) = Prefixes::take(&mut bytes, mode)?;
        let mut decoder = Decoder {
            bytes,
            prefixes,
            size: if opcode & 1 == 0 {
                1
            } else {
                prefixes.operand_size
            },
        };
        let operation = match opcode {
            0x0f => decoder.two_bytes()?,
            _ => decoder.one_byte(opcode, mode)?,
        };
        let is_string = matches!(
            operation,
            Operation::MoveString | Operation::StoreString | Operation::LoadString
        );
        Some(Self {
            operation,
            size: decoder.size,
            length: decoder.bytes.taken(),
            address_size: prefixes.address_size,
            repeats: prefixes.repeats && is_string,
            segment: prefixes.segment,
        })
    }
}

impl PortString {
    /// Decodes `INS` and `OUTS`.
    #[must_use]
    pub fn decode(bytes: &[u8], mode: Mode) -> Option<Self> {
        let mut bytes = Bytes::new(bytes);
        let (prefixes, opcode) = Prefixes::take(&mut bytes, mode)?;
        if !(0x6c..=0x6f).contains(&opcode) {
            return None;
        }
        Some(Self {
            write: opcode & 2 != 0,
            size: match opcode & 1 {
                0 => 1,
                _ => prefixes.operand_size.min(4),
            },
            length: bytes.taken(),
            address_size: prefixes.address_size,
            repeats: prefixes.repeats,
            segment: prefixes.segment,
        })
    }
}

impl SystemMove {
    /// Decodes a move of a control or debug register; both operands are registers whatever the mode
    /// field says.
    #[must_use]
    pub fn decode(bytes: &[u8], mode: Mode) -> Option<Self> {
        let mut bytes = Bytes::new(bytes);
        let (prefixes, opcode) = Prefixes::take(&mut bytes, mode)?;
        let (control, write) = match (opcode, bytes.take()?) {
            (0x0f, 0x20) => (true, false),
            (0x0f, 0x21) => (false, false),
            (0x0f, 0x22) => (true, true),
            (0x0f, 0x23) => (false, true),
            _ => return None,
        };
        let operands = bytes.take()?;
        let [is_high_number, _, is_high] = prefixes.extensions;
        Some(Self {
            control,
            write,
            number: operands >> 3 & 7 | u8::from(is_high_number) << 3,
            register: operands & 7 | u8::from(is_high) << 3,
            size: if mode == Mode::Bits64 { 8 } else { 4 },
            length: bytes.taken(),
        })
    }
}

impl Decoder {
    /// Returns the register of a field, as wide as the memory operand.
    const fn part(&self, field: u8) -> Part {
        let [extension, ..] = self.prefixes.extensions;
        if self.size == 1 && !self.prefixes.is_rex && field >= 4 {
            return Part {
                register: field - 4,
                high: true,
            };
        }
        Part {
            register: field | (extension as u8) << 3,
            high: false,
        }
    }

    /// Takes the operands; returns the register.
    fn operands(&mut self) -> Option<Part> {
        let field = self.prefixes.operands(&mut self.bytes)?;
        Some(self.part(field))
    }

    /// Takes the operands where the register field is part of the opcode.
    fn group(&mut self) -> Option<u8> {
        self.prefixes.operands(&mut self.bytes)
    }

    /// Takes a value of at most four bytes, as wide as the operand otherwise.
    fn immediate(&mut self) -> Option<Source> {
        self.bytes.number(self.size.min(4)).map(Source::Immediate)
    }

    /// Decodes an opcode of one byte.
    fn one_byte(&mut self, opcode: u8, mode: Mode) -> Option<Operation> {
        match opcode {
            0x00..=0x3f if opcode & 4 == 0 => self.combine(opcode),
            0x63 if mode == Mode::Bits64 => {
                self.size = 4;
                self.load(self.prefixes.operand_size, true)
            }
            0x80 | 0x81 | 0x83 => self.combine_immediate(opcode == 0x83),
            0x84 | 0x85 => {
                let source = Source::Register(self.operands()?);
                Some(with(Operator::Test, source))
            }
            0x86 | 0x87 => self.operands().map(Operation::Exchange),
            0x88 | 0x89 => self.operands().map(Source::Register).map(Operation::Store),
            0x8a | 0x8b => self.load(self.size, false),
            0xa0..=0xa3 => self.absolute(opcode & 2 != 0),
            0xa4 | 0xa5 => Some(Operation::MoveString),
            0xaa | 0xab => Some(Operation::StoreString),
            0xac | 0xad => Some(Operation::LoadString),
            0xc6 | 0xc7 if self.group()? == 0 => self.immediate().map(Operation::Store),
            0xf6 | 0xf7 => match self.group()? {
                0 | 1 => Some(with(Operator::Test, self.immediate()?)),
                2 => Some(Operation::Invert),
                _ => None,
            },
            0xfe | 0xff => match self.group()? {
                field @ 0..=1 => Some(Operation::Step { down: field == 1 }),
                _ => None,
            },
            _ => None,
        }
    }

    /// Decodes an opcode whose first byte was 0x0f.
    fn two_bytes(&mut self) -> Option<Operation> {
        let opcode = self.bytes.take()?;
        let wide = self.prefixes.operand_size;
        self.size = wide;
        match opcode {
            0xa3 | 0xab | 0xb3 | 0xbb => {
                let source = Source::Register(self.operands()?);
                let change = *CHANGES.get(usize::from(opcode >> 3 & 3))?;
                Some(Operation::Bit { change, source })
            }
            0xba => {
                let field = self.group()?;
                let change = *CHANGES.get(usize::from(field.checked_sub(4)?))?;
                let source = Source::Immediate(self.bytes.number(1)?);
                Some(Operation::Bit { change, source })
            }
            0xb6 | 0xb7 | 0xbe | 0xbf => {
                let [extension, ..] = self.prefixes.extensions;
                self.size = 1 << (opcode & 1);
                let field = self.group()?;
                let to = Part {
                    register: field | u8::from(extension) << 3,
                    high: false,
                };
                let signed = opcode & 8 != 0;
                Some(Operation::Load { to, wide, signed })
            }
            // Loads and stores of a doubleword or quadword without temporal locality.
            0xc3 => self.operands().map(Source::Register).map(Operation::Store),
            _ => None,
        }
    }

    /// Decodes a load whose register is the operand's.
    fn load(&mut self, wide: u8, signed: bool) -> Option<Operation> {
        let to = self.operands()?;
        Some(Operation::Load { to, wide, signed })
    }

    /// Decodes a move between rAX and an address in the instruction.
    fn absolute(&mut self, store: bool) -> Option<Operation> {
        self.bytes.number(self.prefixes.address_size)?;
        let to = Part {
            register: 0,
            high: false,
        };
        let wide = self.size;
        Some(if store {
            Operation::Store(Source::Register(to))
        } else {
            let signed = false;
            Operation::Load { to, wide, signed }
        })
    }

    /// Decodes an operator between memory and a register.
    fn combine(&mut self, opcode: u8) -> Option<Operation> {
        let operator = *OPERATORS.get(usize::from(opcode >> 3))?;
        let source = Source::Register(self.operands()?);
        Some(Operation::Combine {
            operator,
            source,
            to_register: opcode & 2 != 0,
        })
    }

    /// Decodes an operator between memory and a value.
    fn combine_immediate(&mut self, is_byte: bool) -> Option<Operation> {
        let operator = *OPERATORS.get(usize::from(self.group()?))?;
        let source = if is_byte {
            Source::Immediate(self.bytes.number(1)?)
        } else {
            self.immediate()?
        };
        Some(with(operator, source))
    }
}

/// Returns the operation that combines memory with something.
const fn with(operator: Operator, source: Source) -> Operation {
    Operation::Combine {
        operator,
        source,
        to_register: false,
    }
}
