//! The platform-level interrupt controller (RISC-V PLIC specification 1.0.0).
//!
//! One context per vCPU: context `h` is hart `h`'s supervisor mode. Every source is
//! level-triggered, with a gateway (section 7 of the specification):
//!
//! ```text
//!             line high                    claim                 complete, line low
//!  ┌──────┐ ───────────▶ ┌─────────┐ ───────────▶ ┌────────────┐ ───────────────────▶ idle
//!  │ idle │              │ pending │              │ in service │
//!  └──────┘              └─────────┘ ◀─────────── └────────────┘
//!                          complete, line still high
//! ```
//! A request that the controller took stays pending when its line falls. One that arrives while the
//! source is in service waits at the gateway, and is gone when its line falls before completion.

mod registers;

pub use registers::{AccessError, MEMORY_BYTES};

use crate::ledger::Ledger;
use irq_api::Source;

/// The most contexts.
pub const MAX_CONTEXTS: usize = 64;
/// Sources, counting the one that does not exist, 0.
pub const SOURCES: usize = 128;
/// The highest priority; the lowest that interrupts is 1.
pub const MAX_PRIORITY: u8 = 7;

/// A set of sources; bit 0 is never set.
pub(crate) type SourceBits = u128;

/// A set of contexts; context `h` is vCPU `h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextSet(u64);

impl ContextSet {
    /// Returns whether context `index` is a member.
    #[must_use]
    pub const fn contains(self, index: usize) -> bool {
        index < MAX_CONTEXTS && self.0 >> index & 1 == 1
    }

    /// Returns whether there is no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members in rising order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MAX_CONTEXTS).filter(move |&index| self.contains(index))
    }
}

/// vCPUs whose external interrupt line moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the lines have to be set at the vCPUs"]
pub struct LineChanges {
    /// Lines that rose.
    pub raised: ContextSet,
    /// Lines that fell.
    pub lowered: ContextSet,
}

/// Why a controller was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// More contexts than [`MAX_CONTEXTS`], or none.
    Contexts,
    /// No sources, or more than 127.
    Sources,
}

/// One context's registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    pub enable: SourceBits,
    pub threshold: u8,
}

/// The controller of one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plic {
    /// The highest source that exists.
    pub(crate) sources: u8,
    pub(crate) context_count: u8,
    pub(crate) priority: [u8; SOURCES],
    pub(crate) contexts: [Context; MAX_CONTEXTS],
    /// Levels of the lines.
    pub(crate) line: SourceBits,
    /// Requests that the controller took.
    pub(crate) pending: SourceBits,
    /// Requests that wait at a closed gateway.
    pub(crate) waiting: SourceBits,
    /// Claimed and not completed: the gateway is closed.
    pub(crate) in_service: SourceBits,
    /// Output lines as they were reported last.
    pub(crate) output: ContextSet,
    pub(crate) ledger: Ledger,
}

impl Plic {
    /// Returns a controller with `contexts` contexts and sources 1 to `sources`.
    ///
    /// # Errors
    ///
    /// A [`ShapeError`] where a number is out of range.
    pub fn new(contexts: usize, sources: u8) -> Result<Self, ShapeError> {
        if contexts == 0 || contexts > MAX_CONTEXTS {
            return Err(ShapeError::Contexts);
        }
        if sources == 0 || usize::from(sources) >= SOURCES {
            return Err(ShapeError::Sources);
        }
        Ok(Self {
            sources,
            context_count: contexts as u8,
            priority: [0; SOURCES],
            contexts: [Context::default(); MAX_CONTEXTS],
            line: 0,
            pending: 0,
            waiting: 0,
            in_service: 0,
            output: ContextSet::default(),
            ledger: Ledger::default(),
        })
    }

    /// Returns the highest source.
    #[must_use]
    pub const fn sources(&self) -> u8 {
        self.sources
    }

    /// Returns the number of contexts.
    #[must_use]
    pub fn contexts(&self) -> usize {
        usize::from(self.context_count)
    }

    /// Returns the ledger.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the output lines that are high.
    #[must_use]
    pub const fn output(&self) -> ContextSet {
        self.output
    }

    /// Moves a source's line; `None` where this controller does not have the source.
    pub fn raise(&mut self, source: Source, level: bool) -> Option<LineChanges> {
        if source.number() > self.sources {
            return None;
        }
        let bit = 1 << source.number();
        let open = (self.line | self.pending | self.waiting) & bit != 0;
        match (level, self.in_service & bit != 0) {
            (true, _) if open => self.ledger.coalesce(),
            (true, true) => {
                self.ledger.raise();
                self.waiting |= bit;
            }
            (true, false) => {
                self.ledger.raise();
                self.pending |= bit;
            }
            (false, _) if self.waiting & bit != 0 => {
                self.ledger.suppress();
                self.waiting &= !bit;
            }
            (false, _) => {}
        }
        self.line = if level {
            self.line | bit
        } else {
            self.line & !bit
        };
        Some(self.settle())
    }

    /// Resets the controller; lines keep their levels, and those that are high make a new request.
    /// The ledger goes on: requests that were open count as suppressed.
    pub fn reset(&mut self) -> LineChanges {
        for _ in 0..(self.pending | self.waiting).count_ones() {
            self.ledger.suppress();
        }
        self.priority = [0; SOURCES];
        self.contexts = [Context::default(); MAX_CONTEXTS];
        (self.waiting, self.in_service) = (0, 0);
        self.pending = self.line;
        for _ in 0..self.pending.count_ones() {
            self.ledger.raise();
        }
        self.settle()
    }

    /// The guest claims at `context`: returns the source of the highest priority, or 0. The
    /// threshold does not matter here (specification, section 9).
    pub fn claim(&mut self, context: usize) -> (u8, LineChanges) {
        let claimed = self
            .contexts
            .get(context)
            .map_or(0, |context| self.best(context.enable, 0));
        if claimed != 0 {
            let bit = 1 << claimed;
            self.pending &= !bit;
            self.in_service |= bit;
            self.ledger.inject();
        }
        (claimed, self.settle())
    }

    /// The guest completes `source` at `context`. Ignored where the context does not have the
    /// source enabled (specification, section 10); the source need not be the one claimed last.
    pub fn complete(&mut self, context: usize, source: u32) -> LineChanges {
        let enable = self
            .contexts
            .get(context)
            .map_or(0, |context| context.enable);
        let bit = if source < SOURCES as u32 {
            1 << source
        } else {
            0
        };
        if enable & self.in_service & bit != 0 {
            self.in_service &= !bit;
            if self.waiting & bit != 0 {
                self.waiting &= !bit;
                self.pending |= bit;
            } else if self.line & bit != 0 {
                self.ledger.raise();
                self.pending |= bit;
            }
        }
        self.settle()
    }

    /// Returns the pending source in `enable` whose priority is the highest above `above`; the
    /// lowest number among equals; 0 where there is none.
    fn best(&self, enable: SourceBits, above: u8) -> u8 {
        let mut candidates = self.pending & enable;
        let (mut best, mut priority) = (0, above);
        while candidates != 0 {
            let source = candidates.trailing_zeros() as u8;
            candidates &= candidates - 1;
            let own = self.priority.get(usize::from(source)).copied().unwrap_or(0);
            if own > priority {
                (best, priority) = (source, own);
            }
        }
        best
    }

    /// Recomputes the output lines and returns what changed.
    pub(crate) fn settle(&mut self) -> LineChanges {
        let mut now = 0;
        for (index, context) in self.contexts.iter().take(self.contexts()).enumerate() {
            now |= u64::from(self.best(context.enable, context.threshold) != 0) << index;
        }
        let before = self.output.0;
        self.output = ContextSet(now);
        debug_assert!(self.check(), "the ledger does not add up");
        LineChanges {
            raised: ContextSet(now & !before),
            lowered: ContextSet(before & !now),
        }
    }

    /// Returns whether every invariant holds: the ledger adds up and agrees with the requests that
    /// are open; what waits at a gateway is in service with its line high.
    #[must_use]
    pub fn check(&self) -> bool {
        let open = (self.pending.count_ones() + self.waiting.count_ones()).into();
        let all = self.line | self.pending | self.waiting | self.in_service;
        let existing = existing(self.sources);
        self.ledger.check()
            && self.ledger.counts().deferred == open
            && self.waiting & !(self.in_service & self.line) == 0
            && self.pending & (self.waiting | self.in_service) == 0
            && self.line & !(self.pending | self.waiting | self.in_service) == 0
            && all & !existing == 0
    }
}

/// Returns the bits of sources 1 to `sources`.
pub(crate) const fn existing(sources: u8) -> SourceBits {
    (SourceBits::MAX >> (127 - sources)) & !1
}
