//! Control and status registers by name.

/// sstatus: interrupts are taken.
pub const SIE: u64 = 1 << 1;
/// sstatus: what SIE was before the trap.
pub const SPIE: u64 = 1 << 5;
/// sstatus: the trap was taken from supervisor mode.
pub const SPP: u64 = 1 << 8;
/// sstatus: the vector unit is on and unchanged since it was.
pub const VS_INITIAL: u64 = 1 << 9;
/// sstatus: the floating-point unit is on and unchanged since it was.
pub const FS_INITIAL: u64 = 1 << 13;
/// sstatus: supervisor may access user memory.
pub const SUM: u64 = 1 << 18;
/// sstatus: executable pages can be read.
pub const MXR: u64 = 1 << 19;
/// sie, sip: interrupt by a processor.
pub const SOFTWARE: u64 = 1 << 1;
/// sie, sip: timer.
pub const TIMER: u64 = 1 << 5;
/// sie, sip: device.
pub const EXTERNAL: u64 = 1 << 9;

/// Reads a register.
macro_rules! read {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading this register has no effect.
        unsafe { core::arch::asm!(concat!("csrr {}, ", $name), out(reg) value, options(nostack)) };
        value
    }};
}
/// Writes a register.
macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the guest owns its registers; the caller says what the value means.
        unsafe { core::arch::asm!(concat!("csrw ", $name, ", {}"), in(reg) value, options(nostack)) };
    }};
}
/// Sets bits.
macro_rules! set {
    ($name:literal, $bits:expr) => {{
        let bits: u64 = $bits;
        // SAFETY: as for `write`.
        unsafe { core::arch::asm!(concat!("csrs ", $name, ", {}"), in(reg) bits, options(nostack)) };
    }};
}
/// Clears bits.
macro_rules! clear {
    ($name:literal, $bits:expr) => {{
        let bits: u64 = $bits;
        // SAFETY: as for `write`.
        unsafe { core::arch::asm!(concat!("csrc ", $name, ", {}"), in(reg) bits, options(nostack)) };
    }};
}
pub(super) use {clear, read, set, write};
