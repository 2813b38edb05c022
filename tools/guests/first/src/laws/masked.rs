//! Laws of interrupts that are raised while the processor takes none.

use crate::interrupts::{Source, taken};
use crate::machine::{Machine, This};
use crate::report::{Law, Verdict, equal};
use crate::second;
use crate::waiting;

/// The laws.
pub const LAWS: [Law; 4] = [
    Law {
        name: "an_interrupt_by_a_processor_waits_and_comes_once",
        check: by_a_processor,
    },
    Law {
        name: "two_of_a_kind_come_once",
        check: twice,
    },
    Law {
        name: "a_timer_waits_and_comes_once",
        check: by_the_timer,
    },
    Law {
        name: "a_device_waits_and_comes_once",
        check: by_a_device,
    },
];

/// How often each is tried.
const ROUNDS: u64 = 20;

/// Raises an interrupt while none is taken, and counts how often it comes then.
fn raise(source: Source, raise: impl Fn() -> Verdict) -> Verdict {
    for _ in 0..ROUNDS {
        let before = taken(source);
        This::mask();
        let raised = raise();
        waiting::pause(1);
        let meanwhile = taken(source);
        This::unmask();
        raised?;
        equal("it came while it was masked", before, meanwhile)?;
        waiting::busy(1000, || taken(source) > before);
        equal("it did not come", before + 1, taken(source))?;
        waiting::pause(1);
        equal("it came again", before + 1, taken(source))?;
    }
    Ok(ROUNDS)
}

/// The processor interrupts itself.
fn by_a_processor() -> Verdict {
    raise(Source::Processor, || {
        This::interrupt(second::FIRST);
        Ok(1)
    })
}

/// The processor interrupts itself twice.
fn twice() -> Verdict {
    raise(Source::Processor, || {
        This::interrupt(second::FIRST);
        This::interrupt(second::FIRST);
        Ok(1)
    })
}

/// The timer fires.
fn by_the_timer() -> Verdict {
    raise(Source::Timer, || {
        This::arm(This::now());
        Ok(1)
    })
}

/// A device interrupts.
fn by_a_device() -> Verdict {
    raise(Source::Device, This::raise_device)
}
