//! Randomised races between cores: signal, delete, revoke, map and inject against running threads
//! and running guests.
//!
//! A race is a *volley*: the driver on core 0 and a rival on every other core act on the same
//! objects at once, each a few times in an order of its own, while threads and guests run on. Then
//! all is quiet, and a law has to hold: no signal and no interrupt was lost, nothing works on after
//! the call that ended it has returned, and no capability outlives what it was derived from.
//! A watch ends the machine where no volley ends.

mod laws;
mod rivals;
mod scene;
mod watch;

use crate::case::{Failure, Outcome, Stop};
use crate::context::Context;
use crate::suite::clean_up;
use abi::boot::BootInfo;
use abi::bundle::Bundle;
use rt::log;

/// What the bundle asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Start of the random numbers.
    pub seed: u64,
    /// How many races, at most.
    pub count: u64,
    /// Seconds of the machine's time after which no further round begins.
    pub seconds: u64,
}

/// Volleys between two set-ups, after which all memory has to be free again.
const ROUND: u64 = 250;

/// Returns the numbers, as `seed=7 count=100000 seconds=60`, in the bundle's entry `races`.
#[must_use]
pub fn parameters() -> Option<Parameters> {
    let bundle = Bundle::parse(rt::boot::bundle()).ok()?;
    let bytes = bundle.data(&bundle.find("races")?).ok()?;
    parse(core::str::from_utf8(bytes).ok()?)
}

/// Returns the numbers of a text, or what stands for one that is left out.
fn parse(text: &str) -> Option<Parameters> {
    let mut parameters = Parameters {
        seed: 1,
        count: 100_000,
        seconds: u64::MAX,
    };
    for word in text.split_ascii_whitespace() {
        let (name, number) = word.split_once('=')?;
        match name {
            "seed" => parameters.seed = number.parse().ok()?,
            "count" => parameters.count = number.parse().ok()?,
            "seconds" => parameters.seconds = number.parse().ok()?,
            _ => return None,
        }
    }
    Some(parameters)
}

/// Random numbers (Marsaglia, "Xorshift RNGs", 2003).
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// Starts the numbers of a seed: another row for every seed, and never at 0, where they stop.
    const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03 | 1 << 63)
    }

    /// Returns the next number.
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `end`.
    const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Spins for a moment of random length: most are short, a few are as long as a call that
    /// wakes a thread of another core, so that what follows meets every point of it.
    fn moment(&mut self) {
        let longest = 1 << self.below(14);
        for _ in 0..self.below(longest) {
            core::hint::spin_loop();
        }
    }
}

/// What a volley is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Signals to a waiting thread.
    Signal,
    /// Deletion of a thread, a notification or an endpoint that is in use.
    Delete,
    /// Revocation of copies that are in use.
    Revoke,
    /// Unmapping of a page that threads on two cores store to.
    Map,
    /// Interrupt lines of a guest that takes them.
    Inject,
    /// Unmapping of a page that a guest stores to, and stopping it.
    Guest,
}

impl Kind {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 6] = [
        Self::Signal,
        Self::Delete,
        Self::Revoke,
        Self::Map,
        Self::Inject,
        Self::Guest,
    ];

    /// Returns its index in [`Kind::ALL`].
    const fn index(self) -> usize {
        self as usize
    }

    /// Draws one; without guests, none that needs them.
    const fn draw(random: &mut Random, guests: bool) -> Self {
        match random.below(16) {
            0 => Self::Delete,
            1 => Self::Revoke,
            2..5 => Self::Map,
            5..9 if guests => Self::Inject,
            9..12 if guests => Self::Guest,
            _ => Self::Signal,
        }
    }
}

/// How many races of each kind were held, and how many volleys went wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    held: [u64; Kind::ALL.len()],
    failed: [u64; Kind::ALL.len()],
}

impl Tally {
    /// Returns the number of races.
    fn sum(&self) -> u64 {
        self.held.iter().sum()
    }
}

/// Runs the races and returns whether any went wrong.
pub fn run(info: &'static BootInfo, parameters: Parameters) -> bool {
    let Parameters {
        seed,
        count,
        seconds,
    } = parameters;
    let cores = info.cores;
    log!("races: seed {seed}, {count} races, {cores} cores");
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let mut told = 0;
    let ticks = info.ticks_per_second.saturating_mul(seconds);
    let end = rt::sys::counter().saturating_add(ticks);
    while tally.sum() < count && rt::sys::counter() < end {
        let context = Context::new(info);
        let outcome = round(&context, &mut random, &mut tally);
        if let Err(stop) = outcome.and(clean_up(&context)) {
            report(&stop);
            if tally.failed.iter().sum::<u64>() == 0 {
                tally.failed[Kind::Delete.index()] += 1;
            }
        }
        if tally.sum() / 10_000 > told {
            told = tally.sum() / 10_000;
            log!("races: {} of {count}", tally.sum());
        }
    }
    conclude(&tally)
}

/// Prints a line for each kind of race and the sum; returns whether any went wrong.
fn conclude(tally: &Tally) -> bool {
    for ((kind, held), failed) in Kind::ALL.iter().zip(tally.held).zip(tally.failed) {
        match (held, failed) {
            (0, 0) => log!("case races of {kind:?}: 0 ... skipped none was held"),
            (_, 0) => log!("case races of {kind:?}: {held} ... ok"),
            _ => log!("case races of {kind:?}: {held} ... FAILED {failed} times"),
        }
    }
    let failed = tally.failed.iter().filter(|count| **count > 0).count();
    let counts = tally.held.iter().zip(&tally.failed);
    let skipped = counts.filter(|both| *both == (&0, &0)).count();
    let passed = Kind::ALL.len() - failed - skipped;
    log!("conformance: {passed} passed, {failed} failed, {skipped} skipped");
    failed > 0
}

/// Prints what went wrong.
fn report(stop: &Stop) {
    match stop {
        Stop::Skipped(reason) => log!("races: skipped {reason}"),
        Stop::Failed(Failure {
            text,
            place,
            error,
            values,
        }) => {
            log!(
                "races: {}:{}: {text} {error:?} {values:?}",
                place.file(),
                place.line()
            );
        }
    }
}

/// Sets up a scene on a random core and holds some volleys there.
fn round(context: &Context, random: &mut Random, tally: &mut Tally) -> Outcome {
    let core = random.below(context.info.cores);
    let scene = scene::set_up(context, core, random)?;
    for _ in 0..ROUND {
        let kind = Kind::draw(random, scene.guests.is_some());
        let steps = 1 + random.below(4);
        let outcome = scene.volley(context, random, kind, steps);
        watch::progress();
        tally.held[kind.index()] += steps;
        tally.failed[kind.index()] += u64::from(outcome.is_err());
        outcome?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Parameters, Random, parse};

    #[test]
    fn every_seed_has_numbers_of_its_own() {
        let first = |seed| Random::new(seed).next();
        assert!((0..100).all(|seed| first(seed) != first(seed + 1)));
    }

    #[test]
    fn numbers_are_named_and_may_be_left_out() {
        let numbers = |seed, count, seconds| {
            Some(Parameters {
                seed,
                count,
                seconds,
            })
        };
        let text = "seed=7 count=500 seconds=9\n";
        assert_eq!(parse(text), numbers(7, 500, 9));
        assert_eq!(parse("seed=3"), numbers(3, 100_000, u64::MAX));
        assert_eq!(parse("seed"), None);
        assert_eq!(parse("speed=1"), None);
    }
}
