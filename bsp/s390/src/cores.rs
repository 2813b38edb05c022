//! How a CPU begins to run threads and guests.
//!
//! Nothing here is in `boot`, whose code is memory of the first process from [`run_first`] on.

use crate::control;
use crate::machine::S390;
use crate::percore::{self, PerCore};
use crate::{paging, timer, trap};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{Kernel, Visit};
use s390_regs::Cr0;
use spin::Once;

/// The kernel.
pub static KERNEL: Once<Kernel<S390>> = Once::new();

/// Cores that are ready to run, one bit each.
pub static READY: AtomicU64 = AtomicU64::new(0);
/// Set when the first process exists.
static GO: AtomicU64 = AtomicU64::new(0);

/// CR0 of every CPU: stores to the first bytes of the prefix area are refused, which is where null
/// pointers point; the timer and other CPUs interrupt.
const CONTROL_0: u64 = Cr0::new()
    .with_low_address_protection(true)
    .with_emergency_signal(true)
    .with_clock_comparator(true)
    .into_bits();

/// Bit of CR0 with which page entries can forbid execution.
pub const NO_EXECUTE: u64 = Cr0::new().with_execution_protection(true).into_bits();

/// Leaves the boot code for ever: its pages are no longer the kernel's. Runs the first process, for
/// which `visit` has decided, and lets the other CPUs go.
///
/// Out of line: a copy of it inside the boot code would be given away while it runs.
#[inline(never)]
pub fn run_first(cpu: &PerCore, mut visit: Visit<'static, S390>) -> ! {
    GO.store(1, Ordering::Release);
    visit.settle();
    trap::leave(cpu, visit)
}

/// Begins on another CPU, with a prefix area and a stack.
pub extern "C" fn secondary_cpu() -> ! {
    let cpu = percore::current();
    start_cpu_state(cpu);
    let kernel = KERNEL
        .get()
        .expect("the boot CPU made the kernel before it started this one");
    // The arena knows this core from now on: a first entry is refused during a grace period.
    drop(trap::enter(kernel, cpu));
    READY.fetch_or(1 << cpu.core.get(), Ordering::Release);
    while GO.load(Ordering::Acquire) == 0 {
        core::hint::spin_loop();
    }
    let mut visit = trap::enter(kernel, cpu);
    visit.settle();
    trap::leave(cpu, visit)
}

/// Sets this CPU's registers that never change, and masks all lines.
pub fn start_cpu_state(cpu: &PerCore) {
    let no_execute = if paging::probe() { NO_EXECUTE } else { 0 };
    let control0 = CONTROL_0 | no_execute;
    let [place, _] = &cpu.control;
    place.set(control0);
    let [mask, _] = &cpu.call_psw;
    mask.set(trap::USER);
    cpu.zeros.iter().for_each(|word| word.set(0));
    control::load!("0", control0);
    control::load!("6", 0);
    timer::set(u64::MAX);
    paging::load(paging::primary(None));
}
