//! Starting cores: registers that never change, and INIT and SIPI for the others (SDM 3A, "MP
//! Initialization").

use super::start::{_trampoline, _trampoline_end, _trampoline_words};
use crate::descriptor::STAR;
use crate::percore::{self, PerCore};
use crate::timer::{self, Clock};
use crate::{apic, cpu, entry, paging, vmx};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_regs::{Cr0, Cr4, Efer, msr};

/// Flags that SYSCALL clears: all but bit 1.
const SYSTEM_CALL_MASK: u64 = 0x3f_7fd5;
/// The page attribute table as it is after reset: write-back, write-through, uncached minus,
/// uncached, twice.
const PAT: u64 = 0x0007_0406_0007_0406;

/// Returns what the processor lacks that the kernel cannot do without.
pub fn missing() -> Option<&'static str> {
    let extended = cpu::identify(0x8000_0001, 0).edx;
    let features = cpu::identify(7, 0).ebx;
    if extended >> 20 & 1 == 0 {
        return Some("no-execute pages (NX)");
    }
    if extended >> 11 & 1 == 0 {
        return Some("SYSCALL in 64-bit mode");
    }
    if features & 1 == 0 {
        return Some("instructions for the bases of FS and GS (FSGSBASE)");
    }
    None
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

/// Where the other cores begin: a page below 1 MiB.
pub struct Trampoline {
    page: u64,
}

impl Trampoline {
    /// Copies the first instructions of other cores to `page`, which nobody else uses.
    pub fn new(page: u64) -> Self {
        let start = &raw const _trampoline;
        let length = &raw const _trampoline_end as usize - start as usize;
        let target = paging::virtual_of(page) as *mut u8;
        // SAFETY: the source is part of the image; the caller names a page that is free, the direct
        // map shows it, and the instructions are shorter than it.
        unsafe { core::ptr::copy_nonoverlapping(start, target, length) };
        Self { page }
    }

    /// Starts the core with this state, which has a stack; `ready` tells when it came up. Returns
    /// whether it did.
    pub fn start(&self, core: &'static PerCore, clock: Clock, ready: impl Fn() -> bool) -> bool {
        // The first instructions correct themselves: they are copied anew for each core.
        let fresh = Self::new(self.page);
        let offset = &raw const _trampoline_words as u64 - &raw const _trampoline as u64;
        let words = paging::virtual_of(fresh.page + offset) as *const [AtomicU64; 4];
        // SAFETY: the words lie in the copy, on a boundary of eight bytes, and the core that reads
        // them is not started yet.
        let words = unsafe { &*words };
        let values = [
            paging::physical_of(&raw const paging::ROOT),
            core::ptr::from_ref(core) as u64,
            core.stack.get(),
            super::secondary_core as *const () as u64,
        ];
        for (word, value) in words.iter().zip(values) {
            word.store(value, Ordering::SeqCst);
        }
        let target = core.apic.get() as u32;
        apic::send_reset(target);
        timer::pause(clock, 10_000);
        for attempt in 0..2 {
            apic::send_start(target, (fresh.page >> 12) as u32);
            for _ in 0..if attempt == 0 { 10 } else { 20_000 } {
                if ready() {
                    return true;
                }
                timer::pause(clock, 100);
            }
        }
        false
    }
}

/// Returns the core that `secondary_core` got, with its registers set.
pub fn adopt(core: &'static PerCore) -> &'static PerCore {
    initialise(core);
    percore::current()
}
