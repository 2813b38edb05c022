//! s390x: `SVC`, the thread pointer in access registers 0 and 1, the TOD clock and the first
//! instruction of a process.

use super::{Machine, Results};
use crate::block::{MAIN_BLOCK, ThreadBlock};
use core::arch::{asm, global_asm};

/// This machine.
pub const MACHINE: Machine = Machine::S390;

/// Enters the kernel. All registers but the stack pointer and the access registers are gone after
/// it; `r11` cannot be named as clobbered, so it is kept on the stack.
#[inline(always)]
pub fn enter(word: u64, x: [u64; 8]) -> Results {
    let (call, mut r) = (word, [0_u64; 9]);
    let word: u64;
    // SAFETY: the stack pointer is restored, every register that the kernel zeroes is named or
    // saved, and memory is assumed to change.
    unsafe {
        asm!(
            "aghi %r15, -16",
            "stg %r11, 0(%r15)",
            "svc 0",
            "lg %r11, 0(%r15)",
            "aghi %r15, 16",
            inlateout("r1") call => word,
            inlateout("r2") x[0] => r[0],
            inlateout("r3") x[1] => r[1],
            inlateout("r4") x[2] => r[2],
            inlateout("r5") x[3] => r[3],
            inlateout("r6") x[4] => r[4],
            inlateout("r7") x[5] => r[5],
            inlateout("r8") x[6] => r[6],
            inlateout("r9") x[7] => r[7],
            lateout("r10") r[8],
            lateout("r0") _, lateout("r12") _, lateout("r13") _, lateout("r14") _,
        );
    }
    Results { word, x: r }
}

/// Enters the kernel as [`enter`] does; also returns the TOD clock right before and right after the
/// trap instruction: where the emulator lets it go by instructions, it counts them. Both readings
/// are kept on the stack, the one place that the kernel leaves.
#[inline(never)]
pub fn enter_counted(word: u64, x: [u64; 8]) -> (Results, [u64; 2]) {
    let (call, mut r) = (word, [0_u64; 9]);
    let (word, before, after): (u64, u64, u64);
    // SAFETY: the stack pointer is restored, every register that the kernel zeroes is named or
    // saved, and memory is assumed to change.
    unsafe {
        asm!(
            "aghi %r15, -32",
            "stg %r11, 0(%r15)",
            ".insn s, 0xb27c0000, 8(%r15)",
            "svc 0",
            ".insn s, 0xb27c0000, 16(%r15)",
            "lg %r11, 0(%r15)",
            "lg %r12, 8(%r15)",
            "lg %r13, 16(%r15)",
            "aghi %r15, 32",
            inlateout("r1") call => word,
            inlateout("r2") x[0] => r[0],
            inlateout("r3") x[1] => r[1],
            inlateout("r4") x[2] => r[2],
            inlateout("r5") x[3] => r[3],
            inlateout("r6") x[4] => r[4],
            inlateout("r7") x[5] => r[5],
            inlateout("r8") x[6] => r[6],
            inlateout("r9") x[7] => r[7],
            lateout("r10") r[8],
            lateout("r12") before,
            lateout("r13") after,
            lateout("r0") _, lateout("r14") _,
        );
    }
    (Results { word, x: r }, [before, after])
}

/// Returns how many instructions two readings of the clock next to each other are apart.
#[must_use]
pub fn counting_cost() -> u64 {
    let mut readings = [0_u64; 2];
    // SAFETY: STCKF stores eight bytes at each of the two places.
    unsafe {
        asm!(
            ".insn s, 0xb27c0000, 0({readings})",
            ".insn s, 0xb27c0000, 8({readings})",
            readings = in(reg_addr) readings.as_mut_ptr(),
            options(nostack),
        );
    }
    let [before, after] = readings;
    counted_instructions(before, after)
}

/// Executes a loop of known length between two readings of the counter; returns how many
/// instructions follow the first of them, the second included, and how many were counted.
#[must_use]
pub fn counted_loop() -> (u64, u64) {
    let mut readings = [0_u64; 2];
    // SAFETY: STCKF stores eight bytes at each of the two places; one register counts down.
    unsafe {
        asm!(
            ".insn s, 0xb27c0000, 0({readings})",
            "lghi {left}, 1000",
            "2: brctg {left}, 2b",
            ".insn s, 0xb27c0000, 8({readings})",
            readings = in(reg_addr) readings.as_mut_ptr(),
            left = out(reg) _,
            options(nostack),
        );
    }
    let [before, after] = readings;
    (1002, counted_instructions(before, after))
}

/// Returns the TOD clock.
#[must_use]
#[inline(always)]
pub fn instruction_counter() -> u64 {
    counter()
}

/// Marks the end of what was measured or tried, for who traces the machine's instructions: it does
/// nothing.
#[inline(always)]
pub fn mark() {
    // SAFETY: a branch that is never taken.
    unsafe { asm!("bc 0, 92", options(nostack, preserves_flags)) };
}

/// Returns how many instructions two readings of the clock are apart, where each takes a nanosecond:
/// 512 units of the clock are 125 of them, and both readings were rounded down.
#[must_use]
pub const fn counted_instructions(before: u64, after: u64) -> u64 {
    (after.wrapping_sub(before) * 125 + 256) / 512
}

/// Returns the thread pointer.
#[inline]
pub fn thread_pointer() -> *const ThreadBlock {
    let pointer: u64;
    // SAFETY: reads two access registers, the high half first.
    unsafe {
        asm!(
            "ear {0}, %a0",
            "sllg {0}, {0}, 32",
            "ear {0}, %a1",
            out(reg) pointer,
            options(nomem, nostack, preserves_flags)
        );
    }
    pointer as *const ThreadBlock
}

/// Returns the machine's counter, in which deadlines are given: the TOD clock.
#[must_use]
#[inline]
pub fn counter() -> u64 {
    let mut ticks = 0_u64;
    // SAFETY: STCKF stores eight bytes at the address of `ticks`.
    unsafe { asm!(".insn s, 0xb27c0000, 0({})", in(reg_addr) &raw mut ticks, options(nostack)) };
    ticks
}

/// Makes instructions that this core wrote visible to its own fetches: the machine does so itself,
/// once it serialises.
#[inline]
pub fn synchronize_code() {
    // SAFETY: BCR 15,0 serialises and has no operands.
    unsafe { asm!("bcr 15, %r0", options(nostack, preserves_flags)) };
}

/// Ends the thread with an invalid instruction, so that its fault handler hears of it.
pub fn halt() -> ! {
    // SAFETY: the instruction faults; whoever resumes the thread behind it meets it again.
    unsafe { asm!("2:", ".short 0", "j 2b", options(noreturn, nostack)) }
}

global_asm!(
    // The thread pointer's halves go to access registers 0 and 1. Behind the stack's end lies the
    // save area that a caller leaves to what it calls.
    ".pushsection .text.start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "    larl %r1, {block}",
    "    srlg %r0, %r1, 32",
    "    sar %a0, %r0",
    "    sar %a1, %r1",
    "    aghi %r15, -160",
    "    lghi %r0, 0",
    "    stg %r0, 0(%r15)",
    "    brasl %r14, {begin}",
    "    .short 0",
    ".globl _rt_thread_start",
    "_rt_thread_start:",
    "    srlg %r0, %r2, 32",
    "    sar %a0, %r0",
    "    sar %a1, %r2",
    "    aghi %r15, -160",
    "    lghi %r0, 0",
    "    stg %r0, 0(%r15)",
    "    brasl %r14, {begin_thread}",
    "    .short 0",
    ".popsection",
    block = sym MAIN_BLOCK,
    begin = sym crate::start::begin,
    begin_thread = sym crate::spawn::begin_thread,
);

/// Returns the firmware call that writes a byte to the console.
#[must_use]
pub const fn firmware_write_byte(byte: u8) -> [u64; 6] {
    [1, byte as u64, 0, 0, 0, 0]
}

/// Returns the firmware call that stops the machine.
#[must_use]
pub const fn firmware_shut_down(failed: bool) -> [u64; 6] {
    [2, failed as u64, 0, 0, 0, 0]
}

unsafe extern "C" {
    /// First instruction of a spawned thread; its argument is the address of its block.
    fn _rt_thread_start();
}

/// Returns the address of a spawned thread's first instruction.
pub fn thread_entry() -> u64 {
    _rt_thread_start as *const () as u64
}
