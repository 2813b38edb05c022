//! The local APIC, by its registers in memory: a hypervisor has to decode every access.

use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::facts::facts;
use super::start::TRAMPOLINE;
use super::{processor, traps};
use crate::interrupts::PROCESSORS;
use crate::waiting;

/// Its registers (SDM 3A, 11.4.1).
const BASE: usize = 0xfee0_0000;
/// Number of the APIC.
const NUMBER: usize = 0x20;
/// Task priority.
pub const TASK_PRIORITY: usize = 0x80;
/// End of interrupt.
const END: usize = 0xb0;
/// Spurious vector, and the switch.
const SPURIOUS: usize = 0xf0;
/// Interrupt command.
const COMMAND: usize = 0x300;
/// Who is commanded.
const TARGET: usize = 0x310;
/// The timer's entry.
const TIMER: usize = 0x320;
/// The first local pin, to which the old controller is connected.
const LOCAL_PIN: usize = 0x350;
/// The timer's first count.
const FIRST_COUNT: usize = 0x380;
/// The timer's count.
const COUNT: usize = 0x390;
/// What the timer divides by.
const DIVIDE: usize = 0x3e0;
/// In an entry: masked.
const MASKED: u32 = 1 << 16;
/// Interrupt command: INIT, and start-up at a page.
const INIT: u32 = 0x4500;
const START_UP: u32 = 0x4600;
/// Interrupt command: it is on its way.
const ON_ITS_WAY: u32 = 1 << 12;

/// When the timer of each processor is due.
static DEADLINES: [AtomicU64; PROCESSORS] = [const { AtomicU64::new(u64::MAX) }; PROCESSORS];

/// Reads a register.
pub fn load(register: usize) -> u32 {
    // SAFETY: a register of the APIC.
    unsafe { with_exposed_provenance_mut::<u32>(BASE + register).read_volatile() }
}

/// Writes a register.
pub fn store(register: usize, value: u32) {
    // SAFETY: a register of the APIC, which is the guest's own.
    unsafe { with_exposed_provenance_mut::<u32>(BASE + register).write_volatile(value) };
}

/// Switches this processor's on.
pub fn switch_on() {
    store(TASK_PRIORITY, 0);
    store(LOCAL_PIN, MASKED);
    store(SPURIOUS, 0x100 | u32::from(traps::SPURIOUS));
    store(DIVIDE, 0xb);
    store(TIMER, u32::from(traps::TIMER));
}

/// Returns the number of this processor's APIC.
pub fn own_number() -> u32 {
    load(NUMBER) >> 24
}

/// Says that an interrupt was handled.
pub fn end_interrupt() {
    store(END, 0);
}

/// Lets the timer count, without interrupts, and returns its count.
pub fn start_counting() {
    store(DIVIDE, 0xb);
    store(TIMER, MASKED);
    store(FIRST_COUNT, u32::MAX);
}

/// Returns how far the timer has counted since, and stops it.
pub fn counted() -> u32 {
    let counted = u32::MAX - load(COUNT);
    store(FIRST_COUNT, 0);
    counted
}

/// Sets the timer; one that is further away than it can count fires before, and is set again.
pub fn arm(deadline: u64) {
    DEADLINES[processor::index()].store(deadline, Relaxed);
    if deadline == u64::MAX {
        store(FIRST_COUNT, 0);
        return;
    }
    let ticks = deadline.saturating_sub(processor::time()).min(1 << 40);
    let (counts, per) = (
        facts().counts_per_millisecond,
        facts().ticks_per_millisecond,
    );
    let count = (ticks.saturating_mul(counts) / per).saturating_add(1);
    store(FIRST_COUNT, u32::try_from(count).unwrap_or(u32::MAX));
}

/// Tells whether the deadline has come, which is then none any more; sets the timer again where it
/// has not.
pub fn timer_is_due() -> bool {
    let own = &DEADLINES[processor::index()];
    let deadline = own.load(Relaxed);
    if deadline > processor::time() {
        arm(deadline);
        return false;
    }
    own.store(u64::MAX, Relaxed);
    true
}

/// Commands another APIC, or its own.
fn command(number: u32, command: u32) {
    store(TARGET, number << 24);
    store(COMMAND, command);
    while load(COMMAND) & ON_ITS_WAY != 0 {}
}

/// Interrupts a processor.
pub fn interrupt(number: u32) {
    command(number, u32::from(traps::PROCESSOR));
}

/// Starts a processor at the trampoline.
pub fn start(number: u32) {
    command(number, INIT);
    waiting::pause(10);
    command(number, START_UP | (TRAMPOLINE >> 12) as u32);
}
