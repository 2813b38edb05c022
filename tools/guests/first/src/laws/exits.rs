//! Many exits of each class.

use crate::interrupts::{Source, taken};
use crate::machine::{Exit, Machine, This};
use crate::report::{Sum, Verdict, equal};

/// Exits of each class.
const EXITS: u64 = 10_000;

/// Exits that every machine has.
pub const COMMON: [Exit; 3] = [
    Exit {
        name: "interrupt_to_itself",
        make: interrupt_itself,
        is_quiet: false,
    },
    Exit {
        name: "wake_by_a_pending_interrupt",
        make: wake_by_interrupt,
        is_quiet: false,
    },
    Exit {
        name: "wake_by_the_timer",
        make: wake_by_timer,
        is_quiet: false,
    },
];

/// Makes the exits of all classes.
pub fn run(sum: &mut Sum) {
    for exit in This::exits().iter().chain(&COMMON) {
        sum.note("exits", exit.name, many(exit));
    }
}

/// Makes many exits of a class.
fn many(exit: &Exit) -> Verdict {
    for _ in 0..EXITS {
        (exit.make)()?;
    }
    Ok(EXITS)
}

/// Interrupts itself and takes that.
fn interrupt_itself() -> Verdict {
    let before = taken(Source::Processor);
    This::interrupt(This::index());
    while taken(Source::Processor) == before {
        core::hint::spin_loop();
    }
    equal("interrupts", before + 1, taken(Source::Processor))
}

/// Waits where there is something already.
fn wake_by_interrupt() -> Verdict {
    let before = taken(Source::Processor);
    This::mask();
    This::interrupt(This::index());
    while taken(Source::Processor) == before {
        This::idle();
    }
    let after = taken(Source::Processor);
    This::unmask();
    equal("interrupts", before + 1, after)
}

/// Waits for the timer, which fires soon.
fn wake_by_timer() -> Verdict {
    let before = taken(Source::Timer);
    This::mask();
    This::arm(This::now() + This::ticks_per_millisecond() / 50);
    while taken(Source::Timer) == before {
        This::idle();
    }
    let after = taken(Source::Timer);
    This::unmask();
    equal("interrupts", before + 1, after)
}
