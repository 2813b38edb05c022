//! Switching the machine off.

use crate::cpu;
use core::sync::atomic::{AtomicU64, Ordering};

/// Port of QEMU's isa-debug-exit, where there is one.
const DEBUG_EXIT: u16 = 0xf4;
/// QEMU's exit status becomes `FAILURE << 1 | 1`.
const FAILURE: u8 = 1;

/// Port of ACPI's PM1a control register and the value that switches off, in the lower and upper
/// half; 0 where the firmware told of none.
static SOFT_OFF: AtomicU64 = AtomicU64::new(0);

/// Notes how the machine is switched off (ACPI 6.5, "PM1 Control Registers").
pub fn set_soft_off(port: u16, value: u16) {
    SOFT_OFF.store(u64::from(value) << 32 | u64::from(port), Ordering::Relaxed);
}

/// Switches the machine off; where `failed`, an emulator that can is told so.
pub fn off(failed: bool) -> ! {
    if failed {
        cpu::write_port(DEBUG_EXIT, FAILURE);
    }
    let known = SOFT_OFF.load(Ordering::Relaxed);
    if known != 0 {
        cpu::write_port_word(known as u16, (known >> 32) as u16);
    }
    cpu::halt()
}
