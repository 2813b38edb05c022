//! The copy, which may fault, as the machine has it.
//!
//! On a host a portable one copies; a fault in it is not recovered from.

#[cfg(not(target_os = "none"))]
mod portable;
#[cfg(all(target_arch = "riscv64", target_os = "none"))]
mod riscv;
#[cfg(all(target_arch = "s390x", target_os = "none"))]
mod s390;
// Tested on a host too.
#[cfg(all(target_arch = "x86_64", any(target_os = "none", test)))]
#[cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "its faults are the kernel's")
)]
mod x86;

#[cfg(not(target_os = "none"))]
use portable as machine;
#[cfg(all(target_arch = "riscv64", target_os = "none"))]
use riscv as machine;
#[cfg(all(target_arch = "s390x", target_os = "none"))]
use s390 as machine;
#[cfg(all(target_arch = "x86_64", target_os = "none"))]
use x86 as machine;

/// Returns start and end of the instructions that may fault, and where they then resume.
pub fn recovery() -> [u64; 3] {
    machine::recovery()
}

/// Copies `count` bytes in rising order, with loads and stores of bytes or aligned words, and
/// returns how many were not copied because of a fault.
///
/// # Safety
///
/// 1. The `count` bytes from `from` on are readable, or are guest memory.
/// 2. The `count` bytes from `to` on are the caller's to write, or are guest memory: no Rust object
///    lies there that the caller does not hold mutably.
pub unsafe fn copy(to: *mut u8, from: *const u8, count: usize) -> usize {
    // SAFETY: the caller vouches for both ranges (1, 2).
    unsafe { machine::copy(to, from, count) }
}

/// Loads eight bytes, in the machine's order, or returns `None` because of a fault. They are loaded at
/// once where they are aligned.
///
/// # Safety
///
/// 1. The eight bytes from `from` on are readable, or are guest memory.
/// 2. `from` is not null.
#[inline]
pub unsafe fn load(from: *const u8) -> Option<u64> {
    // SAFETY: the caller vouches for the source (1, 2).
    unsafe { machine::load(from) }
}

/// Loads as [`load`] does, by a copy.
///
/// # Safety
///
/// As [`load`].
#[cfg(not(all(target_arch = "x86_64", target_os = "none")))]
unsafe fn load_by_copy(from: *const u8) -> Option<u64> {
    let mut word = 0_u64;
    // SAFETY: the caller vouches for the source (1); the word is this function's (2).
    let missing = unsafe { copy((&raw mut word).cast(), from, size_of::<u64>()) };
    (missing == 0).then_some(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Copies with each routine that runs here.
    const COPIES: &[unsafe fn(*mut u8, *const u8, usize) -> usize] = &[
        super::copy,
        #[cfg(target_arch = "x86_64")]
        super::x86::copy,
    ];
    /// Loads likewise.
    const LOADS: &[unsafe fn(*const u8) -> Option<u64>] = &[
        super::load,
        super::load_by_copy,
        #[cfg(target_arch = "x86_64")]
        super::x86::load,
    ];

    proptest! {
        #[test]
        fn a_word_is_the_bytes_that_lie_there(bytes: [u8; 24], shift in 0_usize..16) {
            for load in LOADS {
                // SAFETY: `bytes` has eight more behind that place, and is borrowed (1, 2).
                let word = unsafe { load(bytes[shift..shift + 8].as_ptr()) };
                prop_assert_eq!(&word.unwrap().to_ne_bytes()[..], &bytes[shift..shift + 8]);
            }
        }

        #[test]
        fn a_copy_moves_every_byte_and_no_other(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            from in 0_usize..16,
            shift in 0_usize..16,
        ) {
            let from = from.min(bytes.len());
            let bytes = &bytes[from..];
            for copy in COPIES {
                let mut target = vec![0xa5; bytes.len() + 32];
                let place = &mut target[shift..shift + bytes.len()];
                // SAFETY: `bytes` is borrowed (1), `place` is as long and borrowed mutably (2).
                let missing = unsafe { copy(place.as_mut_ptr(), bytes.as_ptr(), bytes.len()) };
                prop_assert_eq!(missing, 0);
                prop_assert_eq!(&target[shift..shift + bytes.len()], bytes);
                let mut rest = target[..shift].iter().chain(&target[shift + bytes.len()..]);
                prop_assert!(rest.all(|byte| *byte == 0xa5));
            }
        }
    }
}
