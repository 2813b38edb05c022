//! RISC-V: `ecall`, the thread pointer, the counter and the first instruction of a process.

use super::{Machine, Results};
use crate::block::{MAIN_BLOCK, ThreadBlock};
use core::arch::{asm, global_asm};

/// This machine.
pub const MACHINE: Machine = Machine::Riscv;

/// Enters the kernel. All registers but stack, thread and global pointer are gone after it; `s0`
/// and `s1` cannot be named as clobbers, so they are kept on the stack.
#[inline(always)]
pub fn enter(word: u64, x: [u64; 8]) -> Results {
    let (call, mut r) = (word, [0_u64; 9]);
    let word: u64;
    // SAFETY: the stack pointer is restored, every register that the kernel zeroes is named or
    // saved, and memory is assumed to change.
    unsafe {
        asm!(
            "addi sp, sp, -16",
            "sd s0, 0(sp)",
            "sd s1, 8(sp)",
            "ecall",
            "ld s0, 0(sp)",
            "ld s1, 8(sp)",
            "addi sp, sp, 16",
            inlateout("a7") call => word,
            inlateout("a0") x[0] => r[0],
            inlateout("a1") x[1] => r[1],
            inlateout("a2") x[2] => r[2],
            inlateout("a3") x[3] => r[3],
            inlateout("a4") x[4] => r[4],
            inlateout("a5") x[5] => r[5],
            inlateout("a6") x[6] => r[6],
            inlateout("t0") x[7] => r[7],
            lateout("t1") r[8],
            lateout("ra") _,
            lateout("t2") _, lateout("t3") _, lateout("t4") _, lateout("t5") _, lateout("t6") _,
            lateout("s2") _, lateout("s3") _, lateout("s4") _, lateout("s5") _, lateout("s6") _,
            lateout("s7") _, lateout("s8") _, lateout("s9") _, lateout("s10") _, lateout("s11") _,
        );
    }
    Results { word, x: r }
}

/// Enters the kernel as [`enter`] does; also returns the number of retired instructions right before
/// and right after the trap instruction. The first is kept in the thread pointer meanwhile, the one
/// register that both the kernel preserves and nobody else needs in between.
#[inline(never)]
pub fn enter_counted(word: u64, x: [u64; 8]) -> (Results, [u64; 2]) {
    let (call, mut r) = (word, [0_u64; 9]);
    let (word, before, after): (u64, u64, u64);
    // SAFETY: stack and thread pointer are restored, every register that the kernel zeroes is named
    // or saved, and memory is assumed to change.
    unsafe {
        asm!(
            "addi sp, sp, -32",
            "sd s0, 0(sp)",
            "sd s1, 8(sp)",
            "sd tp, 16(sp)",
            "rdinstret tp",
            "ecall",
            "rdinstret t3",
            "mv t2, tp",
            "ld s0, 0(sp)",
            "ld s1, 8(sp)",
            "ld tp, 16(sp)",
            "addi sp, sp, 32",
            inlateout("a7") call => word,
            inlateout("a0") x[0] => r[0],
            inlateout("a1") x[1] => r[1],
            inlateout("a2") x[2] => r[2],
            inlateout("a3") x[3] => r[3],
            inlateout("a4") x[4] => r[4],
            inlateout("a5") x[5] => r[5],
            inlateout("a6") x[6] => r[6],
            inlateout("t0") x[7] => r[7],
            lateout("t1") r[8],
            lateout("t2") before,
            lateout("t3") after,
            lateout("ra") _,
            lateout("t4") _, lateout("t5") _, lateout("t6") _,
            lateout("s2") _, lateout("s3") _, lateout("s4") _, lateout("s5") _, lateout("s6") _,
            lateout("s7") _, lateout("s8") _, lateout("s9") _, lateout("s10") _, lateout("s11") _,
        );
    }
    (Results { word, x: r }, [before, after])
}

/// Returns how far two readings of the instruction counter next to each other are apart.
#[must_use]
pub fn counting_cost() -> u64 {
    let (before, after): (u64, u64);
    // SAFETY: reads the counter twice.
    unsafe {
        asm!(
            "rdinstret {}",
            "rdinstret {}",
            out(reg) before,
            out(reg) after,
            options(nomem, nostack, preserves_flags),
        );
    }
    after.wrapping_sub(before)
}

/// Executes a loop of known length between two readings of the counter; returns how many
/// instructions follow the first of them, the second included, and how many were counted.
#[must_use]
pub fn counted_loop() -> (u64, u64) {
    let (before, after): (u64, u64);
    // SAFETY: reads the counter twice; one register counts down.
    unsafe {
        asm!(
            "rdinstret {before}",
            "li {left}, 1000",
            "2: addi {left}, {left}, -1",
            "bnez {left}, 2b",
            "rdinstret {after}",
            before = out(reg) before,
            after = out(reg) after,
            left = out(reg) _,
            options(nomem, nostack, preserves_flags),
        );
    }
    (2002, counted_instructions(before, after))
}

/// Returns the number of retired instructions.
#[must_use]
#[inline(always)]
pub fn instruction_counter() -> u64 {
    let count;
    // SAFETY: reads the counter, which the kernel lets user mode read. It stays in its place, as
    // calls do.
    unsafe { asm!("rdinstret {}", out(reg) count, options(nostack, preserves_flags)) };
    count
}

/// Marks the end of what was measured or tried, for who traces the machine's instructions: it does
/// nothing.
#[inline(always)]
pub fn mark() {
    // SAFETY: a hint, which changes no register.
    unsafe { asm!("slti zero, zero, 92", options(nostack, preserves_flags)) };
}

/// Returns how many instructions two readings of the counter are apart.
#[must_use]
pub const fn counted_instructions(before: u64, after: u64) -> u64 {
    after.wrapping_sub(before)
}

/// Returns the thread pointer.
#[inline]
pub fn thread_pointer() -> *const ThreadBlock {
    let pointer;
    // SAFETY: reads one register.
    unsafe { asm!("mv {}, tp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Returns the machine's counter, in which deadlines are given.
#[must_use]
#[inline]
pub fn counter() -> u64 {
    let ticks;
    // SAFETY: reads the time CSR, which the kernel lets user mode read.
    unsafe { asm!("rdtime {}", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// Makes instructions that this core wrote visible to its own fetches.
#[inline]
pub fn synchronize_code() {
    // SAFETY: a fence without operands.
    unsafe { asm!("fence rw, rw", "fence.i", options(nostack, preserves_flags)) };
}

/// Ends the thread with an invalid instruction, so that its fault handler hears of it.
pub fn halt() -> ! {
    // SAFETY: the instruction faults; whoever resumes the thread behind it meets it again.
    unsafe { asm!("2:", "unimp", "j 2b", options(noreturn, nostack)) }
}

global_asm!(
    ".pushsection .text.start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "    la tp, {block}",
    "    li s0, 0",
    "    call {begin}",
    "    unimp",
    ".globl _rt_thread_start",
    "_rt_thread_start:",
    "    mv tp, a0",
    "    li s0, 0",
    "    call {begin_thread}",
    "    unimp",
    ".popsection",
    block = sym MAIN_BLOCK,
    begin = sym crate::start::begin,
    begin_thread = sym crate::spawn::begin_thread,
);

/// Returns the SBI call that writes a byte to the console: DBCN, `console_write_byte`.
#[must_use]
pub const fn firmware_write_byte(byte: u8) -> [u64; 6] {
    [0x4442_434e, 2, byte as u64, 0, 0, 0]
}

/// Returns the SBI call that switches off: SRST, `system_reset`, shutdown, reason.
#[must_use]
pub const fn firmware_shut_down(failed: bool) -> [u64; 6] {
    [0x5352_5354, 0, 0, failed as u64, 0, 0]
}

unsafe extern "C" {
    /// First instruction of a spawned thread; its argument is the address of its block.
    fn _rt_thread_start();
}

/// Returns the address of a spawned thread's first instruction.
pub fn thread_entry() -> u64 {
    _rt_thread_start as *const () as u64
}
