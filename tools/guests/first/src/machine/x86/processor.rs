//! Instructions of the processor that have a name here.

use core::arch::asm;
use core::sync::atomic::AtomicUsize;

use crate::interrupts::PROCESSORS;

/// Model-specific register: where GS begins.
const GS_BASE: u32 = 0xc000_0101;
/// CR4: XSAVE is used, and the registers that it knows.
const CR4_XSAVE: u64 = 1 << 18;
/// CPUID leaf 1, ECX: XSAVE is there.
const HAS_XSAVE: u32 = 1 << 26;

/// The index of each processor, where its GS begins.
static INDICES: [AtomicUsize; PROCESSORS] = [AtomicUsize::new(0), AtomicUsize::new(1)];

/// What CPUID says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// Gives this processor its index, and all registers that XSAVE knows.
pub fn prepare(index: usize) {
    write_register(GS_BASE, core::ptr::from_ref(&INDICES[index]).addr() as u64);
    if identify(1, 0).ecx & HAS_XSAVE == 0 {
        return;
    }
    let known = identify(0xd, 0).eax & 7;
    // SAFETY: the processor has XSAVE, and each of these registers.
    unsafe {
        asm!("mov {0}, cr4", "or {0}, {1}", "mov cr4, {0}", out(reg) _, in(reg) CR4_XSAVE,
             options(nostack));
    }
    // SAFETY: as above; XCR0 is register 0.
    unsafe { asm!("xsetbv", in("ecx") 0, in("eax") known, in("edx") 0, options(nostack)) };
}

/// Returns the registers of which XSAVE saves the state: 0 where there is no XSAVE.
pub fn saved_features() -> u32 {
    match identify(1, 0).ecx & HAS_XSAVE {
        0 => 0,
        _ => identify(0xd, 0).eax & 7,
    }
}

/// Returns the index of this processor.
pub fn index() -> usize {
    let index: usize;
    // SAFETY: GS begins at this processor's index.
    unsafe { asm!("mov {}, gs:[0]", out(reg) index, options(nostack, readonly, preserves_flags)) };
    index
}

/// Asks what the processor is.
pub fn identify(leaf: u32, part: u32) -> Leaf {
    let found = core::arch::x86_64::__cpuid_count(leaf, part);
    Leaf {
        eax: found.eax,
        ebx: found.ebx,
        ecx: found.ecx,
        edx: found.edx,
    }
}

/// Reads a model-specific register.
pub fn read_register(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading a register has no effect; what is not there is an exception.
    unsafe {
        asm!("rdmsr", in("ecx") number, lateout("eax") low, lateout("edx") high, options(nostack))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
pub fn write_register(number: u32, value: u64) {
    // SAFETY: the guest owns its registers; the caller says what the value means.
    unsafe {
        asm!("wrmsr", in("ecx") number, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack));
    }
}

/// Returns the time-stamp counter.
pub fn time() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads the counter, behind all loads.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Reads a byte from a port.
pub fn input(port: u16) -> u8 {
    let value: u8;
    // SAFETY: the guest owns its ports.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack)) };
    value
}

/// Writes a byte to a port.
pub fn output(port: u16, value: u8) {
    // SAFETY: the guest owns its ports.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack)) };
}

/// Writes four bytes to a port.
pub fn output_long(port: u16, value: u32) {
    // SAFETY: the guest owns its ports.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack)) };
}

/// Writes two bytes to a port.
pub fn output_word(port: u16, value: u16) {
    // SAFETY: the guest owns its ports.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack)) };
}

/// Writes all bytes of a text to a port, by one instruction.
pub fn output_string(port: u16, text: &[u8]) {
    // SAFETY: reads the text; the guest owns its ports.
    unsafe {
        asm!("rep outsb", in("dx") port, inout("rsi") text.as_ptr() => _,
             inout("rcx") text.len() => _, options(nostack, readonly));
    }
}
