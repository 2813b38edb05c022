//! Saved user registers.

use abi::call::{MACHINE_REGISTERS, ThreadRegister};
use kernel::arch::UserFrame;
use kernel::word::Word;
use s390_regs::PswMask;
use zerocopy::FromBytes;

/// General registers.
const REGISTERS: usize = 16;
/// The call word on the way in, the information word on the way out: r1.
const CALL_WORD: usize = 1;
/// x0 to x8: r2 to r10.
const MESSAGE: usize = 2;
/// Results that a call has.
const RESULTS: usize = 9;
/// The stack pointer.
const STACK: usize = 15;
/// Number of the PSW mask among the machine's registers.
const MASK: usize = REGISTERS;

/// Saved user registers of one thread.
#[derive(FromBytes)]
#[repr(C)]
pub struct S390Frame {
    /// r0 to r15.
    registers: [Word; REGISTERS],
    /// PSW mask: condition code and program mask; the rest is set on the way out.
    mask: Word,
    /// PSW address.
    address: Word,
    /// Access registers 0 and 1: the thread pointer.
    access: Word,
}

impl S390Frame {
    /// Moves the program counter back by this many bytes.
    pub fn retreat(&self, bytes: u64) {
        self.address.set(self.address.get().wrapping_sub(bytes));
    }

    /// Returns the PSW: the part of its mask that is the user's, and the program counter.
    pub fn psw(&self) -> (u64, u64) {
        (user_part(self.mask.get()), self.address.get())
    }

    /// Returns a register that a handler of faults may see and set.
    fn word(&self, number: u64) -> Option<&Word> {
        if let Some(register) = ThreadRegister::from_number(number) {
            return match register {
                ThreadRegister::ProgramCounter => Some(&self.address),
                ThreadRegister::StackPointer => self.registers.get(STACK),
                ThreadRegister::ThreadPointer => Some(&self.access),
                ThreadRegister::Argument => self.registers.get(MESSAGE),
            };
        }
        let number = usize::try_from(number.checked_sub(MACHINE_REGISTERS)?).ok()?;
        if number == MASK {
            Some(&self.mask)
        } else {
            self.registers.get(number)
        }
    }
}

/// Returns the part of a PSW mask that a user may set.
fn user_part(mask: u64) -> u64 {
    let mask = PswMask::from_bits(mask);
    PswMask::new()
        .with_condition(mask.condition())
        .with_program_mask(mask.program_mask())
        .into_bits()
}

impl UserFrame for S390Frame {
    #[inline(always)]
    fn call_word(&self) -> u64 {
        self.registers[CALL_WORD].get()
    }

    #[inline(always)]
    fn argument(&self, index: usize) -> u64 {
        if index < RESULTS {
            self.registers[MESSAGE + index].get()
        } else {
            0
        }
    }

    #[inline(always)]
    fn set_result(&self, index: usize, value: u64) {
        if index < RESULTS {
            self.registers[MESSAGE + index].set(value);
        }
    }

    #[inline(always)]
    fn set_info(&self, info: u64) {
        self.registers[CALL_WORD].set(info);
    }

    fn complete(&self) {
        // SVC is two bytes long; the entry saved its own address, so that a call can be made again
        // by returning to it. An SVC that EXECUTE runs is no system call.
        self.address.add(2);
        for register in &self.registers[..STACK] {
            register.set(0);
        }
        self.mask.set(0);
    }

    #[inline(always)]
    fn program_counter(&self) -> u64 {
        self.address.get()
    }

    fn register(&self, number: u64) -> Option<u64> {
        let word = self.word(number)?;
        let is_mask = core::ptr::eq(word, &raw const self.mask);
        let value = word.get();
        Some(if is_mask { user_part(value) } else { value })
    }

    fn set_register(&self, number: u64, value: u64) -> Option<()> {
        let word = self.word(number)?;
        let is_mask = core::ptr::eq(word, &raw const self.mask);
        word.set(if is_mask { user_part(value) } else { value });
        Some(())
    }
}
