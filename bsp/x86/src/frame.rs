//! Saved user registers.

use abi::call::{MACHINE_REGISTERS, ThreadRegister};
use kernel::arch::UserFrame;
use kernel::word::Word;
use zerocopy::FromBytes;

/// General registers, in the order that instructions number them.
const REGISTERS: usize = 16;
/// The call word on the way in, the information word on the way out: rax.
const CALL_WORD: usize = 0;
/// The stack pointer.
const RSP: usize = 4;
/// The first argument of a thread that starts: rdi.
const ARGUMENT: usize = 7;
/// x0 to x8: rdi, rsi, rdx, r10, r8, r9, r12, r13, r14. SYSCALL itself takes rcx and r11.
const MESSAGE: [usize; 9] = [7, 6, 2, 10, 8, 9, 12, 13, 14];
/// Number of the flags among the machine's registers.
const FLAGS: usize = REGISTERS;
/// Flags that a user may set (SDM 1, "EFLAGS Register"): carry, parity, adjust, zero, sign, trap,
/// direction, overflow, alignment check, identification.
const USER_FLAGS: u64 = 0x0024_0dd5;

/// Saved user registers of one thread.
#[derive(FromBytes)]
#[repr(C)]
pub struct X86Frame {
    /// rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    registers: [Word; REGISTERS],
    /// Where the thread goes on.
    rip: Word,
    /// Its flags; interrupts are enabled on the way out whatever is here.
    rflags: Word,
    /// Its thread pointer.
    fs_base: Word,
}

impl X86Frame {
    /// Returns a register that a handler of faults may see and set.
    fn word(&self, number: u64) -> Option<&Word> {
        if let Some(register) = ThreadRegister::from_number(number) {
            return match register {
                ThreadRegister::ProgramCounter => Some(&self.rip),
                ThreadRegister::StackPointer => self.registers.get(RSP),
                ThreadRegister::ThreadPointer => Some(&self.fs_base),
                ThreadRegister::Argument => self.registers.get(ARGUMENT),
            };
        }
        let number = usize::try_from(number.checked_sub(MACHINE_REGISTERS)?).ok()?;
        if number == FLAGS {
            Some(&self.rflags)
        } else {
            self.registers.get(number)
        }
    }
}

impl UserFrame for X86Frame {
    fn call_word(&self) -> u64 {
        self.registers[CALL_WORD].get()
    }

    fn argument(&self, index: usize) -> u64 {
        MESSAGE
            .get(index)
            .map_or(0, |number| self.registers[*number].get())
    }

    fn set_result(&self, index: usize, value: u64) {
        if let Some(number) = MESSAGE.get(index) {
            self.registers[*number].set(value);
        }
    }

    fn set_info(&self, info: u64) {
        self.registers[CALL_WORD].set(info);
    }

    fn complete(&self) {
        // SYSCALL is two bytes long; the entry saved its own address, so that a call can be made
        // again by returning to it.
        self.rip.add(2);
        for (number, register) in self.registers.iter().enumerate() {
            if number != RSP {
                register.set(0);
            }
        }
        self.rflags.set(0);
    }

    fn register(&self, number: u64) -> Option<u64> {
        self.word(number).map(Word::get)
    }

    fn set_register(&self, number: u64, value: u64) -> Option<()> {
        let word = self.word(number)?;
        let is_flags = core::ptr::eq(word, &raw const self.rflags);
        word.set(if is_flags { value & USER_FLAGS } else { value });
        Some(())
    }
}
