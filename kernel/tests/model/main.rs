//! Random system calls of several threads on one to three cores against a small reference model.
//!
//! `MODEL_CALLS` and `MODEL_SEED` choose how many and which. A failure is run again with every
//! invariant looked at after every call, and its last calls are printed.
#![allow(
    clippy::indexing_slicing,
    reason = "a test fails where an index is wrong"
)]

mod directed;
mod drive;
mod generate;
mod reference;
mod tally;

use drive::Driver;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tally::Tally;

/// Slots that random calls fill and empty.
pub const WINDOW: Range<u64> = 1000..1040;
/// The most cores.
pub const CORES: usize = 3;
/// Calls of one machine.
const SEQUENCE: u64 = 4000;

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs one sequence, looking at the invariants every `every` calls.
fn sequence(seed: u64, calls: u64, every: u64, modelled: bool, tally: &mut Tally) {
    let mut driver = Driver::new(seed, modelled);
    let run = AssertUnwindSafe(|| driver.run(calls, every, tally));
    if let Err(panic) = catch_unwind(run) {
        eprintln!("seed {seed}, modelled {modelled}, the last calls:");
        driver
            .trace
            .iter()
            .rev()
            .take(25)
            .rev()
            .for_each(|line| eprintln!("  {line}"));
        if every > 1 {
            eprintln!("again, with a look after every call:");
            sequence(seed, calls, 1, modelled, &mut Tally::default());
        }
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn random_calls_agree_with_the_model() {
    let calls = number("MODEL_CALLS", 1_000_000);
    let seed = number("MODEL_SEED", 1);
    let mut tally = Tally::default();
    let mut index = 0;
    while tally.calls() < calls {
        sequence(seed + index, SEQUENCE, 400, true, &mut tally);
        index += 1;
    }
    directed::reach_the_rest(&mut tally);
    tally.print();
    tally.check();
}

#[test]
fn random_calls_with_late_interrupts_break_nothing() {
    let calls = number("MODEL_CALLS", 1_000_000) / 10;
    let seed = number("MODEL_SEED", 1);
    let mut tally = Tally::default();
    let mut index = 0;
    while tally.calls() < calls {
        sequence(seed + index, SEQUENCE, 400, false, &mut tally);
        index += 1;
    }
    println!("{} calls in {index} sequences", tally.calls());
}
