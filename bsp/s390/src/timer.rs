//! Time: the TOD clock and the clock comparator (PoP chapter 4, "Timing").
//!
//! Bit 51 of the TOD clock counts microseconds: 4096 ticks each.

use core::arch::asm;

/// Ticks of the TOD clock per second.
pub const TICKS_PER_SECOND: u64 = 4_096_000_000;

/// Returns the TOD clock.
pub fn now() -> u64 {
    let mut clock = 0_u64;
    // SAFETY: STCKF stores eight bytes at the address of `clock`.
    unsafe { asm!(".insn s, 0xb27c0000, 0({})", in(reg_addr) &raw mut clock, options(nostack)) };
    clock
}

/// Asks for an external interrupt when the TOD clock is past `deadline`, where CR0 enables it.
/// The clock is never past `u64::MAX`.
pub fn set(deadline: u64) {
    // SAFETY: SCKC reads eight bytes at the address of `deadline`.
    unsafe {
        asm!(
            "sckc 0({})",
            in(reg_addr) &raw const deadline,
            options(nostack, preserves_flags, readonly)
        );
    }
}
