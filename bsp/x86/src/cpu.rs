//! Privileged instructions and control registers: one function each.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use core::sync::atomic::AtomicU64;

/// Returns a leaf of CPUID, or zeros where the processor has fewer leaves.
#[inline(never)]
pub fn identify(leaf: u32, part: u32) -> CpuidResult {
    let highest = __cpuid(leaf & 0xf000_0000).eax;
    if leaf > highest {
        return CpuidResult {
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
        };
    }
    __cpuid_count(leaf, part)
}

/// Reads a model-specific register that the processor has.
pub fn read_register(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading a register has no effect on memory; the callers name registers that
    // architecture or CPUID promise.
    unsafe {
        asm!("rdmsr", in("ecx") number, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register that the processor has.
pub fn write_register(number: u32, value: u64) {
    let (low, high) = (value & 0xffff_ffff, value >> 32);
    // SAFETY: the callers name a register that architecture or CPUID promise, and a value that
    // keeps the kernel's own code and stack as they are.
    unsafe {
        asm!("wrmsr", in("ecx") number, in("rax") low, in("rdx") high,
            options(nostack, preserves_flags));
    }
}

/// Defines a read and a write of a control register.
macro_rules! control_register {
    ($name:literal, $read:ident, $write:ident) => {
        #[doc = concat!("Returns ", $name, ".")]
        pub fn $read() -> u64 {
            let value;
            // SAFETY: reading a control register has no effect.
            unsafe {
                asm!(concat!("mov {}, ", $name), out(reg) value,
                    options(nomem, nostack, preserves_flags));
            }
            value
        }

        #[doc = concat!("Sets ", $name, ".")]
        pub fn $write(value: u64) {
            // SAFETY: the callers give a value that keeps the kernel's own code, stack and data
            // where they are.
            unsafe {
                asm!(concat!("mov ", $name, ", {}"), in(reg) value,
                    options(nostack, preserves_flags));
            }
        }
    };
}

control_register!("cr0", cr0, set_cr0);
control_register!("cr2", fault_address, set_fault_address);
control_register!("cr3", cr3, set_cr3);
control_register!("cr4", cr4, set_cr4);

/// Waits with interrupts enabled until one came; it was noted by its handler then.
pub fn wait_for_interrupt() {
    // SAFETY: an interrupt in the kernel only notes itself in the core's `PerCore` and returns;
    // nothing comes between STI and HLT.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}

/// Enables interrupts for long enough that every pending one is noted.
pub fn take_interrupts() {
    // SAFETY: as `wait_for_interrupt`; STI holds interrupts off for one instruction.
    unsafe { asm!("sti", "nop", "nop", "cli", options(nostack)) };
}

/// Stops this core for good.
pub fn halt() -> ! {
    loop {
        // SAFETY: interrupts are off for good, and HLT touches no memory.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Makes stores before this visible before the interrupt that a later write of a register sends.
pub fn fence() {
    // SAFETY: a fence.
    unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
}

/// Drops cached translations by INVPCID, which the processor has (SDM 2A, "INVPCID").
pub fn invalidate(kind: u64, tag: u64, address: u64) {
    let descriptor = [tag, address];
    // SAFETY: INVPCID reads the descriptor and only drops cached translations.
    unsafe {
        asm!("invpcid {}, [{}]", in(reg) kind, in(reg) &raw const descriptor,
            options(nostack, preserves_flags));
    }
}

/// Drops the translation of one page of the loaded space.
pub fn invalidate_page(address: u64) {
    // SAFETY: INVLPG accesses nothing: it only drops a cached translation.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Defines a read and a write of an I/O port.
macro_rules! port_access {
    ($what:literal, $type:ty, $register:tt, $read:ident, $write:ident) => {
        #[doc = concat!("Writes ", $what, " to an I/O port.")]
        pub fn $write(port: u16, value: $type) {
            // SAFETY: the callers name ports of devices that do not touch memory, or that the
            // first process answers for.
            unsafe {
                asm!(concat!("out dx, ", $register), in("dx") port, in($register) value,
                    options(nomem, nostack, preserves_flags));
            }
        }

        #[doc = concat!("Reads ", $what, " from an I/O port.")]
        pub fn $read(port: u16) -> $type {
            let value;
            // SAFETY: as for writes.
            unsafe {
                asm!(concat!("in ", $register, ", dx"), in("dx") port, out($register) value,
                    options(nomem, nostack, preserves_flags));
            }
            value
        }
    };
}

port_access!("a byte", u8, "al", read_port, write_port);
port_access!(
    "a word of 16 bits",
    u16,
    "ax",
    read_port_word,
    write_port_word
);
port_access!(
    "a word of 32 bits",
    u32,
    "eax",
    read_port_long,
    write_port_long
);

/// Copies words.
#[inline(always)]
pub fn copy(from: &[AtomicU64], to: &[AtomicU64]) {
    // SAFETY: it reads and writes as many words as both slices have; they are made of atomics, and
    // memory of users. The direction flag is clear in the kernel.
    unsafe {
        asm!(
            "rep movsq",
            inout("rcx") from.len().min(to.len()) => _,
            inout("rsi") from.as_ptr() => _,
            inout("rdi") to.as_ptr() => _,
            options(nostack, preserves_flags)
        );
    }
}
