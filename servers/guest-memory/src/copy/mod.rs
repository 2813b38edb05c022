//! The copy, which may fault, as the machine has it.
//!
//! Where a machine's routine does not exist yet, and on a host, a portable one copies; a fault in
//! it is not recovered from.

#[cfg(not(all(
    any(target_arch = "riscv64", target_arch = "s390x"),
    target_os = "none"
)))]
mod portable;
#[cfg(all(target_arch = "riscv64", target_os = "none"))]
mod riscv;
#[cfg(all(target_arch = "s390x", target_os = "none"))]
mod s390;

#[cfg(not(all(
    any(target_arch = "riscv64", target_arch = "s390x"),
    target_os = "none"
)))]
use portable as machine;
#[cfg(all(target_arch = "riscv64", target_os = "none"))]
use riscv as machine;
#[cfg(all(target_arch = "s390x", target_os = "none"))]
use s390 as machine;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_copy_moves_every_byte_and_no_other(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            shift in 0_usize..16,
        ) {
            let mut target = vec![0xa5; bytes.len() + 32];
            let place = &mut target[shift..shift + bytes.len()];
            // SAFETY: `bytes` is borrowed (1), `place` is as long and borrowed mutably (2).
            let missing = unsafe { super::copy(place.as_mut_ptr(), bytes.as_ptr(), bytes.len()) };
            prop_assert_eq!(missing, 0);
            prop_assert_eq!(&target[shift..shift + bytes.len()], &bytes[..]);
            let mut rest = target[..shift].iter().chain(&target[shift + bytes.len()..]);
            prop_assert!(rest.all(|byte| *byte == 0xa5));
        }
    }
}
