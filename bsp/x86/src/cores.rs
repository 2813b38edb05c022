//! How a core begins to run threads and guests, and its registers that never change.
//!
//! Nothing here is in `boot`, whose code is memory of the first process from [`run_first`] on.

use crate::descriptor::STAR;
use crate::machine::X86;
use crate::percore::PerCore;
use crate::{apic, cpu, entry, guest, paging, timer, trap, vmx};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{Kernel, Visit};
use spin::Once;
use x86_regs::{Cr0, Cr4, Efer, msr};

/// The kernel.
pub static KERNEL: Once<Kernel<X86>> = Once::new();

/// Cores that are ready to run, one bit each.
pub static READY: AtomicU64 = AtomicU64::new(0);
/// Set when the first process exists and the kernel's final mappings are in place.
static GO: AtomicU64 = AtomicU64::new(0);

/// Flags that SYSCALL clears: all but bit 1.
const SYSTEM_CALL_MASK: u64 = 0x3f_7fd5;
/// The page attribute table as it is after reset: write-back, write-through, uncached minus,
/// uncached, twice.
const PAT: u64 = 0x0007_0406_0007_0406;

/// Leaves the boot code for ever: its pages are no longer the kernel's. Runs the first process, for
/// which `visit` has decided, and lets the other cores go.
///
/// Out of line: a copy of it inside the boot code would be given away while it runs.
#[inline(never)]
pub fn run_first(core: &PerCore, mut visit: Visit<'static, X86>) -> ! {
    paging::forget_boot_code();
    GO.store(1, Ordering::Release);
    visit.settle();
    trap::leave(core, visit)
}

/// Begins on another core, in long mode and with a stack.
pub extern "C" fn secondary_core(core: &'static PerCore) -> ! {
    initialise(core);
    apic::start_core();
    let kernel = KERNEL
        .get()
        .expect("the boot core made the kernel before it started this one");
    // The arena knows this core from now on: a first entry is refused during a grace period.
    drop(trap::enter(kernel, core));
    READY.fetch_or(1 << core.core.get(), Ordering::Release);
    while GO.load(Ordering::Acquire) == 0 {
        core::hint::spin_loop();
    }
    finish();
    timer::start_core();
    start_guests(core);
    let mut visit = trap::enter_from_user();
    visit.settle();
    trap::leave(core, visit)
}

/// Lets this core run guests, where there are any.
pub fn start_guests(core: &PerCore) {
    if let Some(hardware) = guest::hardware() {
        hardware.start_core(core);
    }
}

/// Returns CR4: what the kernel needs, and what protects it where the processor has it.
fn control() -> Cr4 {
    let features = cpu::identify(7, 0);
    let basic = cpu::identify(1, 0);
    Cr4::new()
        .with_physical_address_extension(true)
        .with_page_global(true)
        .with_fxsr(true)
        .with_simd_exceptions(true)
        .with_fsgsbase(true)
        .with_vmx(vmx::is_supported())
        .with_xsave(basic.ecx >> 26 & 1 == 1)
        .with_pcid(paging::has_tags())
        .with_user_instruction_prevention(features.ecx >> 2 & 1 == 1)
        .with_supervisor_execution_prevention(features.ebx >> 7 & 1 == 1)
        .with_supervisor_access_prevention(features.ebx >> 20 & 1 == 1)
}

/// Sets the registers of this core that never change, and makes it `core`.
pub fn initialise(core: &'static PerCore) {
    let efer = Efer::from_bits(cpu::read_register(msr::EFER))
        .with_no_execute(true)
        .with_system_call(true);
    cpu::write_register(msr::EFER, efer.into_bits());
    // Floating point is no process's: its first instruction faults.
    let cr0 = Cr0::from_bits(cpu::cr0())
        .with_task_switched(true)
        .with_emulation(false)
        .with_monitor_coprocessor(true)
        .with_write_protect(true)
        .with_numeric_error(true)
        .with_alignment_mask(false);
    cpu::set_cr0(cr0.into_bits());
    cpu::write_register(msr::PAT, PAT);
    core.descriptors.load();
    let own = core::ptr::from_ref(core) as u64;
    core.own.set(own);
    cpu::write_register(msr::GS_BASE, own);
    cpu::write_register(msr::KERNEL_GS_BASE, 0);
    cpu::write_register(msr::FS_BASE, 0);
    cpu::write_register(msr::STAR, STAR);
    cpu::write_register(msr::LSTAR, entry::_system_call_entry as *const () as u64);
    cpu::write_register(msr::SYSCALL_MASK, SYSTEM_CALL_MASK);
}

/// Sets CR4, once the kernel's final tables are in force: from then on its translations are global.
pub fn finish() {
    cpu::set_cr4(control().into_bits());
    paging::flush_kernel();
}
