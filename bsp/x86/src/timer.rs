//! Time: the time-stamp counter, and the APIC's timer for deadlines.

use crate::percore::{self, PerCore};
use crate::{apic, cpu};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_regs::msr;

/// Counts of the APIC's timer per tick of the TSC, times 2^32; 0 where it has TSC-deadline mode.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Ticks per second of the TSC, once it was measured.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Returns the ticks per second of the TSC.
pub fn ticks_per_second() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Returns the time-stamp counter.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: RDTSC is in every x86-64 processor, and CR4.TSD does not matter to the supervisor.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// What was found out of the machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Ticks per second of the TSC.
    pub ticks_per_second: u64,
    /// Whether deadlines are values of the TSC.
    pub by_deadline: bool,
}

/// Measures TSC and APIC timer; once, on the boot core, whose APIC is on.
pub fn calibrate() -> Clock {
    const TSC_DEADLINE: u32 = 1 << 24;
    let by_deadline = cpu::identify(1, 0).ecx & TSC_DEADLINE != 0;
    // Whatever gets between the clocks makes a sample longer, of either clock: the shortest of each
    // is the truest.
    let (mut ticks, mut counts) = (u64::MAX, u64::MAX);
    for _ in 0..32 {
        let sample = sample();
        ticks = ticks.min(sample.0);
        counts = counts.min(sample.1);
    }
    if !by_deadline {
        // A rate of 0 stands for TSC-deadline mode.
        let rate = (counts << 32) / ticks.max(1);
        RATE.store(rate.max(1), Ordering::Relaxed);
    }
    TICKS.store(ticks * SAMPLES_PER_SECOND, Ordering::Relaxed);
    Clock {
        ticks_per_second: ticks_per_second(),
        by_deadline,
    }
}

/// Samples in a second.
const SAMPLES_PER_SECOND: u64 = 1000;

/// Returns how far the TSC and the APIC's timer get in a part of a second, by counter 2 of the
/// 8254 (8254 data sheet, mode 0).
#[inline(never)]
fn sample() -> (u64, u64) {
    const FREQUENCY: u64 = 1_193_182;
    const CONTROL: u16 = 0x43;
    const COUNTER_2: u16 = 0x42;
    const GATE: u16 = 0x61;
    const OUTPUT: u8 = 1 << 5;
    let [low, high, ..] = (FREQUENCY / SAMPLES_PER_SECOND).to_le_bytes();
    // Counter on, speaker off.
    cpu::write_port(GATE, cpu::read_port(GATE) & !3 | 1);
    cpu::write_port(CONTROL, 0xb0);
    cpu::write_port(COUNTER_2, low);
    apic::set_count(u32::MAX);
    let before = now();
    cpu::write_port(COUNTER_2, high);
    while cpu::read_port(GATE) & OUTPUT == 0 {
        core::hint::spin_loop();
    }
    let (after, count) = (now(), apic::count());
    apic::set_count(0);
    (after.wrapping_sub(before), u64::from(u32::MAX - count))
}

/// Waits for about so many millionths of a second.
pub fn pause(clock: Clock, microseconds: u64) {
    let end = now() + clock.ticks_per_second / 1_000_000 * microseconds;
    while now() < end {
        core::hint::spin_loop();
    }
}

/// Turns this core's timer on.
pub fn start_core() {
    apic::enable_timer(RATE.load(Ordering::Relaxed) == 0);
}

/// Asks for a timer interrupt of this core at `deadline`; `u64::MAX` is never.
pub fn set(deadline: u64) {
    percore::current().timer.set(deadline);
    arm(deadline);
}

/// Arms the timer for `deadline`, or for as late before it as the counter reaches.
#[inline(never)]
fn arm(deadline: u64) {
    let rate = RATE.load(Ordering::Relaxed);
    if rate == 0 {
        // 0 disarms.
        let value = if deadline == u64::MAX {
            0
        } else {
            deadline.max(1)
        };
        return cpu::write_register(msr::TSC_DEADLINE, value);
    }
    if deadline == u64::MAX {
        return apic::set_count(0);
    }
    let rest = u128::from(deadline.saturating_sub(now()));
    let count = ((rest * u128::from(rate)) >> 32) + 1;
    apic::set_count(u32::try_from(count).unwrap_or(u32::MAX));
}

/// Returns whether the deadline passed; else the timer is armed again: it had to fire early.
pub fn has_passed(core: &PerCore) -> bool {
    let deadline = core.timer.get();
    if now() >= deadline {
        return true;
    }
    arm(deadline);
    false
}
