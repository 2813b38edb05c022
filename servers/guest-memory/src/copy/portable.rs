//! The copy without recovery, byte by byte.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// Returns an empty range: nothing is recovered from.
pub const fn recovery() -> [u64; 3] {
    [0; 3]
}

/// Copies; see [`super::copy`].
///
/// # Safety
///
/// As [`super::copy`].
pub unsafe fn copy(to: *mut u8, from: *const u8, count: usize) -> usize {
    for index in 0..count {
        let (from, to) = (from.wrapping_add(index), to.wrapping_add(index));
        // SAFETY: the caller vouches for the source (1); bytes that a guest changes are only
        // reached by atomic accesses.
        let byte = unsafe { &*from.cast::<AtomicU8>() }.load(Relaxed);
        // SAFETY: the caller vouches for the target (2), likewise.
        unsafe { AtomicU8::from_ptr(to) }.store(byte, Relaxed);
    }
    0
}

/// Loads a word; see [`super::load`].
///
/// # Safety
///
/// As [`super::load`].
pub unsafe fn load(from: *const u8) -> Option<u64> {
    let word = from.cast::<AtomicU64>();
    if word.is_aligned() {
        // SAFETY: the caller vouches for the source (1), which is aligned; words that a guest changes
        // are only reached by atomic accesses.
        return Some(unsafe { &*word }.load(Relaxed));
    }
    // SAFETY: the caller vouches for the source (1).
    unsafe { super::load_by_copy(from) }
}
