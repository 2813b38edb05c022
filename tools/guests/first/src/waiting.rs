//! Waits that end.

use core::hint::spin_loop;

use crate::machine::{Machine, This};

/// How a processor waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It asks again and again.
    Busy,
    /// It stands still until an interrupt comes.
    Idle,
}

/// The longest that anything may take; a machine that is busy with other things may well need some.
const LIMIT: u64 = 20_000;

/// Returns the time in so many milliseconds.
pub fn after(milliseconds: u64) -> u64 {
    This::now() + milliseconds * This::ticks_per_millisecond()
}

/// Asks until it is true, for so many milliseconds; returns what it was at last.
pub fn busy(milliseconds: u64, is_true: impl Fn() -> bool) -> bool {
    let end = after(milliseconds);
    while !is_true() {
        if This::now() > end {
            return is_true();
        }
        spin_loop();
    }
    true
}

/// Waits until it is true, which an interrupt makes it; returns whether it became true in time.
/// The processor takes interrupts meanwhile, and its timer may be used up.
pub fn until(manner: Manner, is_true: impl Fn() -> bool) -> bool {
    if manner == Manner::Busy {
        return busy(LIMIT, is_true);
    }
    let end = after(LIMIT);
    This::mask();
    This::arm(end);
    while !is_true() && This::now() <= end {
        This::idle();
    }
    This::arm(u64::MAX);
    This::unmask();
    is_true()
}

/// Lets time pass in which interrupts come.
pub fn pause(milliseconds: u64) {
    busy(milliseconds, || false);
}
