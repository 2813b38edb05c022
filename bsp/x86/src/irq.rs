//! Interrupts of the host's devices: IOAPICs (82093AA data sheet), and what lets edges not get lost.
//!
//! Line `n` is global system interrupt `n` and has vector 32 + `n`. An IOAPIC forgets an edge that
//! comes while its pin is masked, so only level-triggered pins are masked there; an edge that comes
//! while its line is masked is remembered here, and delivered when the line is unmasked.

use crate::{apic, paging};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use spin::Mutex;

/// Lines that the kernel has objects for: vectors 32 to 239. Those above are the kernel's own.
pub const LINES: u32 = 208;
/// Vector of line 0.
const FIRST_VECTOR: u32 = 32;
/// The most IOAPICs.
const CONTROLLERS: usize = 4;

/// Redirection entry, low half: level-triggered.
const LEVEL: u32 = 1 << 15;
/// Redirection entry, low half: active low.
const ACTIVE_LOW: u32 = 1 << 13;
/// Redirection entry, low half: masked.
const MASKED: u32 = 1 << 16;

/// One IOAPIC.
#[derive(Clone, Copy)]
struct Controller {
    registers: u64,
    first: u32,
    pins: u32,
}

/// The controllers, by their index/data pair of registers: one at a time uses it.
static CONTROLLERS_FOUND: Mutex<[Option<Controller>; CONTROLLERS]> =
    Mutex::new([None; CONTROLLERS]);

/// How the signal of each line is: `LEVEL` and `ACTIVE_LOW`.
static SIGNALS: [AtomicU32; LINES as usize] = [const { AtomicU32::new(0) }; LINES as usize];
/// Lines that are masked, one bit each.
static MASKS: Lines = Lines::new(u64::MAX);
/// Lines whose edge came while they were masked.
static MISSED: Lines = Lines::new(0);

/// A set of lines.
struct Lines([AtomicU64; 4]);

impl Lines {
    /// Makes a set whose words are all `bits`.
    const fn new(bits: u64) -> Self {
        Self([
            AtomicU64::new(bits),
            AtomicU64::new(bits),
            AtomicU64::new(bits),
            AtomicU64::new(bits),
        ])
    }

    /// Adds or removes a line; returns whether it was in the set.
    fn set(&self, line: u32, member: bool) -> bool {
        let bit = 1 << (line % 64);
        let Some(word) = self.0.get(line as usize / 64) else {
            return false;
        };
        let before = if member {
            word.fetch_or(bit, Ordering::SeqCst)
        } else {
            word.fetch_and(!bit, Ordering::SeqCst)
        };
        before & bit != 0
    }

    /// Returns whether a line is in the set.
    fn has(&self, line: u32) -> bool {
        let word = self.0.get(line as usize / 64);
        word.is_some_and(|word| word.load(Ordering::SeqCst) >> (line % 64) & 1 == 1)
    }
}

impl Controller {
    /// Reads a register.
    fn read(&self, index: u32) -> u32 {
        paging::device_register(self.registers).store(index, Ordering::Relaxed);
        paging::device_register(self.registers + 0x10).load(Ordering::Relaxed)
    }

    /// Writes a register.
    fn write(&self, index: u32, value: u32) {
        paging::device_register(self.registers).store(index, Ordering::Relaxed);
        paging::device_register(self.registers + 0x10).store(value, Ordering::Relaxed);
    }
}

/// Adds an IOAPIC at a physical address, whose first pin is line `first`; all its pins are masked.
pub fn add_controller(physical: u64, first: u32) {
    let registers = paging::map_device(physical);
    let mut controller = Controller {
        registers,
        first,
        pins: 0,
    };
    controller.pins = (controller.read(1) >> 16 & 0xff) + 1;
    for pin in 0..controller.pins {
        controller.write(0x10 + pin * 2, MASKED);
    }
    // From line 16 on there are PCI's interrupts: shared, level-triggered, active low.
    for line in first.max(16)..first + controller.pins {
        set_signal(line, true, true);
    }
    let mut found = CONTROLLERS_FOUND.lock();
    if let Some(place) = found.iter_mut().find(|place| place.is_none()) {
        *place = Some(controller);
    }
}

/// Notes what a line's signal is like.
#[inline(never)]
pub fn set_signal(line: u32, level: bool, active_low: bool) {
    if let Some(word) = SIGNALS.get(line as usize) {
        let level = if level { LEVEL } else { 0 };
        let polarity = if active_low { ACTIVE_LOW } else { 0 };
        word.store(level | polarity, Ordering::Relaxed);
    }
}

/// Returns what a line's signal is like.
fn signal(line: u32) -> u32 {
    SIGNALS
        .get(line as usize)
        .map_or(0, |word| word.load(Ordering::Relaxed))
}

/// Writes the redirection entry of a line; a line without a pin has none. A level is masked meanwhile:
/// it is still there afterwards. An edge would be forgotten, and goes to the old or the new target.
#[inline(never)]
fn redirect(line: u32, low: u32, target: u32) {
    let found = CONTROLLERS_FOUND.lock();
    let has = |controller: &&Controller| line.wrapping_sub(controller.first) < controller.pins;
    if let Some(controller) = found.iter().flatten().find(has) {
        let register = 0x10 + (line - controller.first) * 2;
        if low & LEVEL != 0 {
            controller.write(register, MASKED);
        }
        controller.write(register + 1, target << 24);
        controller.write(register, low);
    }
}

/// Masks a line on all cores.
#[inline(never)]
pub fn mask(line: u32) {
    MASKS.set(line, true);
    if signal(line) & LEVEL != 0 {
        redirect(line, MASKED, 0);
    }
}

/// Unmasks a line for the core that runs this.
pub fn unmask(line: u32) {
    let own = apic::own_number();
    MASKS.set(line, false);
    redirect(line, signal(line) | (FIRST_VECTOR + line), own);
    if MISSED.set(line, false) {
        apic::send(own, FIRST_VECTOR + line);
    }
}

/// Takes the line that interrupts this core and masks it. An edge of a masked line is kept.
pub fn claim() -> Option<u32> {
    loop {
        let vector = apic::in_service()?;
        let line = vector
            .checked_sub(FIRST_VECTOR)
            .filter(|line| *line < LINES)?;
        let was_masked = MASKS.has(line);
        mask(line);
        apic::end_of_interrupt();
        if !was_masked || taken_back(line) {
            return Some(line);
        }
    }
}

/// Remembers the edge of a masked line; returns whether the line was unmasked meanwhile by a core
/// that did not see that. One of the two does: each writes first and then looks.
fn taken_back(line: u32) -> bool {
    MISSED.set(line, true);
    !MASKS.has(line) && MISSED.set(line, false)
}
