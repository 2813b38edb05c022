//! Interrupt lines: eight subclasses of input/output interruptions, and the service signal.
//!
//! An interruption is presented once, to one CPU that is open to it. The CPU keeps it as pending
//! until the line is claimed.

use crate::control::{self, order};
use crate::percore::{self, PerCore};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use s390_regs::{Cr0, lowcore};

/// Lines that the kernel has objects for; line 0 is none.
pub const LINES: u32 = 10;
/// The line of the service signal; lines 1 to 8 are subclasses 0 to 7.
const SERVICE_SIGNAL: u32 = 9;
/// The bit of CR0 that lets the service signal through.
const SERVICE_BIT: u64 = Cr0::new().with_service_signal(true).into_bits();

/// Whether the service processor signalled, and nobody claimed it.
static SIGNALLED: AtomicBool = AtomicBool::new(false);
/// The core that the service signal is unmasked for, plus one; 0 is masked.
static OWNER: AtomicU64 = AtomicU64::new(0);

/// Returns the bit of a line's subclass in CR6.
const fn subclass_bit(line: u32) -> u64 {
    0x8000_0000 >> (line - 1)
}

/// Returns CR0 of this CPU.
fn control0(cpu: &PerCore) -> u64 {
    let [control0, _] = &cpu.control;
    control0.get()
}

/// Changes bits of CR0 of this CPU.
fn set_control0(cpu: &PerCore, value: u64) {
    let [control0, _] = &cpu.control;
    control0.set(value);
    control::load!("0", value);
}

/// Changes bits of CR6 of this CPU.
fn set_control6(cpu: &PerCore, value: u64) {
    cpu.control6.set(value);
    control::load!("6", value);
}

/// Masks a line on this core.
pub fn mask(line: u32) {
    let cpu = percore::current();
    match line {
        1..=8 => {
            set_control6(cpu, cpu.control6.get() & !subclass_bit(line));
            cpu.subclasses
                .set(cpu.subclasses.get() & !subclass_bit(line));
        }
        SERVICE_SIGNAL => {
            OWNER.store(0, Ordering::SeqCst);
            set_control0(cpu, control0(cpu) & !SERVICE_BIT);
        }
        _ => {}
    }
}

/// Unmasks a line for the core that runs this.
pub fn unmask(line: u32) {
    let cpu = percore::current();
    match line {
        1..=8 => set_control6(cpu, cpu.control6.get() | subclass_bit(line)),
        SERVICE_SIGNAL => {
            OWNER.store(cpu.core.get() + 1, Ordering::SeqCst);
            set_control0(cpu, control0(cpu) | SERVICE_BIT);
            call_owner();
        }
        _ => {}
    }
}

/// Returns whether this core has a line to claim.
pub fn is_pending() -> bool {
    let cpu = percore::current();
    cpu.subclasses.get() != 0 || is_service_pending(cpu)
}

/// Returns whether the service signal waits for this core.
fn is_service_pending(cpu: &PerCore) -> bool {
    SIGNALLED.load(Ordering::SeqCst) && OWNER.load(Ordering::SeqCst) == cpu.core.get() + 1
}

/// Takes the line that interrupts this core and masks it; `None` when there is no more.
pub fn claim() -> Option<u32> {
    let cpu = percore::current();
    if is_service_pending(cpu) {
        SIGNALLED.store(false, Ordering::SeqCst);
        mask(SERVICE_SIGNAL);
        return Some(SERVICE_SIGNAL);
    }
    let line = (1..SERVICE_SIGNAL).find(|line| cpu.subclasses.get() & subclass_bit(*line) != 0)?;
    mask(line);
    Some(line)
}

/// Notes that the service processor signalled, and interrupts the core that waits for it.
pub fn note_service_signal() {
    SIGNALLED.store(true, Ordering::SeqCst);
    call_owner();
}

/// Interrupts the core that waits for the service signal, if it came.
fn call_owner() {
    let owner = OWNER.load(Ordering::SeqCst);
    let core = usize::try_from(owner).unwrap_or(0).checked_sub(1);
    if let Some(cpu) = core.and_then(percore::cpu_address)
        && SIGNALLED.load(Ordering::SeqCst)
    {
        control::signal(cpu, order::EMERGENCY_SIGNAL, 0);
    }
}

/// Notes the subclass of the input/output interruption that was stored last.
pub fn note_input_output() {
    let cpu = percore::current();
    // Bits 2 to 4 of the interruption word (PoP chapter 16, "I/O-Interruption Code").
    let word = percore::stored(lowcore::INPUT_OUTPUT_WORD) >> 32;
    let subclass = word >> 27 & 7;
    cpu.subclasses
        .set(cpu.subclasses.get() | 0x8000_0000 >> subclass);
}
