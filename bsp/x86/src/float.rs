//! Floating-point registers of guests. Neither kernel nor processes use any.

use crate::cpu;
use core::arch::asm;
use kernel::word::Word;
use zerocopy::FromBytes;

/// x87 and SSE registers, as FXSAVE64 lays them out.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct FloatArea([Word; 64]);

impl FloatArea {
    /// Brings it into the reset state.
    pub fn reset(&self) {
        const CONTROL: u64 = 0x37f;
        const SSE_CONTROL: u64 = 0x1f80;
        self.0[0].set(CONTROL);
        self.0[3].set(SSE_CONTROL);
    }
}

/// Saves the floating-point registers of this core to `area`.
pub fn save(area: &FloatArea) {
    with_float(|| {
        // SAFETY: FXSAVE64 writes 512 bytes of atomics, aligned, which this core alone uses now.
        unsafe { asm!("fxsave64 [{}]", in(reg) &raw const *area, options(nostack)) };
    });
}

/// Loads the floating-point registers of this core from `area`.
pub fn load(area: &FloatArea) {
    with_float(|| {
        // SAFETY: FXRSTOR64 reads 512 bytes that FXSAVE64 wrote or that are the reset state.
        unsafe { asm!("fxrstor64 [{}]", in(reg) &raw const *area, options(nostack)) };
    });
}

/// Does something with floating-point instructions allowed.
fn with_float(work: impl FnOnce()) {
    const TASK_SWITCHED: u64 = 1 << 3;
    let before = cpu::cr0();
    cpu::set_cr0(before & !TASK_SWITCHED);
    work();
    cpu::set_cr0(before);
}
