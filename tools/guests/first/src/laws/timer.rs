//! Laws of a processor's timer.

use crate::interrupts::{Source, taken};
use crate::machine::{Machine, This};
use crate::report::{Law, Verdict, equal, hold};
use crate::waiting::{self, Manner};

/// The laws.
pub const LAWS: [Law; 4] = [
    Law {
        name: "fires_once_and_not_before_its_deadline",
        check: fires_once,
    },
    Law {
        name: "fires_for_a_deadline_that_has_passed",
        check: fires_late,
    },
    Law {
        name: "fires_only_for_the_newest_deadline",
        check: fires_for_the_newest,
    },
    Law {
        name: "does_not_fire_where_it_was_taken_back",
        check: is_taken_back,
    },
];

/// How often each is tried.
const ROUNDS: u64 = 20;

/// Waits for the next interrupt of the timer; returns the time behind it.
fn fired(before: u64) -> Verdict {
    let came = waiting::until(Manner::Busy, || taken(Source::Timer) > before);
    hold(came, "it never fired", before + 1, taken(Source::Timer))?;
    Ok(This::now())
}

/// Sets the timer a little ahead and waits in both manners.
fn fires_once() -> Verdict {
    for round in 0..ROUNDS {
        let before = taken(Source::Timer);
        let deadline = waiting::after(1);
        This::mask();
        This::arm(deadline);
        if round % 2 == 0 {
            while taken(Source::Timer) == before {
                This::idle();
            }
        }
        This::unmask();
        let came = fired(before)?;
        hold(came >= deadline, "it fired early", deadline, came)?;
        waiting::pause(2);
        equal("it fired again", before + 1, taken(Source::Timer))?;
    }
    Ok(ROUNDS)
}

/// Sets it to a time that has passed.
fn fires_late() -> Verdict {
    for _ in 0..ROUNDS {
        let before = taken(Source::Timer);
        This::arm(This::now().saturating_sub(1));
        fired(before)?;
        waiting::pause(1);
        equal("it fired again", before + 1, taken(Source::Timer))?;
    }
    Ok(ROUNDS)
}

/// Sets it twice before it fires, to an earlier time and to a later one.
fn fires_for_the_newest() -> Verdict {
    for _ in 0..ROUNDS {
        let before = taken(Source::Timer);
        This::arm(waiting::after(1000));
        This::arm(waiting::after(1));
        fired(before)?;
        let before = before + 1;
        let deadline = waiting::after(2);
        This::mask();
        This::arm(waiting::after(1));
        This::arm(deadline);
        This::unmask();
        let came = fired(before)?;
        hold(came >= deadline, "the older one fired", deadline, came)?;
        waiting::pause(1);
        equal("it fired again", before + 1, taken(Source::Timer))?;
    }
    Ok(ROUNDS)
}

/// Sets it and takes that back, before the deadline and behind it while interrupts are masked.
fn is_taken_back() -> Verdict {
    for _ in 0..ROUNDS {
        let before = taken(Source::Timer);
        This::mask();
        This::arm(waiting::after(1));
        This::arm(u64::MAX);
        This::arm(This::now());
        waiting::pause(1);
        This::arm(u64::MAX);
        This::unmask();
        waiting::pause(2);
        equal("it fired", before, taken(Source::Timer))?;
    }
    Ok(ROUNDS)
}
