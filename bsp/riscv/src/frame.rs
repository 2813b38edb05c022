//! Saved user registers of a thread.

use abi::call::{MACHINE_REGISTERS, ThreadRegister};
use kernel::arch::UserFrame;
use kernel::word::Word;
use zerocopy::FromBytes;

/// Registers x0 to x31 and the program counter. Entry and return code know the layout.
#[derive(FromBytes)]
#[repr(C, align(16))]
pub struct RiscvFrame {
    /// General registers. In place of x0: 1 behind a system call, when only the registers of results
    /// and what a call preserves are there, and the others are 0 whatever their words say.
    pub x: [Word; 32],
    /// The program counter.
    pub pc: Word,
}

/// Register that results and arguments begin at: a0.
const A0: usize = 10;
/// Register of the call word: a7.
const A7: usize = 17;
/// Register of argument and result 7: t0.
const T0: usize = 5;
/// Register of result 8: t1.
const T1: usize = 6;

/// Returns the register that holds argument or result `index`.
const fn register_of(index: usize) -> usize {
    match index {
        0..=6 => A0 + index,
        7 => T0,
        _ => T1,
    }
}

impl RiscvFrame {
    /// Returns general register `number`.
    fn general(&self, number: usize) -> u64 {
        self.x.get(number).map_or(0, Word::get)
    }

    /// Returns whether all registers are 0 but those of results and what a call preserves.
    #[inline(always)]
    pub fn is_behind_call(&self) -> bool {
        let [is_behind, ..] = &self.x;
        is_behind.get() != 0
    }

    /// Notes that all registers are there, and the program counter.
    #[inline(always)]
    pub fn set_all(&self, pc: u64) {
        let [is_behind, ..] = &self.x;
        is_behind.set(0);
        self.pc.set(pc);
    }

    /// Returns the word behind a register number of `ThreadRead` and `ThreadWrite`.
    fn named(&self, number: u64) -> Option<&Word> {
        if self.is_behind_call() {
            let kept = |number| matches!(number, 2..=T1 | A0..=A7);
            let cleared = self.x.iter().enumerate();
            for (_, register) in cleared.filter(|(number, _)| !kept(*number)) {
                register.set(0);
            }
        }
        match ThreadRegister::from_number(number) {
            Some(ThreadRegister::ProgramCounter) => Some(&self.pc),
            Some(ThreadRegister::StackPointer) => self.x.get(2),
            Some(ThreadRegister::ThreadPointer) => self.x.get(4),
            Some(ThreadRegister::Argument) => self.x.get(A0),
            None => {
                let index = usize::try_from(number.checked_sub(MACHINE_REGISTERS)?).ok()?;
                if index == 0 { None } else { self.x.get(index) }
            }
        }
    }
}

impl UserFrame for RiscvFrame {
    #[inline(always)]
    fn call_word(&self) -> u64 {
        self.general(A7)
    }

    #[inline(always)]
    fn argument(&self, index: usize) -> u64 {
        self.general(register_of(index))
    }

    #[inline(always)]
    fn set_result(&self, index: usize, value: u64) {
        if let Some(register) = self.x.get(register_of(index)) {
            register.set(value);
        }
    }

    #[inline(always)]
    fn set_info(&self, info: u64) {
        if let Some(register) = self.x.get(A7) {
            register.set(info);
        }
    }

    #[inline(always)]
    fn complete(&self) {
        self.pc.add(4);
        let [
            is_behind,
            _,
            _,
            _,
            _,
            t0,
            t1,
            _,
            _,
            _,
            a0,
            a1,
            a2,
            results @ ..,
        ] = &self.x;
        is_behind.set(1);
        // Written out, for the compiler makes a loop of an array.
        t0.set(0);
        t1.set(0);
        a0.set(0);
        a1.set(0);
        a2.set(0);
        let [a3, a4, a5, a6, a7, ..] = results;
        a3.set(0);
        a4.set(0);
        a5.set(0);
        a6.set(0);
        a7.set(0);
    }

    #[inline(always)]
    fn program_counter(&self) -> u64 {
        self.pc.get()
    }

    fn register(&self, number: u64) -> Option<u64> {
        self.named(number).map(Word::get)
    }

    fn set_register(&self, number: u64, value: u64) -> Option<()> {
        self.named(number).map(|register| register.set(value))
    }
}
