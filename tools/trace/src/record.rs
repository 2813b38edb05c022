//! Records, as words of 32 bits in little-endian order.
//!
//! The low two bits of the first word of a record say what it is: 0 is an instruction that is executed
//! (processor in bits 2 to 7, the instruction's number above), 1 defines the next number by 8 more words
//! (virtual address, address in the emulator, 16 bytes; the length is in bits 2 to 7), and 2 is an access
//! (processor in bits 2 to 7, whether it stores in bit 8, its size from bit 16 on) by 4 more words, its
//! virtual and its physical address.

/// The most bytes of an instruction.
pub const LONGEST: usize = 16;
/// Words of the longest record.
pub const WORDS: usize = 9;

/// An instruction at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Its virtual address.
    pub address: u64,
    /// Where the emulator has it in its own memory: pages of the machine's memory that follow each
    /// other do so there too.
    pub host: u64,
    /// Its length.
    pub length: u8,
    /// Its bytes, and zeros.
    pub bytes: [u8; LONGEST],
}

/// An access to memory by the instruction that its processor executed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The processor.
    pub core: u8,
    /// Whether it stores.
    pub is_store: bool,
    /// How many bytes.
    pub size: u16,
    /// The virtual address.
    pub address: u64,
    /// The physical address.
    pub physical: u64,
}

/// What a trace is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An instruction, which has the next number, counted from 0.
    Define(Instruction),
    /// A processor is about to execute the instruction with this number.
    Execute {
        /// The processor.
        core: u8,
        /// The instruction's number.
        number: u32,
    },
    /// An access to memory.
    Access(Access),
}

const EXECUTE: u32 = 0;
const DEFINE: u32 = 1;
const ACCESS: u32 = 2;

/// Returns both halves of a number.
const fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// Returns a number of two halves.
const fn joined(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

impl Record {
    /// Returns its words, and how many.
    #[must_use]
    pub fn words(&self) -> ([u32; WORDS], usize) {
        let mut words = [0; WORDS];
        let length = match self {
            Self::Execute { core, number } => {
                words[0] = EXECUTE | u32::from(*core & 63) << 2 | number << 8;
                1
            }
            Self::Define(instruction) => {
                words[0] = DEFINE | u32::from(instruction.length & 63) << 2;
                words[1..3].copy_from_slice(&halves(instruction.address));
                words[3..5].copy_from_slice(&halves(instruction.host));
                let (chunks, _) = instruction.bytes.as_chunks::<4>();
                for (word, chunk) in words[5..].iter_mut().zip(chunks) {
                    *word = u32::from_le_bytes(*chunk);
                }
                WORDS
            }
            Self::Access(access) => {
                let core = u32::from(access.core & 63) << 2;
                let size = u32::from(access.size) << 16;
                words[0] = ACCESS | core | u32::from(access.is_store) << 8 | size;
                words[1..3].copy_from_slice(&halves(access.address));
                words[3..5].copy_from_slice(&halves(access.physical));
                5
            }
        };
        (words, length)
    }

    /// Returns the record at the start of these words, and how many of them it has; nothing where its
    /// end is not there, or where this is no trace.
    #[must_use]
    pub fn read(words: &[u32]) -> Option<(Self, usize)> {
        let first = *words.first()?;
        let core = (first >> 2 & 63) as u8;
        match first & 3 {
            EXECUTE => {
                let number = first >> 8;
                Some((Self::Execute { core, number }, 1))
            }
            DEFINE => {
                let words = words.get(1..WORDS)?;
                let mut bytes = [0; LONGEST];
                for (chunk, word) in bytes.chunks_exact_mut(4).zip(&words[4..]) {
                    chunk.copy_from_slice(&word.to_le_bytes());
                }
                let instruction = Instruction {
                    address: joined(words[0], words[1]),
                    host: joined(words[2], words[3]),
                    length: core,
                    bytes,
                };
                Some((Self::Define(instruction), WORDS))
            }
            ACCESS => {
                let words = words.get(1..5)?;
                let access = Access {
                    core,
                    is_store: first >> 8 & 1 != 0,
                    size: (first >> 16) as u16,
                    address: joined(words[0], words[1]),
                    physical: joined(words[2], words[3]),
                };
                Some((Self::Access(access), 5))
            }
            _ => None,
        }
    }
}

impl Instruction {
    /// Returns its bytes.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length).min(LONGEST)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut bytes = [0; LONGEST];
        bytes[..4].copy_from_slice(&[0x73, 0, 0, 0xff]);
        let instruction = Instruction {
            address: 0xffff_ffff_8020_0000,
            host: 0x7fff_1234_5678,
            length: 4,
            bytes,
        };
        let access = Access {
            core: 3,
            is_store: true,
            size: 8,
            address: 0xffff_ffc0_0000_0008,
            physical: 0x8000_0008,
        };
        let all = [
            Record::Define(instruction),
            Record::Execute {
                core: 3,
                number: 0xf_ffff,
            },
            Record::Access(access),
        ];
        let mut stream = Vec::new();
        for record in &all {
            let (words, length) = record.words();
            assert_eq!(Record::read(&words[..length - 1]), None);
            stream.extend_from_slice(&words[..length]);
        }
        let mut rest = &stream[..];
        for record in all {
            let (found, length) = Record::read(rest).expect("there is one");
            assert_eq!(found, record);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(instruction.code(), [0x73, 0, 0, 0xff]);
    }

    #[test]
    fn what_is_no_trace_is_no_record() {
        assert_eq!(Record::read(&[3]), None);
        assert_eq!(Record::read(&[]), None);
    }
}
