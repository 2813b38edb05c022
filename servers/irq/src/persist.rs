//! The controller's saved state.

use crate::ledger::Ledger;
use crate::plic::{
    Context, ContextSet, MAX_CONTEXTS, MAX_PRIORITY, Plic, SOURCES, ShapeError, existing,
};
use irq_api::Statistics;

/// Names this kind of record.
pub const KIND: u32 = u32::from_le_bytes(*b"PLIC");
/// Changes whenever a field changes meaning.
pub const VERSION: u16 = 1;

/// One context's saved registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SavedContext {
    /// Enabled sources, bit n for source n.
    pub enable: u128,
    /// Threshold, 0 to 7.
    pub threshold: u8,
}

/// Everything of a controller. Sets of sources have bit n for source n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The highest source.
    pub sources: u8,
    /// Contexts in use.
    pub contexts: u8,
    /// Priorities, by source.
    pub priority: [u8; SOURCES],
    /// Registers by context; those not in use are zero.
    pub context: [SavedContext; MAX_CONTEXTS],
    /// Lines that are high.
    pub line: u128,
    /// Requests that the controller took.
    pub pending: u128,
    /// Requests at closed gateways.
    pub waiting: u128,
    /// Sources in service.
    pub in_service: u128,
    /// The ledger.
    pub ledger: Statistics,
}

/// Why a saved state was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// No controller has this shape.
    Shape(ShapeError),
    /// A priority or threshold is above 7, or source 0 has one.
    Priority,
    /// Something is set for a source or context that does not exist.
    Nonexistent,
    /// The sets contradict each other or the ledger.
    Inconsistent,
}

impl Plic {
    /// Returns the state to save.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            sources: self.sources,
            contexts: self.context_count,
            priority: self.priority,
            context: self.contexts.map(|context| SavedContext {
                enable: context.enable,
                threshold: context.threshold,
            }),
            line: self.line,
            pending: self.pending,
            waiting: self.waiting,
            in_service: self.in_service,
            ledger: self.ledger.counts(),
        }
    }

    /// Returns the controller that `saved` describes. All its output lines count as low: what is
    /// high comes out of [`Plic::replay`].
    ///
    /// # Errors
    ///
    /// A [`RestoreError`] where no controller can be in that state.
    pub fn restore(saved: &Saved) -> Result<Self, RestoreError> {
        let mut plic =
            Self::new(saved.contexts.into(), saved.sources).map_err(RestoreError::Shape)?;
        plic.ledger = Ledger::from_counts(saved.ledger).ok_or(RestoreError::Inconsistent)?;
        check_registers(saved)?;
        plic.priority = saved.priority;
        plic.contexts = saved.context.map(|context| Context {
            enable: context.enable,
            threshold: context.threshold,
        });
        plic.line = saved.line;
        plic.pending = saved.pending;
        plic.waiting = saved.waiting;
        plic.in_service = saved.in_service;
        if plic.check() {
            Ok(plic)
        } else {
            Err(RestoreError::Inconsistent)
        }
    }

    /// Forgets what was reported and reports every line that is high.
    pub fn replay(&mut self) -> crate::LineChanges {
        self.output = ContextSet::default();
        self.settle()
    }
}

/// Checks what the guest could have written.
fn check_registers(saved: &Saved) -> Result<(), RestoreError> {
    let existing = existing(saved.sources);
    let sets = saved.line | saved.pending | saved.waiting | saved.in_service;
    let enables = saved
        .context
        .iter()
        .fold(0, |all, context| all | context.enable);
    if (sets | enables) & !existing != 0 {
        return Err(RestoreError::Nonexistent);
    }
    let unused = saved.context.iter().skip(saved.contexts.into());
    if unused
        .into_iter()
        .any(|&context| context != SavedContext::default())
    {
        return Err(RestoreError::Nonexistent);
    }
    let stray = saved.priority.iter().skip(usize::from(saved.sources) + 1);
    if stray.into_iter().any(|&priority| priority != 0) {
        return Err(RestoreError::Nonexistent);
    }
    let thresholds = saved.context.iter().map(|context| context.threshold);
    let source_zero = saved.priority.first() != Some(&0);
    if source_zero
        || saved
            .priority
            .iter()
            .copied()
            .chain(thresholds)
            .any(|p| p > MAX_PRIORITY)
    {
        return Err(RestoreError::Priority);
    }
    Ok(())
}
