//! The instructions that a trace has named so far.

use ::trace::operation::{Machine, Operation};
use ::trace::record::Instruction;

use super::image::Image;

/// Where memory of a RISC-V machine begins, and firmware with it.
const RISCV_MEMORY: u64 = 0x8000_0000;

/// An instruction that a trace speaks of by its number.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The instruction.
    pub instruction: Instruction,
    /// What is special about it.
    pub operation: Operation,
    /// Whether it is the kernel's.
    pub is_kernel: bool,
    /// Whether it is executed where it is in memory, below every user: it is firmware's then, or the
    /// start of the kernel's boot.
    pub is_firmware: bool,
}

/// All of them.
#[derive(Debug)]
pub struct Book {
    machine: Machine,
    kernel: Image,
    known: Vec<Known>,
    /// What the emulator's addresses of the machine's memory are above physical ones; nothing before the
    /// kernel runs.
    distance: Option<u64>,
}

impl Book {
    /// Returns an empty one, for a machine with this kernel.
    pub fn new(machine: Machine, kernel: Image) -> Self {
        Self {
            machine,
            kernel,
            known: Vec::new(),
            distance: None,
        }
    }

    /// Adds an instruction.
    pub fn define(&mut self, instruction: &Instruction) {
        let physical = self.kernel.physical(instruction);
        let distance = physical.map(|physical| instruction.host.wrapping_sub(physical));
        if self.distance.is_none() {
            self.distance = distance;
        }
        self.known.push(Known {
            instruction: *instruction,
            operation: Operation::of(self.machine, instruction.code()),
            is_kernel: distance.is_some() && distance == self.distance,
            is_firmware: false,
        });
    }

    /// Returns the instructions between two readings of the counter that belong to a program's counting:
    /// x86-64 moves what it reads.
    pub fn counting(&self) -> u64 {
        match self.machine {
            Machine::X86 => 7,
            Machine::Riscv | Machine::S390 => 0,
        }
    }

    /// Returns the instruction with a number.
    pub fn get(&self, number: u32) -> Option<Known> {
        let known = *self.known.get(number as usize)?;
        // Firmware runs before it is known where memory is.
        Some(Known {
            is_firmware: !known.is_kernel && self.is_firmware(&known.instruction),
            ..known
        })
    }

    /// Tells whether an instruction is at its physical address.
    fn is_firmware(&self, instruction: &Instruction) -> bool {
        let distance = instruction.host.wrapping_sub(instruction.address);
        self.machine == Machine::Riscv
            && instruction.address >= RISCV_MEMORY
            && self.distance == Some(distance)
    }

    /// Tells whether the kernel has run.
    pub fn has_kernel(&self) -> bool {
        self.distance.is_some()
    }

    /// Returns all instructions.
    pub fn all(&self) -> impl Iterator<Item = &Instruction> {
        self.known.iter().map(|known| &known.instruction)
    }

    /// Returns the kernel.
    pub fn kernel(&self) -> &Image {
        &self.kernel
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Where the kernel of tests is, and where users are.
    pub const KERNEL: u64 = 0xffff_ffff_8020_0000;
    pub const USER: u64 = 0x1_0000;

    /// Returns an instruction of four bytes.
    pub fn instruction(address: u64, word: u32) -> Instruction {
        let mut bytes = [0; ::trace::record::LONGEST];
        bytes[..4].copy_from_slice(&word.to_le_bytes());
        Instruction {
            address,
            host: address,
            length: 4,
            bytes,
        }
    }

    #[test]
    fn firmware_is_told_by_where_the_emulator_has_it() {
        let image = Image::of_code("kernel", KERNEL, 0x13_u32.to_le_bytes());
        let mut book = Book::new(Machine::Riscv, image);
        let at = |address, host| Instruction {
            host,
            ..instruction(address, 0x13)
        };
        book.define(&at(0x8000_0000, 0x7000_0000));
        book.define(&at(KERNEL, 0x7020_0000));
        // A guest's, at the same address.
        book.define(&at(0x8000_0000, 0x7900_0000));
        let found: Vec<_> = (0..3).filter_map(|number| book.get(number)).collect();
        assert_eq!(
            found
                .iter()
                .map(|known| known.is_kernel)
                .collect::<Vec<_>>(),
            [false, true, false]
        );
        assert_eq!(
            found
                .iter()
                .map(|known| known.is_firmware)
                .collect::<Vec<_>>(),
            [true, false, false]
        );
    }
}
