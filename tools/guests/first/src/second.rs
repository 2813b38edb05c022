//! The second processor: it stands still until the first has a task for it.

use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::SeqCst;

use crate::console::line;
use crate::interrupts::{self, Source};
use crate::laws::{ipi, registers, writes};
use crate::machine::{Machine, This};
use crate::report::{Verdict, Why, hold};
use crate::waiting::{self, Manner};

/// What the second processor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Task {
    /// Answers each interrupt by one, and stands still between them.
    AnswerIdle = 2,
    /// Answers each interrupt by one, and asks for the next again and again.
    AnswerBusy = 3,
    /// Sends a burst of interrupts.
    Burst = 4,
    /// Uses every register file.
    Registers = 5,
    /// Writes to all memory.
    Write = 6,
}

impl Task {
    /// Every task.
    const ALL: [Self; 5] = [
        Self::AnswerIdle,
        Self::AnswerBusy,
        Self::Burst,
        Self::Registers,
        Self::Write,
    ];

    /// Does it; `before` is how many interrupts by processors there were before the first that the
    /// task is about.
    fn perform(self, before: u64) -> Verdict {
        match self {
            Self::AnswerIdle => ipi::answer(Manner::Idle, before),
            Self::AnswerBusy => ipi::answer(Manner::Busy, before),
            Self::Burst => ipi::burst(FIRST),
            Self::Registers => registers::use_all(),
            Self::Write => writes::write_all(),
        }
    }
}

/// Index of the processor that begins.
pub const FIRST: usize = 0;
/// Index of the other.
pub const SECOND: usize = 1;

/// It has not started.
const ABSENT: u8 = 0;
/// It waits for a task.
const READY: u8 = 1;
/// It performs its task; numbers in between are tasks that it was given.
const AT_WORK: u8 = 10;
/// Its last task went wrong.
const WENT_WRONG: u8 = 11;

/// What the second processor does now.
static STATE: AtomicU8 = AtomicU8::new(ABSENT);

/// Starts the second processor, if there is one; returns whether it runs. It is there from then on.
pub fn start() -> Verdict {
    if This::processors() < 2 {
        return Err(Why::Skipped("the machine has one processor"));
    }
    if STATE.load(SeqCst) == ABSENT {
        This::start_second()?;
    }
    let ready = waiting::until(Manner::Busy, || STATE.load(SeqCst) != ABSENT);
    hold(ready, "it did not begin", 1, 0)
}

/// Gives the second processor a task and waits until it begins with it: by one interrupt, which it
/// has taken by then.
pub fn begin(task: Task) -> Verdict {
    start()?;
    let is_free = || matches!(STATE.load(SeqCst), READY | WENT_WRONG);
    hold(waiting::until(Manner::Busy, is_free), "it is at work", 1, 0)?;
    STATE.store(task as u8, SeqCst);
    This::interrupt(SECOND);
    let at_work = waiting::until(Manner::Busy, || STATE.load(SeqCst) == AT_WORK);
    hold(at_work, "no task was taken", 1, 0)
}

/// Waits until the second processor has done its task.
pub fn finish() -> Verdict {
    let done = waiting::until(Manner::Busy, || STATE.load(SeqCst) != AT_WORK);
    hold(done, "the task was not done", 1, 0)?;
    let went_wrong = STATE.swap(READY, SeqCst) == WENT_WRONG;
    hold(!went_wrong, "it went wrong on the second processor", 0, 1)
}

/// What the second processor does, all its life.
pub fn live() -> ! {
    STATE.store(READY, SeqCst);
    let mut seen = interrupts::taken(Source::Processor);
    This::unmask();
    loop {
        let told = || interrupts::taken(Source::Processor) > seen;
        if !waiting::until(Manner::Idle, told) {
            continue;
        }
        // The last of a burst may come when that task is done: it is no reason to look again.
        seen = interrupts::taken(Source::Processor);
        let state = STATE.load(SeqCst);
        if let Some(task) = Task::ALL.into_iter().find(|task| *task as u8 == state) {
            // Who gave the task goes on when it sees this, and interrupts.
            let before = interrupts::taken(Source::Processor);
            STATE.store(AT_WORK, SeqCst);
            let state = match task.perform(before) {
                Ok(_) | Err(Why::Skipped(_)) => READY,
                Err(why) => {
                    line!("first: {task:?} on the second processor: {why:?}");
                    WENT_WRONG
                }
            };
            seen = interrupts::taken(Source::Processor);
            STATE.store(state, SeqCst);
        }
    }
}
