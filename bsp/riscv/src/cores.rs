//! How a hart begins to run threads and guests.
//!
//! Nothing here is in `boot`, whose code is memory of the first process from [`run_first`] on.

use crate::machine::{self, Riscv};
use crate::percore::{self, PerCore};
use crate::trap::{self, INTERRUPTS};
use crate::{csr, guest, irq, paging, timer};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{Kernel, Visit};
use riscv_regs::csr as number;
use spin::Once;

/// The kernel.
pub static KERNEL: Once<Kernel<Riscv>> = Once::new();

/// Cores that are ready to run, one bit each.
pub static READY: AtomicU64 = AtomicU64::new(0);
/// Set when the first process exists and the kernel's final mappings are in place.
static GO: AtomicU64 = AtomicU64::new(0);

/// Leaves the boot code for ever: its pages are no longer the kernel's. Runs the first process, for
/// which `visit` has decided, and lets the other harts go.
///
/// Out of line: a copy of it inside the boot code would be given away while it runs.
#[inline(never)]
pub fn run_first(hart: &PerCore, mut visit: Visit<'static, Riscv>) -> ! {
    paging::forget_boot_code();
    GO.store(1, Ordering::Release);
    visit.settle();
    drop(visit);
    trap::leave(hart)
}

/// Begins on another hart, with translation on and a stack.
pub extern "C" fn secondary_hart() -> ! {
    let hart = percore::current();
    csr::write!(number::STVEC, crate::entry::_trap_entry as *const () as u64);
    csr::write!(number::SSCRATCH, core::ptr::from_ref(hart) as u64);
    guest::probe();
    machine::probe_asid();
    let kernel = KERNEL
        .get()
        .expect("the boot hart made the kernel before it started this one");
    // The arena knows this core from now on: a first entry is refused during a grace period.
    drop(trap::enter(kernel, hart));
    READY.fetch_or(1 << hart.core.get(), Ordering::Release);
    while GO.load(Ordering::Acquire) == 0 {
        core::hint::spin_loop();
    }
    csr::fence_all();
    start_hart_state();
    let mut visit = trap::enter(kernel, hart);
    visit.settle();
    drop(visit);
    trap::leave(hart)
}

/// Sets this hart's registers that never change.
pub fn start_hart_state() {
    csr::write!(number::SCOUNTEREN, 7);
    guest::start_hart();
    timer::set(u64::MAX);
    irq::start_core();
    csr::write!(number::SIE, INTERRUPTS);
}
