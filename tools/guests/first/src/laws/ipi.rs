//! Laws of interrupts between processors.

use crate::interrupts::{Source, found, post, taken};
use crate::machine::{Machine, This};
use crate::report::{Law, Verdict, equal, hold};
use crate::second::{self, FIRST, SECOND, Task};
use crate::waiting::{self, Manner};

/// The laws.
pub const LAWS: [Law; 3] = [
    Law {
        name: "each_is_answered_once_by_a_processor_that_stands_still",
        check: || ask(Task::AnswerIdle, Manner::Idle),
    },
    Law {
        name: "each_is_answered_once_by_a_processor_that_runs",
        check: || ask(Task::AnswerBusy, Manner::Busy),
    },
    Law {
        name: "the_last_of_a_burst_arrives_in_both_directions",
        check: bursts,
    },
];

/// Interrupts in each direction.
const ROUNDS: u64 = 1000;

/// Interrupts the second processor and waits for its answer, again and again.
fn ask(task: Task, manner: Manner) -> Verdict {
    let before = taken(Source::Processor);
    second::begin(task)?;
    for round in 1..=ROUNDS {
        This::interrupt(SECOND);
        waiting::until(manner, || taken(Source::Processor) >= before + round);
        equal("answers", before + round, taken(Source::Processor))?;
    }
    second::finish()?;
    waiting::pause(1);
    equal("answers", before + ROUNDS, taken(Source::Processor))?;
    Ok(ROUNDS)
}

/// The other side of it, which had taken so many interrupts before.
pub fn answer(manner: Manner, before: u64) -> Verdict {
    for round in 1..=ROUNDS {
        waiting::until(manner, || taken(Source::Processor) >= before + round);
        equal("questions", before + round, taken(Source::Processor))?;
        This::interrupt(FIRST);
    }
    Ok(ROUNDS)
}

/// Sends interrupts without waiting; those that were sent before the other took one are one.
/// Then the newest message of the other has to arrive.
pub fn burst(to: usize) -> Verdict {
    let start = found();
    for message in 1..=ROUNDS {
        post(to, message);
    }
    let arrived = waiting::until(Manner::Busy, || found() == ROUNDS);
    hold(arrived, "the newest message", ROUNDS, found().max(start))
}

/// Both processors send bursts.
fn bursts() -> Verdict {
    let before = taken(Source::Processor);
    second::begin(Task::Burst)?;
    burst(SECOND)?;
    second::finish()?;
    let count = taken(Source::Processor) - before;
    hold(count <= ROUNDS, "interrupts were doubled", ROUNDS, count)?;
    Ok(ROUNDS)
}
