//! s390x: doublewords where both sides are aligned, bytes elsewhere.
//!
//! A missing translation nullifies the instruction and keeps all registers, so that `r4`, the bytes
//! still to be copied, is the answer.

pub(super) use super::load_by_copy as load;
use core::arch::global_asm;

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    ".balign 8",
    "_guest_memory_copy:",
    "    lgr %r0, %r2",
    "    ogr %r0, %r3",
    "    nill %r0, 7",
    "    jnz 2f",
    "1:  cghi %r4, 8",
    "    jl 2f",
    "    lg %r0, 0(%r3)",
    "    stg %r0, 0(%r2)",
    "    aghi %r3, 8",
    "    aghi %r2, 8",
    "    aghi %r4, -8",
    "    j 1b",
    "2:  ltgr %r4, %r4",
    "    jz 3f",
    "    llgc %r0, 0(%r3)",
    "    stc %r0, 0(%r2)",
    "    aghi %r3, 1",
    "    aghi %r2, 1",
    "    aghi %r4, -1",
    "    j 2b",
    "3:",
    "_guest_memory_copied:",
    "    lgr %r2, %r4",
    "    br %r14",
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
