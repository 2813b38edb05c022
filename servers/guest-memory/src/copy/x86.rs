//! x86-64: words where both sides are aligned, bytes elsewhere; and a word anywhere.
//!
//! A fault keeps all registers, so that `rdx`, the bytes still to be copied, is the answer; of a word,
//! `rsi`, its address, which is never 0.

use core::arch::{asm, global_asm};

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    ".balign 16",
    "_guest_memory_copy:",
    "    mov  eax, edi",
    "    or   eax, esi",
    "    test al, 7",
    "    jnz  3f",
    "2:  cmp  rdx, 32",
    "    jb   4f",
    "    mov  rax, [rsi]",
    "    mov  rcx, [rsi + 8]",
    "    mov  r8, [rsi + 16]",
    "    mov  r9, [rsi + 24]",
    "    mov  [rdi], rax",
    "    mov  [rdi + 8], rcx",
    "    mov  [rdi + 16], r8",
    "    mov  [rdi + 24], r9",
    "    add  rsi, 32",
    "    add  rdi, 32",
    "    sub  rdx, 32",
    "    jmp  2b",
    "4:  cmp  rdx, 8",
    "    jb   3f",
    "    mov  rax, [rsi]",
    "    mov  [rdi], rax",
    "    add  rsi, 8",
    "    add  rdi, 8",
    "    sub  rdx, 8",
    "    jmp  4b",
    "3:  test rdx, rdx",
    "    jz   5f",
    "    movzx eax, byte ptr [rsi]",
    "    mov  [rdi], al",
    "    inc  rsi",
    "    inc  rdi",
    "    dec  rdx",
    "    jmp  3b",
    "_guest_memory_load:",
    "    mov  rax, [rsi]",
    "    xor  esi, esi",
    "5:",
    "_guest_memory_copied:",
    "    ret",
    ".popsection",
);

unsafe extern "C" {
    /// First instruction that may fault. Copies `rdx` bytes from `rsi` to `rdi`; `rdx` is then what is
    /// missing.
    fn _guest_memory_copy();
    /// Loads `rax` from `rsi`, which then is 0.
    fn _guest_memory_load();
    /// Where a copy ends, also after a fault.
    fn _guest_memory_copied();
}

/// Returns start and end of the copy, and where a fault in it resumes.
pub fn recovery() -> [u64; 3] {
    let start = _guest_memory_copy as *const () as u64;
    let end = _guest_memory_copied as *const () as u64;
    [start, end, end]
}

/// Copies; see [`super::copy`].
///
/// # Safety
///
/// As [`super::copy`].
pub unsafe fn copy(to: *mut u8, from: *const u8, count: usize) -> usize {
    let missing;
    // SAFETY: the caller vouches for both ranges (1, 2); every register that the routine changes is
    // named, memory is assumed to change, and nothing lies below the stack pointer.
    unsafe {
        asm!(
            "call {copy}",
            copy = sym _guest_memory_copy,
            inlateout("rdi") to => _,
            inlateout("rsi") from => _,
            inlateout("rdx") count => missing,
            lateout("rax") _, lateout("rcx") _, lateout("r8") _, lateout("r9") _,
        );
    }
    missing
}

/// Loads a word; see [`super::load`].
///
/// # Safety
///
/// As [`super::load`].
#[inline]
pub unsafe fn load(from: *const u8) -> Option<u64> {
    let (word, left): (u64, *const u8);
    // SAFETY: the caller vouches for the source (1); both registers that the routine changes are
    // named, and nothing lies below the stack pointer.
    unsafe {
        asm!(
            "call {load}",
            load = sym _guest_memory_load,
            inlateout("rsi") from => left,
            lateout("rax") word,
            options(readonly),
        );
    }
    left.is_null().then_some(word)
}
