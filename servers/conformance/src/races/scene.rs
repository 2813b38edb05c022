//! The threads, guests and objects that the races are about.

use super::rivals::Rivals;
use super::{Random, watch};
use crate::case::{Outcome, Stop};
use crate::context::{Context, LOW, read_write};
use crate::crew::{self, Helper, Role};
use crate::guest::{Guest, guest_rights};
use crate::machine;
use crate::program::Program;
use abi::call::{Binding, FOREVER};
use abi::exit::ExitReply;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use rt::log;
use rt::window::Window;
use rt::{Endpoint, Frame, Notification, Outgoing, Thread};

/// How often the waiter was signalled.
pub static SENT: AtomicU64 = AtomicU64::new(0);

/// Who runs on the core of a scene while all is quiet; the others there wait for their turn, and
/// must not run on either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    /// The guest that takes interrupts, without ever waiting for one.
    Taker,
    /// The guest that stores to a page; the other one waits for interrupts.
    Counter,
    /// The thread that stores to a page.
    Toucher,
}

/// 1 while the counter's page is mapped.
pub static MAPPED: AtomicU64 = AtomicU64::new(1);

/// The threads, guests and objects of one round.
pub struct Scene {
    /// Who runs there.
    pub top: Top,
    /// The core of all that is not on every core.
    pub core: u64,
    /// Notes how many signals were sent whenever it hears of one.
    pub waiter: Helper,
    /// What the waiter waits for.
    pub notification: Notification,
    /// The thread of `core` that stores to `touched`; there is one on the next core, too.
    pub toucher: Thread,
    /// The page that threads on two cores store to.
    pub touched: Frame,
    /// The same, out of their reach.
    pub alias: Window,
    /// Where they see it.
    pub address: u64,
    /// The guests, where the machine has some.
    pub guests: Option<Guests>,
    /// Who else acts.
    pub rivals: Rivals,
}

/// The guests of a scene.
pub struct Guests {
    /// Counts the interrupts that it takes.
    pub taker: Guest,
    /// Stores to a page for ever.
    pub counter: Guest,
    /// That page.
    pub page: Frame,
    /// The same, as the suite sees it.
    pub alias: Window,
    /// Lets the counter's pager answer; signalled whenever the page is mapped.
    pub mapped: Notification,
}

/// Where the counter's page lies, from the beginning of its memory.
const COUNTER_PAGE: u64 = 0x10_0000;
/// Index of the word in the taker's memory that it counts in.
pub const TAKEN: usize = 0x200;

impl Guests {
    /// Returns the guest-physical address of the counter's page.
    pub fn page_address() -> u64 {
        machine::current().guest.memory + COUNTER_PAGE
    }

    /// Returns how many interrupts the taker took.
    pub fn taken(&self) -> u64 {
        self.taker.memory.load(TAKEN)
    }
}

/// Makes a scene on a core.
///
/// # Errors
///
/// A failure.
pub fn set_up(context: &Context, core: u64, random: &mut Random) -> Outcome<Scene> {
    watch::start(context)?;
    SENT.store(0, SeqCst);
    let notification = context.notification_on(core)?;
    let role = Role::EAGER.on(core);
    let waiter = context.spawn(role, &[notification.bits()], hear)?;
    let touched = context.frame(12)?;
    let alias = context.window(Frame::at(context.copy(touched.capability())?.slot()))?;
    let address = context.window_address(12);
    touched.map(context.own_space().capability(), address, read_write())?;
    let toucher = start_touchers(context, core, address)?;
    let top = [Top::Taker, Top::Counter, Top::Toucher][random.below(3) as usize];
    let guests = match start_guests(context, core, top) {
        Err(Stop::Skipped(reason)) => {
            log!("races: guests skipped: {reason}");
            None
        }
        guests => Some(guests?),
    };
    let rivals = Rivals::start(context)?;
    Ok(Scene {
        top,
        core,
        waiter,
        notification,
        toucher,
        touched,
        alias,
        address,
        guests,
        rivals,
    })
}

/// The waiter.
fn hear(number: u64) {
    let note = crew::note(number);
    while Notification::at(note.slot(0)).wait(FOREVER).is_ok() {
        note.value.store(SENT.load(SeqCst), SeqCst);
    }
}

/// Starts threads on the scene's core and on the next one that store to a page for ever, and start
/// over where the page is gone; returns the first. The other cores idle, for an emulator of more
/// busy cores than its host has makes them wait for each other most of the time.
fn start_touchers(context: &Context, core: u64, address: u64) -> Outcome<Thread> {
    let program = context.program(machine::current().touch)?;
    let next = (core + 1) % context.info.cores;
    if next != core {
        start_toucher(context, program, next, address)?;
    }
    start_toucher(context, program, core, address)
}

/// Starts one of them.
fn start_toucher(context: &Context, program: Program, core: u64, address: u64) -> Outcome<Thread> {
    let (thread, budget) = (context.thread_on(core)?, context.budget_on(core)?);
    thread.bind(Binding::Space, Some(context.own_space().capability()))?;
    thread.bind(Binding::CapTable, Some(context.own_table().capability()))?;
    thread.bind(Binding::Budget, Some(budget.capability()))?;
    thread.set_priority(LOW)?;
    thread.set_recovery(program.start, program.report, program.start)?;
    thread.run(program.start, 0, address)?;
    Ok(thread)
}

/// Starts both guests.
fn start_guests(context: &Context, core: u64, top: Top) -> Outcome<Guests> {
    let machine = &machine::current().guest;
    if machine.has_windows {
        // The taker's interrupts would need a server that chooses their vector.
        return Err(Stop::Skipped("lines are requests on this machine"));
    }
    let code = match top {
        Top::Taker => machine.poll_lines,
        Top::Counter | Top::Toucher => machine.take_lines,
    };
    if code.is_empty() {
        return Err(Stop::Skipped(
            "nobody takes a guest's lines on this machine",
        ));
    }
    let taker = context.guest_on(core, code)?;
    taker.set_register(0, machine.memory + TAKEN as u64 * 8);
    taker.vcpu.write(machine.enable.0, machine.other_enable)?;
    taker.vcpu.set_priority(LOW + 2)?;
    let counter = context.guest_on(core, machine.count)?;
    counter.set_register(0, Guests::page_address());
    let below = top == Top::Toucher;
    counter
        .vcpu
        .set_priority(if below { LOW - 1 } else { LOW + 1 })?;
    let page = context.frame(12)?;
    let alias = context.window(Frame::at(context.copy(page.capability())?.slot()))?;
    page.map(
        counter.space.capability(),
        Guests::page_address(),
        guest_rights(),
    )?;
    MAPPED.store(1, SeqCst);
    let mapped = context.notification_on(core)?;
    let inputs = [counter.exits.bits(), mapped.bits()];
    context.spawn(Role::EAGER.on(core), &inputs, pager)?;
    taker.vcpu.resume()?;
    counter.vcpu.resume()?;
    Ok(Guests {
        taker,
        counter,
        page,
        alias,
        mapped,
    })
}

/// Answers the counter's faults when the page is there again.
fn pager(number: u64) {
    let note = crew::note(number);
    let (exits, mapped) = (Endpoint::at(note.slot(0)), Notification::at(note.slot(1)));
    while exits.receive(FOREVER).is_ok() {
        while MAPPED.load(SeqCst) == 0 {
            let _ = mapped.wait(FOREVER);
        }
        // A vCPU that was stopped meanwhile takes the answer when it is resumed.
        let _ = rt::synchronization::reply(&Outgoing::new(ExitReply::Resume as u16));
    }
}
