//! What htinst says about the instruction that trapped (II 15.6.3).

use crate::instruction::{Length, MemoryInstruction};

/// A decoded htinst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrapInstruction {
    /// The hardware says nothing: fetch the instruction.
    Unknown,
    /// The guest's own page table could not be read or written; no instruction is to blame.
    PageTable {
        /// The hardware wanted to update an entry's A or D bit.
        write: bool,
    },
    /// The instruction, transformed.
    Memory {
        /// What it does.
        instruction: MemoryInstruction,
        /// Bytes from the instruction's own address to the faulting one, of misaligned accesses.
        offset: u8,
    },
}

/// Pseudo-instruction for a read of a 64-bit page-table entry.
const PAGE_TABLE_READ: u64 = 0x3000;
/// Pseudo-instruction for a write of a 64-bit page-table entry.
const PAGE_TABLE_WRITE: u64 = 0x3020;

impl TrapInstruction {
    /// Decodes a value of htinst. What is neither a pseudo-instruction nor a well-formed
    /// transformed load, store or AMO is [`TrapInstruction::Unknown`].
    #[must_use]
    pub const fn decode(htinst: u64) -> Self {
        match htinst {
            PAGE_TABLE_READ => return Self::PageTable { write: false },
            PAGE_TABLE_WRITE => return Self::PageTable { write: true },
            _ => {}
        }
        if htinst & 1 == 0 || htinst >> 32 != 0 {
            return Self::Unknown;
        }
        let length = if htinst & 2 == 0 {
            Length::Two
        } else {
            Length::Four
        };
        let bits = htinst as u32 | 2;
        if !is_cleared(bits) {
            return Self::Unknown;
        }
        match MemoryInstruction::decode_full(bits, length) {
            Some(instruction) => Self::Memory {
                instruction,
                offset: ((bits >> 15) & 31) as u8,
            },
            None => Self::Unknown,
        }
    }
}

/// Returns whether the fields that the transformation clears are clear.
const fn is_cleared(bits: u32) -> bool {
    match bits & 0x7f {
        0x03 | 0x07 => bits >> 20 == 0,
        0x23 | 0x27 => bits >> 25 == 0 && (bits >> 7) & 31 == 0,
        _ => true,
    }
}
