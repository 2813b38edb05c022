//! INIT and SIPI for the other cores (SDM 3A, "MP Initialization").

use super::start::{_trampoline, _trampoline_end, _trampoline_words};
use crate::percore::PerCore;
use crate::timer::{self, Clock};
use crate::{apic, cores, cpu, paging};
use core::sync::atomic::{AtomicU64, Ordering};

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
            cores::secondary_core as *const () as u64,
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
