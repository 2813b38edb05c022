//! The local APIC: x2APIC where the processor has it, else xAPIC (SDM 3A, "Advanced Programmable
//! Interrupt Controller").

use crate::{cpu, paging};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use x86_regs::msr;

/// Vector of the timer. The kernel's vectors are the most urgent.
pub const TIMER: u64 = 0xfe;
/// Vector of an interrupt from another core.
pub const IPI: u64 = 0xfd;
/// Vector of interrupts that went away.
const SPURIOUS: u32 = 0xff;

/// Registers, by their number in x2APIC mode; in xAPIC mode they are 16 bytes apart.
mod register {
    pub const TASK_PRIORITY: u32 = 0x8;
    pub const END_OF_INTERRUPT: u32 = 0xb;
    pub const SPURIOUS: u32 = 0xf;
    pub const IN_SERVICE: u32 = 0x10;
    pub const COMMAND: u32 = 0x30;
    pub const COMMAND_HIGH: u32 = 0x31;
    pub const TIMER: u32 = 0x32;
    pub const THERMAL: u32 = 0x33;
    pub const PERFORMANCE: u32 = 0x34;
    pub const LINE_0: u32 = 0x35;
    pub const LINE_1: u32 = 0x36;
    pub const ERROR: u32 = 0x37;
    pub const INITIAL_COUNT: u32 = 0x38;
    pub const CURRENT_COUNT: u32 = 0x39;
    pub const DIVISOR: u32 = 0x3e;
}

/// Interrupt command: the message is under way (xAPIC only).
const PENDING: u32 = 1 << 12;
/// Local vector: masked.
const MASKED: u32 = 1 << 16;
/// Local vector of the timer: TSC-deadline mode.
const DEADLINE: u32 = 2 << 17;
/// Interrupt command: asserted.
const ASSERT: u32 = 1 << 14;

/// Where the registers are mapped in xAPIC mode; 0 in x2APIC mode.
static REGISTERS: AtomicU64 = AtomicU64::new(0);

/// Finds the registers; once, before any core uses its APIC. Returns whether they are those of
/// x2APIC mode.
pub fn find() -> bool {
    const X2APIC: u32 = 1 << 21;
    if cpu::identify(1, 0).ecx & X2APIC != 0 {
        return true;
    }
    let base = cpu::read_register(msr::APIC_BASE) & 0x000f_ffff_ffff_f000;
    REGISTERS.store(paging::map_device(base), Ordering::Relaxed);
    false
}

/// Returns a register in xAPIC mode.
fn memory(register: u32) -> Option<&'static AtomicU32> {
    let base = REGISTERS.load(Ordering::Relaxed);
    if base == 0 {
        return None;
    }
    Some(paging::device_register(base + u64::from(register) * 16))
}

/// Reads a register.
#[inline(never)]
fn read(register: u32) -> u32 {
    match memory(register) {
        Some(word) => word.load(Ordering::Relaxed),
        None => cpu::read_register(msr::X2APIC + register) as u32,
    }
}

/// Writes a register.
#[inline(never)]
fn write(register: u32, value: u32) {
    match memory(register) {
        Some(word) => word.store(value, Ordering::Relaxed),
        None => cpu::write_register(msr::X2APIC + register, u64::from(value)),
    }
}

/// Turns this core's APIC on, with all of its own sources masked.
pub fn start_core() {
    const ENABLE: u64 = 1 << 11;
    const EXTENDED: u64 = 1 << 10;
    let mode = if REGISTERS.load(Ordering::Relaxed) == 0 {
        ENABLE | EXTENDED
    } else {
        ENABLE
    };
    let base = cpu::read_register(msr::APIC_BASE);
    cpu::write_register(msr::APIC_BASE, base | mode);
    write(register::SPURIOUS, 1 << 8 | SPURIOUS);
    let highest = read(0x3) >> 16 & 0xff;
    for (index, vector) in [
        (0, register::TIMER),
        (1, register::LINE_0),
        (2, register::LINE_1),
        (3, register::ERROR),
        (4, register::PERFORMANCE),
        (5, register::THERMAL),
    ] {
        if index <= highest {
            write(vector, MASKED);
        }
    }
    // After the lines: QEMU looks here whether an interrupt of before is still to be taken.
    write(register::TASK_PRIORITY, 0);
    // The timer counts at the bus's own speed.
    write(register::DIVISOR, 0xb);
}

/// Returns the number of this core's APIC, which may be off.
pub fn own_number() -> u32 {
    // SDM 2A, "CPUID": the leaf of the topology has all bits of it.
    let topology = cpu::identify(0xb, 0);
    if topology.ebx == 0 {
        cpu::identify(1, 0).ebx >> 24
    } else {
        topology.edx
    }
}

/// Ends the interrupt that is in service.
pub fn end_of_interrupt() {
    write(register::END_OF_INTERRUPT, 0);
}

/// Returns the vector of the most urgent interrupt that is in service.
pub fn in_service() -> Option<u32> {
    (0..8).rev().find_map(|index| {
        let bits = read(register::IN_SERVICE + index);
        (bits != 0).then(|| index * 32 + bits.ilog2())
    })
}

/// Sends a message to another core.
#[inline(never)]
fn command(target: u32, message: u32) {
    cpu::fence();
    match (memory(register::COMMAND), memory(register::COMMAND_HIGH)) {
        (Some(low), Some(high)) => {
            high.store(target << 24, Ordering::Relaxed);
            low.store(message, Ordering::Relaxed);
            while low.load(Ordering::Relaxed) & PENDING != 0 {
                core::hint::spin_loop();
            }
        }
        _ => {
            let value = u64::from(target) << 32 | u64::from(message);
            cpu::write_register(msr::X2APIC + register::COMMAND, value);
        }
    }
}

/// Interrupts a core by a vector.
pub fn send(target: u32, vector: u32) {
    command(target, ASSERT | vector);
}

/// Resets another core (INIT).
pub fn send_reset(target: u32) {
    command(target, ASSERT | 5 << 8);
}

/// Starts another core in real mode at a page below 1 MiB (SIPI).
pub fn send_start(target: u32, page: u32) {
    command(target, ASSERT | 6 << 8 | page);
}

/// Lets the timer fire at a value of the TSC, or when its counter comes to zero.
pub fn enable_timer(by_deadline: bool) {
    let mode = if by_deadline { DEADLINE } else { 0 };
    write(register::TIMER, mode | TIMER as u32);
    // The mode is in force before the first deadline is written (SDM, "TSC-Deadline Mode").
    cpu::fence();
}

/// Lets the timer count down from `count`; 0 stops it.
pub fn set_count(count: u32) {
    write(register::INITIAL_COUNT, count);
}

/// Returns what the timer has come to.
pub fn count() -> u32 {
    read(register::CURRENT_COUNT)
}
