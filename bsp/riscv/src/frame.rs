//! Saved user registers of a thread.

use abi::call::{MACHINE_REGISTERS, ThreadRegister};
use kernel::arch::UserFrame;
use kernel::word::Word;
use zerocopy::FromBytes;

/// Registers x0 to x31 and the program counter. Entry and return code know the layout.
#[derive(FromBytes)]
#[repr(C, align(16))]
pub struct RiscvFrame {
    /// General registers; x0 is not used.
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

    /// Returns the word behind a register number of `ThreadRead` and `ThreadWrite`.
    fn named(&self, number: u64) -> Option<&Word> {
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

    fn complete(&self) {
        self.pc.add(4);
        let [_, link, _, _, _, others @ ..] = &self.x;
        link.set(0);
        let clear = |register: &Word| register.set(0);
        // Written out, for the compiler makes loops of loops.
        for [a, b, c, d, e, f, g, h, i] in others.as_chunks::<9>().0 {
            clear(a);
            clear(b);
            clear(c);
            clear(d);
            clear(e);
            clear(f);
            clear(g);
            clear(h);
            clear(i);
        }
    }

    fn register(&self, number: u64) -> Option<u64> {
        self.named(number).map(Word::get)
    }

    fn set_register(&self, number: u64, value: u64) -> Option<()> {
        self.named(number).map(|register| register.set(value))
    }
}
