//! Saved registers of a fake thread, which share their places as on a real machine: arguments and
//! results are the same registers.

use super::FakeArch;
use crate::arch::UserFrame;
use crate::fast::{Message, Resume};
use abi::call::{ARGUMENTS, MACHINE_REGISTERS, ThreadRegister};
use core::sync::atomic::{AtomicU64, Ordering};
use zerocopy::FromBytes;

/// Registers x0 to x8.
pub const REGISTERS: usize = 9;
/// Registers of the machine's own that `ThreadRead` and `ThreadWrite` name.
pub const SAVED: usize = 4;
/// Bytes of the system-call instruction.
pub const CALL_BYTES: u64 = 4;

/// Saved registers of one fake thread.
#[derive(FromBytes)]
#[repr(C)]
pub struct FakeFrame {
    call_word: AtomicU64,
    x: [AtomicU64; REGISTERS],
    /// Program counter, stack pointer, thread pointer.
    pointers: [AtomicU64; 3],
    /// Registers that a call does not preserve and that carry nothing.
    saved: [AtomicU64; SAVED],
    /// System calls that were completed since the frame was made.
    completed: AtomicU64,
}

impl FakeFrame {
    /// Puts a system call into the registers.
    pub fn set_call(&self, word: u64, arguments: &[u64]) {
        self.call_word.store(word, Ordering::Relaxed);
        for (index, register) in self.x.iter().enumerate() {
            let value = arguments.get(index).copied().unwrap_or(0);
            register.store(value, Ordering::Relaxed);
        }
    }

    /// Returns x0 to x8.
    pub fn values(&self) -> [u64; REGISTERS] {
        core::array::from_fn(|index| self.x[index].load(Ordering::Relaxed))
    }

    /// Returns the information word of a received message, or what is left of the call word.
    pub fn info(&self) -> u64 {
        self.call_word.load(Ordering::Relaxed)
    }

    /// Returns how many system calls were completed.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Does what a machine does on its way out of a fast path.
    pub fn hand_over(&self, resume: &Resume<'_, FakeArch>) {
        let values = self.values();
        let to = &resume.to.frame;
        to.complete();
        for (index, value) in values.into_iter().enumerate().take(7).skip(1) {
            to.set_result(index, value);
        }
        to.set_info(resume.info);
        to.set_result(7, resume.badge);
    }

    /// Does what a machine does on its way out of a fast path to whoever hears of something.
    pub fn receive(&self, message: &Message<'_, FakeArch>) {
        self.complete();
        for (index, word) in message.words.into_iter().enumerate() {
            self.set_result(index + 1, word);
        }
        self.set_info(message.info);
        self.set_result(7, message.badge);
        self.set_result(8, message.sequence);
    }

    /// Returns the register that `number` names.
    fn place(&self, number: u64) -> Option<&AtomicU64> {
        if let Some(index) = number.checked_sub(MACHINE_REGISTERS) {
            return self.saved.get(usize::try_from(index).ok()?);
        }
        match ThreadRegister::from_number(number)? {
            ThreadRegister::ProgramCounter => self.pointers.first(),
            ThreadRegister::StackPointer => self.pointers.get(1),
            ThreadRegister::ThreadPointer => self.pointers.get(2),
            ThreadRegister::Argument => self.x.first(),
        }
    }
}

impl UserFrame for FakeFrame {
    fn call_word(&self) -> u64 {
        self.call_word.load(Ordering::Relaxed)
    }

    fn argument(&self, index: usize) -> u64 {
        assert!(index < ARGUMENTS, "a call has eight arguments");
        self.x[index].load(Ordering::Relaxed)
    }

    fn set_result(&self, index: usize, value: u64) {
        self.x[index].store(value, Ordering::Relaxed);
    }

    fn set_info(&self, info: u64) {
        self.call_word.store(info, Ordering::Relaxed);
    }

    fn complete(&self) {
        let [counter, ..] = &self.pointers;
        counter.fetch_add(CALL_BYTES, Ordering::Relaxed);
        self.completed.fetch_add(1, Ordering::Relaxed);
        self.call_word.store(0, Ordering::Relaxed);
        for register in self.x.iter().chain(&self.saved) {
            register.store(0, Ordering::Relaxed);
        }
    }

    fn program_counter(&self) -> u64 {
        let [counter, ..] = &self.pointers;
        counter.load(Ordering::Relaxed)
    }

    fn register(&self, number: u64) -> Option<u64> {
        Some(self.place(number)?.load(Ordering::Relaxed))
    }

    fn set_register(&self, number: u64, value: u64) -> Option<()> {
        self.place(number)?.store(value, Ordering::Relaxed);
        Some(())
    }
}
