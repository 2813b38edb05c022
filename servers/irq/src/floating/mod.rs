//! Interruptions of s390x (PoP chapter 6): those that float among the CPUs and those of one.
//!
//! ```text
//!  post ─▶ pending ─▶ line of each CPU that may take it ─▶ (the hardware: open) ─▶ take
//!                        ▲                                          │ masked
//!                        └── loads of masks, which are watched ◀────┘
//! ```
//! A CPU's line is a request: the hardware tells when the PSW lets the class through. What the masks
//! in control registers 0, 6 and 14 then hold back lowers the line, until the CPU was seen to load
//! its masks; only so long are its masks known here.

mod pending;

use crate::Ledger;
use alloc::vec;
use alloc::vec::Vec;
use irq_api::floating::{Act, Answer, InputOutput, Interruption, Masks, Open};
use pending::{Class, Pending};

/// Line of external interruptions and machine checks, as `Inject` of the machine has it.
pub const EXTERNAL: u64 = 1;
/// Line of input/output interruptions.
pub const INPUT_OUTPUT: u64 = 2;
/// Input/output interruptions that wait at most; further ones are suppressed.
pub const QUEUE: usize = 64;

/// Changes of one CPU's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Lines that are high now.
    pub raised: u64,
    /// Lines that are low now.
    pub lowered: u64,
}

/// One CPU.
#[derive(Clone, Debug, Default)]
struct Cpu {
    /// What is pending for it alone.
    own: Pending,
    /// Its masks, as long as its loads of them are watched.
    masks: Option<Masks>,
    /// Its lines as they were told last.
    lines: u64,
}

/// All interruptions of a guest.
#[derive(Clone, Debug)]
pub struct Floating {
    cpus: Vec<Cpu>,
    /// What is pending for all.
    floating: Pending,
    ledger: Ledger,
}

impl Floating {
    /// Returns the interruptions of a guest with so many CPUs: none.
    #[must_use]
    pub fn new(cpus: usize) -> Self {
        Self {
            cpus: vec![Cpu::default(); cpus],
            floating: Pending::default(),
            ledger: Ledger::default(),
        }
    }

    /// Returns where interruptions went.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Does what the vcpu server asks for; `None` where there is no such CPU.
    pub fn act(&mut self, act: Act) -> Option<Answer> {
        let answer = match act {
            Act::Post { cpu, interruption } => self.post(cpu, interruption)?,
            Act::Take { cpu, open } => self.take(usize::from(cpu), open)?,
            Act::Load { cpu, masks } => {
                let watch = self.note_masks(usize::from(cpu), masks)?;
                Answer {
                    watch,
                    ..Answer::default()
                }
            }
            Act::Forget { cpu } => {
                self.forget(usize::from(cpu))?;
                Answer::default()
            }
        };
        debug_assert!(self.check(), "the ledger does not add up");
        Some(answer)
    }

    /// Makes an interruption pending.
    fn post(&mut self, cpu: Option<u8>, interruption: Interruption) -> Option<Answer> {
        let pending = match cpu {
            Some(cpu) => &mut self.cpus.get_mut(usize::from(cpu))?.own,
            None => &mut self.floating,
        };
        match pending.post(interruption) {
            pending::Posted::New => self.ledger.raise(),
            pending::Posted::Coalesced => {
                self.ledger.coalesce();
                return Some(Answer {
                    coalesced: true,
                    ..Answer::default()
                });
            }
            pending::Posted::Full => {
                self.ledger.raise();
                self.ledger.suppress();
            }
        }
        Some(Answer::default())
    }

    /// Takes what comes first of what the CPU is open to: machine checks, then its own external
    /// interruptions, then floating ones, then input/output (PoP chapter 6, "Priority of
    /// Interruptions").
    fn take(&mut self, index: usize, open: Open) -> Option<Answer> {
        let cpu = self.cpus.get_mut(index)?;
        let taken = Class::ALL.iter().find_map(|class| {
            let is_open = class.is_open(open);
            let own = is_open.then(|| cpu.own.take(*class, open.masks)).flatten();
            own.or_else(|| {
                is_open
                    .then(|| self.floating.take(*class, open.masks))
                    .flatten()
            })
        });
        if taken.is_some() {
            self.ledger.inject();
        }
        let watch = self.note_masks(index, open.masks)?;
        Some(Answer {
            taken,
            coalesced: false,
            watch,
        })
    }

    /// Notes a CPU's masks; returns whether they hold something back, so that its loads of them have
    /// to be watched.
    fn note_masks(&mut self, index: usize, masks: Masks) -> Option<bool> {
        let floating = &self.floating;
        let cpu = self.cpus.get_mut(index)?;
        let is_held = |pending: &Pending| {
            let mut classes = Class::ALL.iter();
            classes.any(|class| pending.has(*class, None) && !pending.has(*class, Some(masks)))
        };
        let watch = is_held(&cpu.own) || is_held(floating);
        cpu.masks = watch.then_some(masks);
        Some(watch)
    }

    /// Forgets what is pending for one CPU.
    fn forget(&mut self, index: usize) -> Option<()> {
        let cpu = self.cpus.get_mut(index)?;
        for _ in 0..cpu.own.count() {
            self.ledger.suppress();
        }
        cpu.own = Pending::default();
        cpu.masks = None;
        Some(())
    }

    /// The guest is reset: nothing is pending.
    pub fn reset(&mut self) {
        for index in 0..self.cpus.len() {
            let _ = self.forget(index);
        }
        for _ in 0..self.floating.count() {
            self.ledger.suppress();
        }
        self.floating = Pending::default();
    }

    /// Returns how a CPU's lines move, and notes that they did.
    pub fn settle(&mut self, index: usize) -> Lines {
        let floating = &self.floating;
        let Some(cpu) = self.cpus.get_mut(index) else {
            return Lines::default();
        };
        let lines = Class::ALL.iter().fold(0, |lines, class| {
            let waits = cpu.own.has(*class, cpu.masks) || floating.has(*class, cpu.masks);
            lines | if waits { class.line() } else { 0 }
        });
        let before = core::mem::replace(&mut cpu.lines, lines);
        Lines {
            raised: lines & !before,
            lowered: before & !lines,
        }
    }

    /// Returns how the lines of all CPUs move.
    pub(crate) fn settle_all(&mut self) -> Vec<(usize, Lines)> {
        let all = 0..self.cpus.len();
        let moves = all.map(|index| (index, self.settle(index)));
        moves
            .filter(|(_, lines)| *lines != Lines::default())
            .collect()
    }

    /// Returns whether every invariant holds: the ledger adds up, and what it has as deferred is
    /// pending.
    #[must_use]
    pub fn check(&self) -> bool {
        let own: usize = self.cpus.iter().map(|cpu| cpu.own.count()).sum();
        let pending = own + self.floating.count();
        self.ledger.check() && self.ledger.counts().deferred == pending as u64
    }

    /// Makes an adapter's interruption pending: the summary indicator was set, and it was not before.
    pub fn post_adapter(&mut self, subclass: u8) -> Option<Answer> {
        let interruption = Interruption::InputOutput(InputOutput::adapter(subclass));
        self.act(Act::Post {
            cpu: None,
            interruption,
        })
    }
}
