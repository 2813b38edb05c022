//! x86-64: `syscall`, the thread pointer, the counter and the first instruction of a process.

use super::{Machine, Results};
use crate::block::{MAIN_BLOCK, ThreadBlock};
use core::arch::x86_64::{__cpuid, _rdtsc};
use core::arch::{asm, global_asm};

/// This machine.
pub const MACHINE: Machine = Machine::X86;

/// Enters the kernel. All registers but the stack pointer and the base of FS are gone after it;
/// `rbx` and `rbp` cannot be named as clobbers, so they are kept on the stack.
#[inline(always)]
pub fn enter(word: u64, x: [u64; 8]) -> Results {
    let (call, mut r) = (word, [0_u64; 9]);
    let word: u64;
    // SAFETY: the stack pointer is restored, every register that the kernel zeroes is named or
    // saved, and memory is assumed to change.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "syscall",
            "pop rbp",
            "pop rbx",
            inlateout("rax") call => word,
            inlateout("rdi") x[0] => r[0],
            inlateout("rsi") x[1] => r[1],
            inlateout("rdx") x[2] => r[2],
            inlateout("r10") x[3] => r[3],
            inlateout("r8") x[4] => r[4],
            inlateout("r9") x[5] => r[5],
            inlateout("r12") x[6] => r[6],
            inlateout("r13") x[7] => r[7],
            lateout("r14") r[8],
            lateout("rcx") _, lateout("r11") _, lateout("r15") _,
        );
    }
    Results { word, x: r }
}

/// Enters the kernel as [`enter`] does; also returns the counter right before and right after the
/// trap instruction: of instructions, where the emulator counts the counter by them. The first is
/// kept on the stack, for the kernel leaves no other register.
#[inline(never)]
pub fn enter_counted(word: u64, x: [u64; 8]) -> (Results, [u64; 2]) {
    let (call, mut r) = (word, [0_u64; 9]);
    let (word, before, after): (u64, u64, u64);
    // SAFETY: the stack pointer is restored, every register that the kernel zeroes is named or
    // saved, and memory is assumed to change.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            // RDTSC takes rax and rdx, which are needed.
            "mov rbx, rax",
            "mov rbp, rdx",
            "rdtsc",
            "shl rdx, 32",
            "or rax, rdx",
            "push rax",
            "mov rax, rbx",
            "mov rdx, rbp",
            "syscall",
            "mov rbx, rax",
            "mov rbp, rdx",
            "rdtsc",
            "shl rdx, 32",
            "or rax, rdx",
            "mov r15, rax",
            "mov rax, rbx",
            "mov rdx, rbp",
            "pop rcx",
            "pop rbp",
            "pop rbx",
            inlateout("rax") call => word,
            inlateout("rdi") x[0] => r[0],
            inlateout("rsi") x[1] => r[1],
            inlateout("rdx") x[2] => r[2],
            inlateout("r10") x[3] => r[3],
            inlateout("r8") x[4] => r[4],
            inlateout("r9") x[5] => r[5],
            inlateout("r12") x[6] => r[6],
            inlateout("r13") x[7] => r[7],
            lateout("r14") r[8],
            lateout("rcx") before,
            lateout("r15") after,
            lateout("r11") _,
        );
    }
    (Results { word, x: r }, [before, after])
}

/// Returns how far two readings of the counter are apart that have between them what
/// [`enter_counted`] has beside the trap instruction.
#[must_use]
pub fn counting_cost() -> u64 {
    let (before, after): (u64, u64);
    // SAFETY: reads the counter twice; the stack pointer is restored.
    unsafe {
        asm!(
            "rdtsc",
            "shl rdx, 32",
            "or rax, rdx",
            "push rax",
            "mov rax, rcx",
            "mov rdx, rcx",
            "mov rcx, rax",
            "mov rcx, rdx",
            "rdtsc",
            "shl rdx, 32",
            "or rax, rdx",
            "pop rcx",
            out("rax") after,
            out("rcx") before,
            out("rdx") _,
        );
    }
    after.wrapping_sub(before)
}

/// Executes a loop of known length between two readings of the counter; returns how many
/// instructions follow the first of them, the second included, and how many were counted.
#[must_use]
pub fn counted_loop() -> (u64, u64) {
    let (before_low, before_high, after_low, after_high): (u64, u64, u64, u64);
    // SAFETY: reads the counter twice; one register counts down.
    unsafe {
        asm!(
            "rdtsc",
            "mov {low}, rax",
            "mov {high}, rdx",
            "mov {left:e}, 1000",
            "2: dec {left:e}",
            "jnz 2b",
            "rdtsc",
            low = out(reg) before_low,
            high = out(reg) before_high,
            left = out(reg) _,
            out("rax") after_low,
            out("rdx") after_high,
            options(nomem, nostack),
        );
    }
    let (before, after) = (before_high << 32 | before_low, after_high << 32 | after_low);
    (2004, counted_instructions(before, after))
}

/// Returns the time-stamp counter, which counts instructions where the emulator does.
#[must_use]
#[inline(always)]
pub fn instruction_counter() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: reads the counter, which the kernel lets user mode read. It stays in its place, as
    // calls do.
    unsafe { asm!("rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags)) };
    high << 32 | low
}

/// Marks the end of what was measured or tried, for who traces the machine's instructions: it does
/// nothing.
#[inline(always)]
pub fn mark() {
    // SAFETY: a NOP, whose displacement is `Sker`.
    unsafe {
        asm!(
            ".byte 0x0f, 0x1f, 0x80, 0x53, 0x6b, 0x65, 0x72",
            options(nostack, preserves_flags)
        )
    };
}

/// Returns how many instructions two readings of the counter are apart.
#[must_use]
pub const fn counted_instructions(before: u64, after: u64) -> u64 {
    after.wrapping_sub(before)
}

/// Returns the thread pointer: the base of FS.
#[inline]
pub fn thread_pointer() -> *const ThreadBlock {
    let pointer;
    // SAFETY: reads one register, which the kernel lets user mode read.
    unsafe { asm!("rdfsbase {}", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Returns the machine's counter, in which deadlines are given.
#[must_use]
#[inline]
pub fn counter() -> u64 {
    // SAFETY: reads the time-stamp counter, which the kernel lets user mode read.
    unsafe { _rdtsc() }
}

/// Makes instructions that this core wrote visible to its own fetches: stores are seen by themselves,
/// what was fetched ahead is dropped by an instruction that serialises.
#[inline]
pub fn synchronize_code() {
    let _ = __cpuid(0);
}

/// Ends the thread with an invalid instruction, so that its fault handler hears of it.
pub fn halt() -> ! {
    // SAFETY: the instruction faults; whoever resumes the thread behind it meets it again.
    unsafe { asm!("2:", "ud2", "jmp 2b", options(noreturn, nostack)) }
}

global_asm!(
    ".pushsection .text.start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "    lea rax, [rip + {block}]",
    "    wrfsbase rax",
    "    xor ebp, ebp",
    "    call {begin}",
    "    ud2",
    ".globl _rt_thread_start",
    "_rt_thread_start:",
    "    wrfsbase rdi",
    "    xor ebp, ebp",
    "    call {begin_thread}",
    "    ud2",
    ".popsection",
    block = sym MAIN_BLOCK,
    begin = sym crate::start::begin,
    begin_thread = sym crate::spawn::begin_thread,
);

/// Returns the kernel's call that writes a byte to COM1.
#[must_use]
pub const fn firmware_write_byte(byte: u8) -> [u64; 6] {
    [0, byte as u64, 0, 0, 0, 0]
}

/// Returns the kernel's call that switches off.
#[must_use]
pub const fn firmware_shut_down(failed: bool) -> [u64; 6] {
    [1, failed as u64, 0, 0, 0, 0]
}

unsafe extern "C" {
    /// First instruction of a spawned thread; its argument is the address of its block.
    fn _rt_thread_start();
}

/// Returns the address of a spawned thread's first instruction.
pub fn thread_entry() -> u64 {
    _rt_thread_start as *const () as u64
}
