//! Compressed loads and stores of RV64 (I 27.3, and Zcb).

use super::{DataAccess, Gpr, Length, MemoryInstruction, Operation, Width};

/// Returns a compressed access.
const fn access(width: Width, operation: Operation) -> Option<MemoryInstruction> {
    Some(MemoryInstruction::Data(DataAccess {
        width,
        operation,
        length: Length::Two,
    }))
}

/// Returns a compressed load.
const fn load(width: Width, destination: Gpr, signed: bool) -> Option<MemoryInstruction> {
    access(
        width,
        Operation::Load {
            destination,
            signed,
        },
    )
}

/// Returns a compressed store.
const fn store(width: Width, source: Gpr) -> Option<MemoryInstruction> {
    access(width, Operation::Store { source })
}

/// Decodes a 16-bit instruction; `None` where it does not access memory or is reserved.
pub(super) const fn decode(bits: u32) -> Option<MemoryInstruction> {
    let short = Gpr::short_field(bits, 2);
    let stack_source = Gpr::field(bits, 2);
    let stack_destination = Gpr::field(bits, 7);
    match (bits & 3, bits >> 13) {
        (0, 1 | 5) | (2, 1 | 5) => Some(MemoryInstruction::OtherRegisters),
        (0, 2) => load(Width::Word, short, true),
        (0, 3) => load(Width::Double, short, true),
        (0, 4) => decode_zcb(bits, short),
        (0, 6) => store(Width::Word, short),
        (0, 7) => store(Width::Double, short),
        (2, 2 | 3) if stack_destination.number() == 0 => None,
        (2, 2) => load(Width::Word, stack_destination, true),
        (2, 3) => load(Width::Double, stack_destination, true),
        (2, 6) => store(Width::Word, stack_source),
        (2, 7) => store(Width::Double, stack_source),
        _ => None,
    }
}

/// Decodes the byte and half-word accesses of Zcb.
const fn decode_zcb(bits: u32, register: Gpr) -> Option<MemoryInstruction> {
    let signed = bits & 1 << 6 != 0;
    match (bits >> 10) & 7 {
        0 => load(Width::Byte, register, false),
        1 => load(Width::Half, register, signed),
        2 => store(Width::Byte, register),
        3 if !signed => store(Width::Half, register),
        _ => None,
    }
}
