//! Control and status registers: one read and one write per register.

use core::arch::asm;

/// Reads a CSR by its number.
macro_rules! read {
    ($number:expr) => {{
        let value: u64;
        // SAFETY: reading a CSR has no effect on memory; the caller names one that exists.
        unsafe {
            core::arch::asm!("csrr {}, {}", out(reg) value, const $number,
                options(nomem, nostack, preserves_flags));
        }
        value
    }};
}

/// Writes a CSR by its number.
macro_rules! write {
    ($number:expr, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the caller names a CSR whose new value keeps the kernel's own code running.
        unsafe {
            core::arch::asm!("csrw {}, {}", const $number, in(reg) value, options(nostack));
        }
    }};
}

/// Sets bits of a CSR.
macro_rules! set {
    ($number:expr, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the caller names a CSR whose new value keeps the kernel's own code running.
        unsafe {
            core::arch::asm!("csrs {}, {}", const $number, in(reg) value, options(nostack));
        }
    }};
}

/// Clears bits of a CSR.
macro_rules! clear {
    ($number:expr, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the caller names a CSR whose new value keeps the kernel's own code running.
        unsafe {
            core::arch::asm!("csrc {}, {}", const $number, in(reg) value, options(nostack));
        }
    }};
}

pub(crate) use {clear, read, set, write};

/// Returns the time counter.
#[inline(always)]
pub fn time() -> u64 {
    read!(riscv_regs::csr::TIME)
}

/// Waits until an interrupt is pending, whether interrupts are enabled or not.
pub fn wait_for_interrupt() {
    // SAFETY: the instruction only waits.
    unsafe { asm!("wfi", options(nomem, nostack)) };
}

/// Drops every translation of the kernel and of processes on this hart.
pub fn fence_all() {
    // SAFETY: a fence.
    unsafe { asm!("sfence.vma zero, zero", options(nostack)) };
}

/// Drops the translations of one process on this hart.
pub fn fence_space(asid: u64) {
    // SAFETY: a fence.
    unsafe { asm!("sfence.vma zero, {}", in(reg) asid, options(nostack)) };
}

/// Drops the translations of one page of a process on this hart.
pub fn fence_page(asid: u64, address: u64) {
    // SAFETY: a fence.
    unsafe { asm!("sfence.vma {}, {}", in(reg) address, in(reg) asid, options(nostack)) };
}

/// Drops the second-stage translations of all guests on this hart (HFENCE.GVMA).
pub fn fence_guest_memory() {
    // SAFETY: a fence.
    unsafe { asm!(".insn r 0x73, 0, 0x31, zero, zero, zero", options(nostack)) };
}

/// Drops the first-stage translations of the loaded guest on this hart (HFENCE.VVMA).
pub fn fence_guest_virtual() {
    // SAFETY: a fence.
    unsafe { asm!(".insn r 0x73, 0, 0x11, zero, zero, zero", options(nostack)) };
}

/// Makes instructions that were written visible to fetches of this hart.
pub fn fence_instructions() {
    // SAFETY: a fence.
    unsafe { asm!("fence.i", options(nostack)) };
}
