//! The interrupt controllers of an x86 guest: a local APIC for each vCPU, an I/O APIC, and two
//! 8259s that are masked.
//!
//! ```text
//!  devices ── line ──▶ IoApic ── Message ──▶ deliver ──▶ Local: requested ──▶ in service ──▶ ended
//!  vCPU ─── command ──────────── Message ──────┘            │ line of the vCPU   ▲
//!                                                           ▼                    │
//!                                  the vCPU leaves its guest: Window ── take ────┘
//! ```
//! A vCPU's interrupt line is up while there is a vector that it could take, whatever its flag; when
//! the guest can take it, the exit `Window` comes here and is answered with the vector. The kernel's
//! timer is the timer of the local APIC.

mod deliver;
pub mod io;
pub mod local;
pub mod message;
mod pic;
mod registers;

pub use deliver::Outcome;
pub use registers::{BASE, IO_BASE};

use crate::ledger::Ledger;
use alloc::vec::Vec;
use io::{IoApic, Request};
use irq_api::Source;
use local::Local;
use pic::Pics;

/// Line of a vCPU: it can take an interrupt.
pub const INTERRUPT: u64 = 1;
/// Line of a vCPU: a non-maskable interrupt.
pub const NON_MASKABLE: u64 = 2;
/// Line of a vCPU: the kernel's timer.
pub const TIMER: u64 = 4;
/// The most vCPUs: 8-bit identifiers, of which 0xff is everybody's, and one word of bits.
pub const MAX_VCPUS: usize = 64;

/// What a processor has to do that its vCPU server does: stop where it waits to be started, then
/// start at a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// It is reset, and waits.
    pub stop: bool,
    /// It starts at this page of 4 KiB, if it waits.
    pub page: Option<u8>,
}

/// An event for a vCPU to take when it goes on, as its register has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An external interrupt.
    Interrupt(u8),
    /// A non-maskable interrupt.
    NonMaskable,
}

impl Event {
    /// Returns the value of the event's register (APM, "Event Injection").
    #[must_use]
    pub const fn register(self) -> u64 {
        const VALID: u64 = 1 << 31;
        match self {
            Self::Interrupt(vector) => VALID | vector as u64,
            Self::NonMaskable => VALID | 2 << 8 | 2,
        }
    }
}

/// What has to be done at the vCPUs. Bit `i` of a set is vCPU `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the vCPUs have to be told"]
pub struct Changes {
    /// Interrupt lines that rise.
    pub raised: u64,
    /// Interrupt lines that fall.
    pub lowered: u64,
    /// Lines of non-maskable interrupts that rise.
    pub non_maskable_raised: u64,
    /// Lines of non-maskable interrupts that fall.
    pub non_maskable_lowered: u64,
    /// Timer lines that fall.
    pub timer_lowered: u64,
    /// The timer of the vCPU whose exit this is: when it fires, or never.
    pub deadline: Option<(usize, Option<u64>)>,
    /// The event that the vCPU whose exit this is takes.
    pub event: Option<(usize, Event)>,
    /// The priority that CR8 of the vCPU whose exit this is has from now on.
    pub priority: Option<(usize, u8)>,
    /// There are processors to start or to stop: [`Apics::take_start`].
    pub starts: bool,
}

impl Changes {
    /// Returns whether there is nothing to be done.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        let lines = self.raised
            | self.lowered
            | self.non_maskable_raised
            | self.non_maskable_lowered
            | self.timer_lowered;
        lines == 0
            && self.deadline.is_none()
            && self.event.is_none()
            && self.priority.is_none()
            && !self.starts
    }
}

/// The controllers of one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apics {
    locals: Vec<Local>,
    io: IoApic,
    pics: Pics,
    starts: Vec<Start>,
    ledger: Ledger,
}

impl Apics {
    /// Returns the controllers of a guest with so many vCPUs, or `None` where it has none, or more
    /// than [`MAX_VCPUS`].
    #[must_use]
    pub fn new(vcpus: usize) -> Option<Self> {
        if !(1..=MAX_VCPUS).contains(&vcpus) {
            return None;
        }
        let indices = 0..u8::try_from(vcpus).ok()?;
        Some(Self {
            locals: indices.map(Local::new).collect(),
            io: IoApic::default(),
            pics: Pics::default(),
            starts: alloc::vec![Start::default(); vcpus],
            ledger: Ledger::default(),
        })
    }

    /// Returns the ledger.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns whether the ledger adds up, and agrees with what waits.
    #[must_use]
    pub fn check(&self) -> bool {
        let waiting: u64 = self.locals.iter().map(Local::waiting).sum();
        self.ledger.check() && self.ledger.counts().deferred == waiting
    }

    /// Returns a vCPU's local APIC.
    #[must_use]
    pub fn local(&self, vcpu: usize) -> Option<&Local> {
        self.locals.get(vcpu)
    }

    /// Moves the line of a device; returns `None` where the I/O APIC has no such pin.
    pub fn raise(&mut self, source: Source, level: bool) -> Option<Changes> {
        let mut changes = Changes::default();
        let request = self.io.set_line(usize::from(source.number()), level)?;
        self.request(request, &mut changes);
        self.settle(&mut changes);
        Some(changes)
    }

    /// Does what the I/O APIC requests.
    fn request(&mut self, request: Request, changes: &mut Changes) {
        match request {
            Request::None => {}
            Request::Send(message) => _ = self.deliver(&message, None, changes),
            Request::Lost => self.ledger.refuse(),
        }
    }

    /// A vCPU can take what its raised `lines` ask for.
    pub fn window(&mut self, vcpu: usize, lines: u64, now: u64) -> Changes {
        let mut changes = Changes::default();
        self.tick(vcpu, now, &mut changes);
        let bit = bit(vcpu);
        let Some(local) = self.locals.get_mut(vcpu) else {
            return changes;
        };
        if lines & TIMER != 0 {
            changes.timer_lowered = bit;
            local.told = None;
        }
        if lines & NON_MASKABLE != 0 {
            if core::mem::take(&mut local.non_maskable) {
                self.ledger.inject();
                changes.event = Some((vcpu, Event::NonMaskable));
            }
        } else if let Some(vector) = local.take() {
            self.ledger.inject();
            changes.event = Some((vcpu, Event::Interrupt(vector)));
        }
        self.arm(vcpu, &mut changes);
        self.settle(&mut changes);
        changes
    }

    /// Lets a vCPU's timer fire if it is time.
    fn tick(&mut self, vcpu: usize, now: u64, changes: &mut Changes) {
        let Some((vector, count)) = self.locals.get_mut(vcpu).and_then(|it| it.tick(now)) else {
            return;
        };
        let message = message::Message {
            vector,
            mode: message::Mode::Fixed,
            destination: message::Destination::Own,
            level: false,
            to_one: false,
        };
        self.deliver(&message, Some(vcpu), changes);
        // Periods that nobody was there to see.
        for _ in 1..count {
            self.ledger.coalesce();
        }
    }

    /// Tells a vCPU's timer to the kernel, where that is news.
    fn arm(&mut self, vcpu: usize, changes: &mut Changes) {
        let Some(local) = self.locals.get_mut(vcpu) else {
            return;
        };
        let wake = local.wake();
        if wake != local.told {
            local.told = wake;
            changes.deadline = Some((vcpu, wake));
        }
    }

    /// Finds the lines that move.
    fn settle(&mut self, changes: &mut Changes) {
        for local in &mut self.locals {
            let bit = bit(usize::from(local.index));
            let line = local.deliverable().is_some();
            if line != core::mem::replace(&mut local.line, line) {
                if line {
                    changes.raised |= bit;
                } else {
                    changes.lowered |= bit;
                }
            }
            let line = local.non_maskable;
            if line != core::mem::replace(&mut local.non_maskable_line, line) {
                if line {
                    changes.non_maskable_raised |= bit;
                } else {
                    changes.non_maskable_lowered |= bit;
                }
            }
        }
    }

    /// Returns what some processor has to do, once, and which.
    pub fn take_start(&mut self) -> Option<(usize, Start)> {
        let index = self
            .starts
            .iter()
            .position(|start| *start != Start::default())?;
        let start = core::mem::take(self.starts.get_mut(index)?);
        Some((index, start))
    }

    /// Brings all into the state after power-on, but for the lines of devices. The vCPUs are
    /// stopped, and their timers are off.
    pub fn reset(&mut self) -> Changes {
        let mut changes = Changes::default();
        for local in &mut self.locals {
            for _ in 0..local.waiting() {
                self.ledger.suppress();
            }
            local.access = local::Access::Memory;
            local.reset();
            local.told = None;
            changes.timer_lowered |= bit(usize::from(local.index));
        }
        self.io.reset();
        self.pics = Pics::default();
        self.starts.fill(Start::default());
        self.settle(&mut changes);
        changes
    }
}

/// Returns the bit of a vCPU.
const fn bit(vcpu: usize) -> u64 {
    if vcpu < MAX_VCPUS { 1 << vcpu } else { 0 }
}
