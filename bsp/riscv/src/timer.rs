//! The timer: stimecmp where the hart has Sstc, else a call to the firmware.

use crate::{csr, sbi};
use core::sync::atomic::{AtomicBool, Ordering};

/// Whether every hart has Sstc.
static HAS_SSTC: AtomicBool = AtomicBool::new(false);

/// Notes whether every hart has Sstc.
pub fn set_has_sstc(has: bool) {
    HAS_SSTC.store(has, Ordering::Relaxed);
}

/// Returns whether every hart has Sstc.
pub fn has_sstc() -> bool {
    HAS_SSTC.load(Ordering::Relaxed)
}

/// Asks for a timer interrupt of this hart at `deadline`; `u64::MAX` is never.
pub fn set(deadline: u64) {
    if has_sstc() {
        csr::write!(riscv_regs::csr::STIMECMP, deadline);
    } else {
        sbi::set_timer(deadline);
    }
}
