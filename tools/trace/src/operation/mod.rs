//! What is special about an instruction: whether it is privileged, flushes translations, orders memory,
//! writes the register of a space, changes memory atomically, or reads the counter.

mod riscv;
mod s390;
mod x86;

use std::ops::AddAssign;

/// The machines whose instructions are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit RISC-V with the hypervisor extension.
    Riscv,
    /// x86-64.
    X86,
    /// s390x.
    S390,
}

/// What an instruction is, beside what it computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// User mode may not execute it: every instruction of the next two kinds is such a one.
    pub is_privileged: bool,
    /// It flushes translations.
    pub is_flush: bool,
    /// It writes the register that a space, or a guest's memory, is named by.
    pub is_space_write: bool,
    /// It orders accesses to memory, and does nothing else.
    pub is_fence: bool,
    /// It reads and writes memory in one step, or is half of a pair that does.
    pub is_atomic: bool,
    /// It lets interrupts in, or waits for one.
    pub enables_interrupts: bool,
    /// It reads the counter that rows are measured by.
    pub reads_counter: bool,
    /// It marks the end of a row or case, and does nothing.
    pub is_mark: bool,
}

/// How many of each there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Privileged instructions.
    pub privileged: u64,
    /// Flushes of translations.
    pub flushes: u64,
    /// Writes of the register of a space.
    pub space_writes: u64,
    /// Fences.
    pub fences: u64,
    /// Atomic instructions.
    pub atomics: u64,
}

impl Operation {
    /// Privileged, and nothing else.
    const PRIVILEGED: Self = Self {
        is_privileged: true,
        ..Self::PLAIN
    };
    /// Nothing special.
    const PLAIN: Self = Self {
        is_privileged: false,
        is_flush: false,
        is_space_write: false,
        is_fence: false,
        is_atomic: false,
        enables_interrupts: false,
        reads_counter: false,
        is_mark: false,
    };
    /// A flush of translations.
    const FLUSH: Self = Self {
        is_flush: true,
        ..Self::PRIVILEGED
    };
    /// A write of the register of a space.
    const SPACE: Self = Self {
        is_space_write: true,
        ..Self::PRIVILEGED
    };
    /// A fence.
    const FENCE: Self = Self {
        is_fence: true,
        ..Self::PLAIN
    };
    /// An atomic access.
    const ATOMIC: Self = Self {
        is_atomic: true,
        ..Self::PLAIN
    };
    /// Interrupts may come behind it.
    const ENABLES: Self = Self {
        enables_interrupts: true,
        ..Self::PRIVILEGED
    };
    /// A reading of the counter.
    const COUNTER: Self = Self {
        reads_counter: true,
        ..Self::PLAIN
    };
    /// A mark.
    const MARK: Self = Self {
        is_mark: true,
        ..Self::PLAIN
    };

    /// Returns what the instruction with these bytes is on a machine.
    #[must_use]
    pub fn of(machine: Machine, code: &[u8]) -> Self {
        match machine {
            Machine::Riscv => riscv::operation(code),
            Machine::X86 => x86::operation(code),
            Machine::S390 => s390::operation(code),
        }
    }
}

impl Machine {
    /// Returns a machine by the name of its family.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "riscv" => Self::Riscv,
            "x86" => Self::X86,
            "s390" => Self::S390,
            _ => return None,
        })
    }
}

impl Operations {
    /// What it counts: a word for each.
    pub const NAMES: [&str; 5] = ["privileged", "flushes", "space_writes", "fences", "atomics"];

    /// Returns the numbers, in the order of [`Self::NAMES`].
    #[must_use]
    pub const fn numbers(&self) -> [u64; 5] {
        [
            self.privileged,
            self.flushes,
            self.space_writes,
            self.fences,
            self.atomics,
        ]
    }

    /// Returns what has these numbers.
    #[must_use]
    pub const fn from_numbers(numbers: [u64; 5]) -> Self {
        let [privileged, flushes, space_writes, fences, atomics] = numbers;
        Self {
            privileged,
            flushes,
            space_writes,
            fences,
            atomics,
        }
    }
}

impl AddAssign<Operation> for Operations {
    fn add_assign(&mut self, one: Operation) {
        self.privileged += u64::from(one.is_privileged);
        self.flushes += u64::from(one.is_flush);
        self.space_writes += u64::from(one.is_space_write);
        self.fences += u64::from(one.is_fence);
        self.atomics += u64::from(one.is_atomic);
    }
}
