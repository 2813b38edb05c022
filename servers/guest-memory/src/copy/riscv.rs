//! RISC-V: words where both sides are aligned, bytes elsewhere.
//!
//! A fault keeps all registers, so that `a2`, the bytes still to be copied, is the answer.

pub(super) use super::load_by_copy as load;
use core::arch::global_asm;

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    ".balign 4",
    "_guest_memory_copy:",
    "    or   t0, a0, a1",
    "    andi t0, t0, 7",
    "    li   t1, 32",
    "    li   t2, 8",
    "    bnez t0, 3f",
    "1:  bltu a2, t1, 2f",
    "    ld   t3, 0(a1)",
    "    ld   t4, 8(a1)",
    "    ld   t5, 16(a1)",
    "    ld   t6, 24(a1)",
    "    sd   t3, 0(a0)",
    "    sd   t4, 8(a0)",
    "    sd   t5, 16(a0)",
    "    sd   t6, 24(a0)",
    "    addi a1, a1, 32",
    "    addi a0, a0, 32",
    "    addi a2, a2, -32",
    "    j    1b",
    "2:  bltu a2, t2, 3f",
    "    ld   t3, 0(a1)",
    "    sd   t3, 0(a0)",
    "    addi a1, a1, 8",
    "    addi a0, a0, 8",
    "    addi a2, a2, -8",
    "    j    2b",
    "3:  beqz a2, 4f",
    "    lb   t3, 0(a1)",
    "    sb   t3, 0(a0)",
    "    addi a1, a1, 1",
    "    addi a0, a0, 1",
    "    addi a2, a2, -1",
    "    j    3b",
    "4:",
    "_guest_memory_copied:",
    "    mv   a0, a2",
    "    ret",
    ".popsection",
);

unsafe extern "C" {
    /// First instruction that may fault; copies `count` bytes and returns how many are missing.
    fn _guest_memory_copy(to: *mut u8, from: *const u8, count: usize) -> usize;
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
    // SAFETY: the caller vouches for both ranges (1, 2); the routine keeps the calling convention.
    unsafe { _guest_memory_copy(to, from, count) }
}
