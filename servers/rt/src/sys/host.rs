//! A developer's machine: no kernel answers.

use super::{Machine, Results};
use crate::block::{MAIN_BLOCK, ThreadBlock};

/// This machine; it stands for an x86-64.
pub const MACHINE: Machine = Machine::X86;

/// Refuses every call.
#[inline(always)]
pub const fn enter(_word: u64, _x: [u64; 8]) -> Results {
    Results::refused(abi::Error::Unsupported)
}

/// Refuses every call and counts nothing.
pub const fn enter_counted(word: u64, x: [u64; 8]) -> (Results, [u64; 2]) {
    (enter(word, x), [0; 2])
}

/// Returns what counting costs: nothing is counted.
#[must_use]
pub const fn counting_cost() -> u64 {
    0
}

/// Returns the machine's count of instructions, which nothing counts.
#[must_use]
pub const fn instruction_counter() -> u64 {
    0
}

/// Counts nothing in a loop.
#[must_use]
pub const fn counted_loop() -> (u64, u64) {
    (0, 0)
}

/// Marks the end of something: nobody traces.
pub const fn mark() {}

/// Returns how many instructions two readings are apart.
#[must_use]
pub const fn counted_instructions(before: u64, after: u64) -> u64 {
    after.wrapping_sub(before)
}

/// Returns the block of the only thread that there can be.
pub const fn thread_pointer() -> *const ThreadBlock {
    &raw const MAIN_BLOCK
}

/// Returns the machine's counter, which nothing counts.
#[must_use]
pub const fn counter() -> u64 {
    0
}

/// Makes instructions that this core wrote visible to its own fetches: this machine does so itself.
pub const fn synchronize_code() {}

/// Ends the thread.
pub fn halt() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Returns the firmware call that writes a byte; there is none.
#[must_use]
pub const fn firmware_write_byte(_byte: u8) -> [u64; 6] {
    [0; 6]
}

/// Returns the firmware call that switches off; there is none.
#[must_use]
pub const fn firmware_shut_down(_failed: bool) -> [u64; 6] {
    [0; 6]
}

/// Returns the address of a spawned thread's first instruction.
pub fn thread_entry() -> u64 {
    crate::spawn::begin_thread as *const () as u64
}
