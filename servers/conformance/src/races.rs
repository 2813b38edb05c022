//! Randomised races between cores: signal, delete, revoke, map and inject against running threads
//! and a running guest.
//!
//! One driver draws what to do next; the other cores run threads that are at it all the time. What
//! must not happen is a signal or an interrupt that is lost, and work that goes on after the call
//! that ended it has returned.

use crate::case::{Failure, Outcome, Stop};
use crate::context::{Context, HIGH, LOW, read_write};
use crate::crew::{self, Helper, Role};
use crate::guest::Guest;
use crate::machine;
use crate::program::Program;
use crate::suite::clean_up;
use abi::Rights;
use abi::boot::BootInfo;
use abi::bundle::Bundle;
use abi::call::{Binding, FOREVER};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use rt::window::Window;
use rt::{Frame, Notification, Thread, log};

/// What the bundle asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Start of the random numbers.
    pub seed: u64,
    /// How many races.
    pub count: u64,
}

/// Races between two set-ups, after which all memory has to be free again.
const ROUND: u64 = 500;

/// Returns the numbers, as `seed=7 count=100000`, in the bundle's entry `races`.
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
    };
    for word in text.split_ascii_whitespace() {
        let (name, number) = word.split_once('=')?;
        match name {
            "seed" => parameters.seed = number.parse().ok()?,
            "count" => parameters.count = number.parse().ok()?,
            _ => return None,
        }
    }
    Some(parameters)
}

/// Random numbers (Marsaglia, "Xorshift RNGs", 2003).
#[derive(Debug)]
struct Random(u64);

impl Random {
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
}

/// The kinds of race, as indices of a [`Tally`].
const KINDS: [&str; 5] = ["signal", "delete", "revoke", "map", "inject"];
/// Index of races of signals.
const SIGNAL: usize = 0;
/// Index of races of deletion.
const DELETE: usize = 1;
/// Index of races of revocation.
const REVOKE: usize = 2;
/// Index of races of mapping.
const MAP: usize = 3;
/// Index of races of injection.
const INJECT: usize = 4;

/// How many races of each kind were held, and how many went wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    held: [u64; KINDS.len()],
    failed: [u64; KINDS.len()],
}

/// How often each waiter was signalled, and how often it has heard of.
static SENT: [AtomicU64; crew::HELPERS] = [const { AtomicU64::new(0) }; crew::HELPERS];

/// The threads and objects that the races are about.
struct Scene {
    core: u64,
    waiter: Helper,
    notification: Notification,
    toucher: Thread,
    touched: Frame,
    alias: Window,
    address: u64,
    guest: Option<Guest>,
}

/// Runs the races and returns whether any went wrong.
pub fn run(info: &'static BootInfo, parameters: Parameters) -> bool {
    let Parameters { seed, count } = parameters;
    let cores = info.cores;
    log!("races: seed {seed}, {count} races, {cores} cores");
    let mut random = Random(seed | 1);
    let mut tally = Tally::default();
    let mut told = 0;
    while tally.held.iter().sum::<u64>() < count {
        let context = Context::new(info);
        let outcome = round(&context, &mut random, &mut tally);
        if let Err(stop) = outcome.and(clean_up(&context)) {
            report(&stop);
            if tally.failed.iter().sum::<u64>() == 0 {
                tally.failed[DELETE] += 1;
            }
        }
        let held = tally.held.iter().sum::<u64>();
        if held / 10_000 > told {
            told = held / 10_000;
            log!("races: {held} of {count}");
        }
    }
    conclude(&tally)
}

/// Prints a line for each kind of race and the sum; returns whether any went wrong.
fn conclude(tally: &Tally) -> bool {
    for ((kind, held), failed) in KINDS.iter().zip(tally.held).zip(tally.failed) {
        match failed {
            0 => log!("case races of {kind}: {held} ... ok"),
            _ => log!("case races of {kind}: {held} ... FAILED {failed} times"),
        }
    }
    let failed = tally.failed.iter().filter(|count| **count > 0).count();
    log!(
        "conformance: {} passed, {failed} failed, 0 skipped",
        KINDS.len() - failed
    );
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

/// Sets up a scene on a random core and holds some races there.
fn round(context: &Context, random: &mut Random, tally: &mut Tally) -> Outcome {
    let core = random.below(context.info.cores);
    let scene = set_up(context, core)?;
    for _ in 0..ROUND {
        let kind = match random.below(16) {
            0 => DELETE,
            1 => REVOKE,
            2..4 => MAP,
            4..8 if scene.guest.is_some() => INJECT,
            _ => SIGNAL,
        };
        let outcome = match kind {
            DELETE => deletion(context, &scene, random),
            REVOKE => revocation(context, &scene, random),
            MAP => mapping(context, &scene, random),
            INJECT => injection(context, &scene),
            _ => signal(context, &scene, random),
        };
        tally.held[kind] += 1;
        tally.failed[kind] += u64::from(outcome.is_err());
        outcome?;
    }
    Ok(())
}

/// Makes the threads that the races are about.
fn set_up(context: &Context, core: u64) -> Outcome<Scene> {
    let role = Role::EAGER.on(core);
    let notification = context.notification_on(core)?;
    let waiter = context.spawn(role, &[notification.bits()], |number| {
        let note = crew::note(number);
        while Notification::at(note.slot(0)).wait(FOREVER).is_ok() {
            note.value.store(SENT[number as usize].load(SeqCst), SeqCst);
        }
    })?;
    SENT[waiter.number as usize].store(0, SeqCst);
    let touched = context.frame(12)?;
    let alias = context.window(Frame::at(context.copy(touched.capability())?.slot()))?;
    let address = context.window_address(12);
    touched.map(context.own_space().capability(), address, read_write())?;
    let toucher = start_toucher(context, core, address)?;
    let guest = match start_guest(context, core) {
        Err(Stop::Skipped(_)) => None,
        guest => Some(guest?),
    };
    Ok(Scene {
        core,
        waiter,
        notification,
        toucher,
        touched,
        alias,
        address,
        guest,
    })
}

/// Starts the thread that stores to a page for ever, and starts over where the page is gone.
fn start_toucher(context: &Context, core: u64, address: u64) -> Outcome<Thread> {
    let program: Program = context.program(machine::current().touch)?;
    let (thread, budget) = (context.thread_on(core)?, context.budget_on(core)?);
    thread.bind(Binding::Space, Some(context.own_space().capability()))?;
    thread.bind(Binding::CapTable, Some(context.own_table().capability()))?;
    thread.bind(Binding::Budget, Some(budget.capability()))?;
    thread.set_priority(LOW)?;
    thread.set_recovery(program.start, program.report, program.start)?;
    thread.run(program.start, 0, address)?;
    Ok(thread)
}

/// Starts a guest that counts the lines that it takes.
fn start_guest(context: &Context, core: u64) -> Outcome<Guest> {
    let machine = &machine::current().guest;
    if machine.has_windows {
        return Err(Stop::Skipped("lines are requests that a server answers"));
    }
    let guest = context.guest_on(core, machine.take_lines)?;
    guest.set_register(0, machine.memory + 0x1000);
    guest.vcpu.write(machine.enable.0, machine.other_enable)?;
    guest.vcpu.set_priority(LOW + 1)?;
    guest.vcpu.resume()?;
    Ok(guest)
}

/// Spins for a moment of random length.
fn moment(random: &mut Random) {
    for _ in 0..random.below(200) {
        core::hint::spin_loop();
    }
}

/// Signals the waiter a few times; the last one has to be heard.
fn signal(context: &Context, scene: &Scene, random: &mut Random) -> Outcome {
    let sent = &SENT[scene.waiter.number as usize];
    for _ in 0..=random.below(4) {
        sent.fetch_add(1, SeqCst);
        scene.notification.signal()?;
        moment(random);
    }
    let number = sent.load(SeqCst);
    let end = context.after(20);
    while scene.waiter.count() != number && rt::sys::counter() < end {}
    context.until("no signal is lost", || scene.waiter.count() == number)
}

/// Deletes a thread that spins; it must not spin on.
fn deletion(context: &Context, scene: &Scene, random: &mut Random) -> Outcome {
    let role = Role::EAGER
        .on(scene.core)
        .with_priority(if scene.core == 0 { LOW } else { HIGH - 1 });
    let first = context.mark();
    let helper = context.spawn(role, &[], crew::spin)?;
    moment(random);
    helper.thread.capability().delete()?;
    let count = helper.count();
    moment(random);
    if helper.count() != count {
        return Err(Stop::failed("a deleted thread does not run"));
    }
    crew::dismiss_one(helper.number);
    helper.budget.capability().delete()?;
    context.rewind(first);
    Ok(())
}

/// Revokes copies of the notification, some of them just used, and makes new ones.
fn revocation(context: &Context, scene: &Scene, random: &mut Random) -> Outcome {
    let first = context.mark();
    let middle = context.mint(scene.notification.capability(), Rights::ALL, 0)?;
    let helper = context.spawn(
        Role::EAGER.on(scene.core).with_priority(LOW + 5),
        &[context.mint(middle, Rights::ALL, 2)?.bits()],
        |number| {
            let note = crew::note(number);
            while Notification::at(note.slot(0)).signal().is_ok() {
                note.value.fetch_add(1, SeqCst);
            }
            note.end(Ok(1));
        },
    )?;
    moment(random);
    middle.revoke()?;
    context.end_of(&helper)??;
    crew::dismiss_one(helper.number);
    helper.budget.capability().delete()?;
    middle.delete()?;
    context.rewind(first);
    Ok(())
}

/// Unmaps the page that the toucher stores to; no store may come after that.
fn mapping(context: &Context, scene: &Scene, random: &mut Random) -> Outcome {
    scene.touched.unmap()?;
    scene.alias.store(0, 0);
    moment(random);
    if scene.alias.load(0) != 0 {
        return Err(Stop::failed("an unmapped page is not stored to"));
    }
    let space = context.own_space().capability();
    scene.touched.map(space, scene.address, read_write())?;
    if scene.core != 0 && random.below(64) == 0 {
        context.until("the page is stored to again", || {
            scene.alias.load(0) == scene.address
        })?;
        scene.toucher.stop()?;
        scene.toucher.resume()?;
    }
    Ok(())
}

/// Raises a line of the guest, which has to take it.
fn injection(context: &Context, scene: &Scene) -> Outcome {
    let Some(guest) = &scene.guest else {
        return Ok(());
    };
    let taken = || guest.memory.load(0x200);
    let before = taken();
    guest.vcpu.inject(machine::current().guest.other_line, 0)?;
    let end = context.after(20);
    while taken() == before && rt::sys::counter() < end {}
    context.until("no interrupt is lost", || taken() > before)
}

#[cfg(test)]
mod tests {
    use super::{Parameters, parse};

    #[test]
    fn seed_and_count_are_named_and_may_be_left_out() {
        let numbers = |seed, count| Some(Parameters { seed, count });
        assert_eq!(parse("seed=7 count=500\n"), numbers(7, 500));
        assert_eq!(parse("seed=3"), numbers(3, 100_000));
        assert_eq!(parse("seed"), None);
        assert_eq!(parse("speed=1"), None);
    }
}
