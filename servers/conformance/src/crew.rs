//! Helper threads in the suite's own space.
//!
//! A helper runs one of the functions here or a closure of its case, with its number as the
//! argument; what it should know and what it found travel in atomics of that number.

use crate::case::{Outcome, Stop};
use crate::context::{Context, FIRST_PAGE, HIGH};
use abi::call::FOREVER;
use abi::{Error, SlotAddress};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use rt::spawn::{Plan, ThreadPlace};
use rt::stack::Mark;
use rt::{Capability, Endpoint, Frame, Notification, Outgoing, Thread};

/// Helpers that a case can have.
pub const HELPERS: usize = 20;
/// Where the helpers' message pages are mapped.
pub const PAGES: u64 = 0x3000_0000;

/// Blocks and stacks of the helpers.
static PLACES: [ThreadPlace<8192>; HELPERS] = [const { ThreadPlace::new() }; HELPERS];
/// What helpers are told and tell.
static NOTES: [Note; HELPERS] = [const { Note::new() }; HELPERS];

/// What one helper is told and tells.
#[derive(Debug)]
pub struct Note {
    /// Slots or numbers that it works with.
    pub input: [AtomicU64; 3],
    /// 0, or 1 plus the number of the error that it ended with.
    status: AtomicU64,
    /// What it got, or how often it went round.
    pub value: AtomicU64,
    /// When it ended, counted over all helpers.
    order: AtomicU64,
}

/// How many helpers of the case have ended.
static ENDED: AtomicU64 = AtomicU64::new(0);

impl Note {
    /// Returns an empty note.
    const fn new() -> Self {
        Self {
            input: [const { AtomicU64::new(0) }; 3],
            status: AtomicU64::new(0),
            value: AtomicU64::new(0),
            order: AtomicU64::new(0),
        }
    }

    /// Returns input `index` as a slot of the own table.
    pub fn slot(&self, index: usize) -> SlotAddress {
        SlotAddress::from_bits(self.input[index].load(SeqCst))
    }

    /// Writes down how the helper ended.
    pub fn end(&self, result: Result<u64, Error>) {
        self.value.store(result.unwrap_or(0), SeqCst);
        self.order.store(ENDED.fetch_add(1, SeqCst) + 1, SeqCst);
        self.status
            .store(1 + result.err().map_or(0, Error::number), SeqCst);
    }
}

/// Returns the note of helper `number`.
#[must_use]
pub fn note(number: u64) -> &'static Note {
    &NOTES[usize::try_from(number).unwrap_or(0) % HELPERS]
}

/// How a helper is made.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// Its core.
    pub core: u64,
    /// Its priority.
    pub priority: u64,
    /// Whether it has a message page.
    pub page: bool,
}

impl Role {
    /// A helper of higher priority on the suite's core: it runs as soon as it can.
    pub const EAGER: Self = Self {
        core: 0,
        priority: HIGH,
        page: true,
    };

    /// Returns the role with another core.
    #[must_use]
    pub const fn on(self, core: u64) -> Self {
        Self { core, ..self }
    }

    /// Returns the role with another priority.
    #[must_use]
    pub const fn with_priority(self, priority: u64) -> Self {
        Self { priority, ..self }
    }

    /// Returns the role without a message page.
    #[must_use]
    pub const fn without_page(self) -> Self {
        Self {
            page: false,
            ..self
        }
    }
}

/// A helper at work.
#[derive(Clone, Copy, Debug)]
pub struct Helper {
    /// Its thread.
    pub thread: Thread,
    /// Its budget.
    pub budget: rt::Budget,
    /// Its number.
    pub number: u64,
}

impl Helper {
    /// Returns its note.
    #[must_use]
    pub fn note(&self) -> &'static Note {
        note(self.number)
    }

    /// Returns how it ended, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<Result<u64, Error>> {
        match self.note().status.load(SeqCst) {
            0 => None,
            1 => Some(Ok(self.note().value.load(SeqCst))),
            code => Some(Err(
                Error::from_number(code - 1).unwrap_or(Error::UnknownCall)
            )),
        }
    }

    /// Returns the place in the order in which helpers ended, from 1.
    #[must_use]
    pub fn order(&self) -> u64 {
        self.note().order.load(SeqCst)
    }

    /// Returns what the helper has counted so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.note().value.load(SeqCst)
    }
}

impl Context {
    /// Starts a helper that runs `work(its number)` and knows `input`.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn spawn(&self, role: Role, input: &[u64], work: fn(u64)) -> Outcome<Helper> {
        let thread = self.thread_on(role.core)?;
        let budget = self.budget_on(role.core)?;
        self.start(role, (thread, budget), input, work)
    }

    /// Starts a helper on a thread and a budget that exist.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn start(
        &self,
        role: Role,
        (thread, budget): (Thread, rt::Budget),
        input: &[u64],
        work: fn(u64),
    ) -> Outcome<Helper> {
        let free = PLACES.iter().position(|place| !place.is_taken());
        let place = free.ok_or(Stop::failed("a helper is free"))?;
        for (cell, value) in NOTES[place].input.iter().zip(input) {
            cell.store(*value, SeqCst);
        }
        let page = (
            Frame::own(FIRST_PAGE + place as u32),
            PAGES + place as u64 * abi::PAGE_SIZE,
        );
        let plan = Plan {
            space: self.own_space(),
            table: self.own_table(),
            budget,
            message_page: role.page.then_some(page),
            priority: role.priority,
            index: place as u64 + 1,
        };
        PLACES[place].start(thread, &plan, work, place as u64)?;
        Ok(Helper {
            thread,
            budget,
            number: place as u64,
        })
    }

    /// Waits until the helper ended and returns with what.
    ///
    /// # Errors
    ///
    /// A failure where it does not end.
    #[track_caller]
    pub fn end_of(&self, helper: &Helper) -> Outcome<Result<u64, Error>> {
        self.until("the helper ends", || helper.ended().is_some())?;
        helper.ended().ok_or(Stop::failed("the helper ended"))
    }

    /// Starts an eager helper that calls `endpoint` with its number.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn caller(&self, endpoint: Endpoint) -> Outcome<Helper> {
        self.spawn(Role::EAGER, &[endpoint.bits()], call)
    }
}

/// Ends one helper and clears its note.
pub fn dismiss_one(number: u64) {
    let index = usize::try_from(number).unwrap_or(0) % HELPERS;
    PLACES[index].reclaim();
    clear(&NOTES[index]);
}

/// Clears a note.
fn clear(note: &Note) {
    for cell in note
        .input
        .iter()
        .chain([&note.status, &note.value, &note.order])
    {
        cell.store(0, SeqCst);
    }
}

/// Ends all helpers and clears the notes.
pub fn dismiss() {
    for (place, note) in PLACES.iter().zip(&NOTES) {
        if place.is_taken() {
            place.reclaim();
        }
        clear(note);
    }
    ENDED.store(0, SeqCst);
}

/// Prints the mark of the fullest stack, the suite's own or a helper's.
pub fn report_stacks() {
    let helpers = PLACES.iter().filter_map(ThreadPlace::mark);
    if let Some(mark) = helpers.chain(rt::stack::of_first()).reduce(Mark::fuller) {
        rt::stack::report("conformance", mark);
    }
}

/// Calls the endpoint in input 0 with its number and input 1; the value is word 0 of the reply.
pub fn call(number: u64) {
    let note = note(number);
    let message = Outgoing::new(7).with_words(&[number, note.input[1].load(SeqCst)]);
    let result = Endpoint::at(note.slot(0)).call(&message);
    note.end(result.map(|reply| reply.words[0]));
}

/// Receives once from the endpoint in input 0; the value is word 0.
pub fn receive(number: u64) {
    let note = note(number);
    note.end(
        Endpoint::at(note.slot(0))
            .receive(FOREVER)
            .map(|message| message.words[0]),
    );
}

/// Waits once for the notification in input 0; the value is the bits.
pub fn wait(number: u64) {
    let note = note(number);
    note.end(Notification::at(note.slot(0)).wait(FOREVER));
}

/// Receives from the endpoint in input 0, counts, and answers word 0 plus one, for ever.
pub fn echo(number: u64) {
    let note = note(number);
    let result = rt::serve(Endpoint::at(note.slot(0)), |message| {
        note.value.fetch_add(1, SeqCst);
        rt::ReplyAction::Reply(Outgoing::new(9).with_words(&[message.words[0].wrapping_add(1)]))
    });
    note.end(result.map(|()| 0));
}

/// Calls the endpoint in input 0 after receiving from the one in input 1, and hands the answer on.
pub fn relay(number: u64) {
    let note = note(number);
    let (onward, own) = (Endpoint::at(note.slot(0)), Endpoint::at(note.slot(1)));
    let result = own
        .receive(FOREVER)
        .and_then(|_| onward.call(&Outgoing::new(1)));
    let word = match result {
        Ok(reply) => reply.words[0],
        Err(error) => error.number() | 1 << 32,
    };
    let _ = rt::synchronization::reply(&Outgoing::new(1).with_words(&[word]));
    note.end(result.map(|reply| reply.words[0]));
}

/// Counts for ever.
pub fn spin(number: u64) {
    let note = note(number);
    loop {
        note.value.fetch_add(1, SeqCst);
    }
}

/// Signals the notification in input 0 and then counts for ever.
pub fn signal_and_spin(number: u64) {
    let _ = Notification::at(note(number).slot(0)).signal();
    spin(number);
}

/// Returns the slot of a helper's message page frame.
#[must_use]
pub fn page_of(number: u64) -> Capability {
    Capability::own(FIRST_PAGE + u32::try_from(number).unwrap_or(0))
}

/// Waits for ever.
pub fn spin_quietly() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
