//! Saved user registers.

use crate::descriptor::{USER_CODE, USER_DATA};
use crate::paging::USER_END;
use abi::call::{MACHINE_REGISTERS, ThreadRegister};
use kernel::arch::UserFrame;
use kernel::word::Word;
use zerocopy::FromBytes;

/// General registers, in the order that instructions number them.
const REGISTERS: usize = 16;
/// The call word on the way in, the information word on the way out: rax.
const CALL_WORD: usize = 0;
/// The number of the stack pointer, whose place among the general registers is not used.
const RSP: usize = 4;
/// The first argument of a thread that starts: rdi.
const ARGUMENT: usize = 7;
/// Returns the register that holds argument or result `index`: rdi, rsi, rdx, r10, r8, r9, r12, r13,
/// r14. SYSCALL itself takes rcx and r11.
#[inline(always)]
const fn register_of(index: usize) -> usize {
    match index {
        0 => 7,
        1 => 6,
        2 => 2,
        3 => 10,
        4 => 8,
        5 => 9,
        _ => (index + 6) % REGISTERS,
    }
}

/// Number of the flags among the machine's registers.
const FLAGS: usize = REGISTERS;
/// Flags that a user may set (SDM 1, "EFLAGS Register"): carry, parity, adjust, zero, sign, trap,
/// direction, overflow, alignment check, identification.
const USER_FLAGS: u64 = 0x0024_0dd5;
/// Flags that are always set in user mode: interrupts, and bit 1.
pub const FIXED_FLAGS: u64 = 0x202;

/// Saved user registers of one thread. Entry code knows the layout; the processor itself writes
/// the last five words, and so their end is aligned as it wants.
#[derive(FromBytes)]
#[repr(C, align(16))]
pub struct X86Frame {
    /// rax, rcx, rdx, rbx, unused, rbp, rsi, rdi, r8 to r15.
    registers: [Word; REGISTERS],
    /// The thread pointer.
    fs_base: Word,
    /// Kept over interrupts and faults; zero after a call.
    gs_base: Word,
    unused: Word,
    /// The vector by which the kernel was entered, where it was not by a system call.
    pub vector: Word,
    /// Error code of the exception.
    pub error: Word,
    /// Where the thread goes on.
    pub rip: Word,
    code_segment: Word,
    rflags: Word,
    rsp: Word,
    stack_segment: Word,
}

/// Offsets, for entry code.
pub mod offset {
    use super::X86Frame;
    use core::mem::offset_of;

    /// Of general register `number`.
    pub const fn general(number: usize) -> usize {
        offset_of!(X86Frame, registers) + number * 8
    }
    /// Of the FS base.
    pub const FS_BASE: usize = offset_of!(X86Frame, fs_base);
    /// Of the GS base.
    pub const GS_BASE: usize = offset_of!(X86Frame, gs_base);
    /// Of the vector.
    pub const VECTOR: usize = offset_of!(X86Frame, vector);
    /// Of the instruction pointer.
    pub const RIP: usize = offset_of!(X86Frame, rip);
    /// Of the stack pointer.
    pub const RSP: usize = offset_of!(X86Frame, rsp);
    /// Of what follows the words that the processor writes.
    pub const END: usize = size_of::<X86Frame>();
}

const _: () = assert!(
    offset::END.is_multiple_of(16) && offset::END - offset::RIP == 40,
    "the processor aligns the stack before it writes five words"
);

impl X86Frame {
    /// Returns a register that a handler of faults may see and set.
    fn word(&self, number: u64) -> Option<&Word> {
        if let Some(register) = ThreadRegister::from_number(number) {
            return match register {
                ThreadRegister::ProgramCounter => Some(&self.rip),
                ThreadRegister::StackPointer => Some(&self.rsp),
                ThreadRegister::ThreadPointer => Some(&self.fs_base),
                ThreadRegister::Argument => self.registers.get(ARGUMENT),
            };
        }
        match usize::try_from(number.checked_sub(MACHINE_REGISTERS)?).ok()? {
            FLAGS => Some(&self.rflags),
            RSP => Some(&self.rsp),
            number => self.registers.get(number),
        }
    }

    /// Returns whether user mode can go on where the frame says: the processor would fault in the
    /// kernel on the way to an address that is not canonical. Behind a system call it always can.
    #[inline(always)]
    pub fn can_return(&self) -> bool {
        self.rip.get() < USER_END
    }

    /// Makes what the processor loads on the way out that of user mode.
    #[inline(always)]
    pub fn prepare(&self) {
        self.rflags
            .set(self.rflags.get() & USER_FLAGS | FIXED_FLAGS);
        self.code_segment.set(USER_CODE);
        self.stack_segment.set(USER_DATA);
    }
}

/// Returns the nearest address that the processor can hold as a segment's base: bits 63:48 are
/// copies of bit 47.
const fn canonical(address: u64) -> u64 {
    ((address << 16).cast_signed() >> 16).cast_unsigned()
}

impl UserFrame for X86Frame {
    #[inline(always)]
    fn call_word(&self) -> u64 {
        self.registers[CALL_WORD].get()
    }

    #[inline(always)]
    fn argument(&self, index: usize) -> u64 {
        self.registers[register_of(index)].get()
    }

    #[inline(always)]
    fn set_result(&self, index: usize, value: u64) {
        self.registers[register_of(index)].set(value);
    }

    #[inline(always)]
    fn set_info(&self, info: u64) {
        self.registers[CALL_WORD].set(info);
    }

    fn complete(&self) {
        // SYSCALL is two bytes long; the entry saved its own address, so that a call can be made
        // again by returning to it.
        self.rip.add(2);
        for register in &self.registers {
            register.set(0);
        }
        self.rflags.set(0);
        self.gs_base.set(0);
    }

    #[inline(always)]
    fn program_counter(&self) -> u64 {
        self.rip.get()
    }

    fn register(&self, number: u64) -> Option<u64> {
        self.word(number).map(Word::get)
    }

    fn set_register(&self, number: u64, value: u64) -> Option<()> {
        let word = self.word(number)?;
        let value = match word {
            _ if core::ptr::eq(word, &raw const self.rflags) => value & USER_FLAGS,
            _ if core::ptr::eq(word, &raw const self.fs_base) => canonical(value),
            _ => value,
        };
        word.set(value);
        Some(())
    }
}
