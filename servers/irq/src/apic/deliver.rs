//! Who gets a message (`docs/semantics.md`, A1): one rule for every sender.
//!
//! Candidates match the destination and are enabled by software; a message for the lowest priority,
//! or for one of its targets, goes to the candidate that its vector picks, whatever their priorities
//! are: the `(vector mod n)`-th of `n`.

use super::local::{Accepted, Local, SENT_ILLEGAL};
use super::message::{Destination, Message, Mode};
use super::{Apics, Changes, Start};

/// What a message came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// So many vCPUs have it to take.
    Delivered(u32),
    /// It met one that waits, everywhere.
    Coalesced,
    /// Nobody matches.
    NoTarget,
    /// Those who match do not take it: disabled, or a vector that there is not.
    Refused,
    /// A kind that no processor here takes.
    Unsupported,
}

impl Apics {
    /// Returns whether a message of `source` is for an APIC.
    fn matches(local: &Local, destination: Destination, source: Option<usize>) -> bool {
        let is_source = source == Some(usize::from(local.index));
        match destination {
            Destination::Own => is_source,
            Destination::All => true,
            Destination::Others => !is_source,
            // To an x2APIC, a device's 8-bit broadcast is one too.
            Destination::Physical(0xff) | Destination::Logical(0xff) if source.is_none() => true,
            Destination::Physical(destination) => local.is_physical(destination),
            Destination::Logical(destination) => local.is_logical(destination),
        }
    }

    /// Returns the vCPUs that a message goes to.
    #[must_use]
    pub fn targets(&self, message: &Message, source: Option<usize>) -> Vec<usize> {
        let everybody = matches!(
            message.destination,
            Destination::Physical(0xff) | Destination::All | Destination::Others
        );
        let to_one = (message.mode == Mode::Lowest || message.to_one) && !everybody;
        let matching = self.locals.iter().filter(|local| {
            Self::matches(local, message.destination, source) && (!to_one || local.is_enabled())
        });
        let all: Vec<usize> = matching.map(|local| usize::from(local.index)).collect();
        if !to_one || all.is_empty() {
            return all;
        }
        let chosen = usize::from(message.vector) % all.len();
        all.get(chosen).copied().into_iter().collect()
    }

    /// Delivers a message, and enters it into the ledger. `source` is the vCPU that sent it, if one
    /// did.
    pub fn deliver(
        &mut self,
        message: &Message,
        source: Option<usize>,
        changes: &mut Changes,
    ) -> Outcome {
        let targets = self.targets(message, source);
        if targets.is_empty() {
            self.ledger.refuse();
            return Outcome::NoTarget;
        }
        match message.mode {
            Mode::Fixed | Mode::Lowest => self.deliver_vector(message, source, &targets),
            Mode::NonMaskable => self.deliver_non_maskable(&targets),
            Mode::Init | Mode::StartUp => self.deliver_start(message, &targets, changes),
            Mode::Management | Mode::External | Mode::Reserved => {
                self.ledger.refuse();
                Outcome::Unsupported
            }
        }
    }

    /// Delivers a vector to every target.
    fn deliver_vector(
        &mut self,
        message: &Message,
        source: Option<usize>,
        targets: &[usize],
    ) -> Outcome {
        if message.vector < 16
            && let Some(sender) = source.and_then(|source| self.locals.get_mut(source))
        {
            sender.fail(SENT_ILLEGAL);
        }
        let (mut delivered, mut coalesced) = (0, 0);
        for target in targets {
            let Some(local) = self.locals.get_mut(*target) else {
                continue;
            };
            match local.accept(message.vector, message.level) {
                Accepted::Waits => {
                    self.ledger.raise();
                    delivered += 1;
                }
                Accepted::Coalesced => {
                    self.ledger.coalesce();
                    coalesced += 1;
                }
                Accepted::Refused => self.ledger.refuse(),
            }
        }
        match (delivered, coalesced) {
            (0, 0) => Outcome::Refused,
            (0, _) => Outcome::Coalesced,
            (count, _) => Outcome::Delivered(count),
        }
    }

    /// Delivers a non-maskable interrupt to every target, enabled or not.
    fn deliver_non_maskable(&mut self, targets: &[usize]) -> Outcome {
        let mut delivered = 0;
        for target in targets {
            let Some(local) = self.locals.get_mut(*target) else {
                continue;
            };
            if core::mem::replace(&mut local.non_maskable, true) {
                self.ledger.coalesce();
            } else {
                self.ledger.raise();
                delivered += 1;
            }
        }
        if delivered == 0 {
            Outcome::Coalesced
        } else {
            Outcome::Delivered(delivered)
        }
    }

    /// Notes what every target's processor has to do; its server does it.
    fn deliver_start(
        &mut self,
        message: &Message,
        targets: &[usize],
        changes: &mut Changes,
    ) -> Outcome {
        for target in targets {
            if message.mode == Mode::Init
                && let Some(local) = self.locals.get_mut(*target)
            {
                for _ in 0..local.waiting() {
                    self.ledger.suppress();
                }
                local.reset();
                local.told = None;
            }
            if let Some(start) = self.starts.get_mut(*target) {
                *start = match message.mode {
                    Mode::Init => Start {
                        stop: true,
                        page: None,
                    },
                    _ => Start {
                        page: start.page.or(Some(message.vector)),
                        ..*start
                    },
                };
            }
        }
        changes.starts = true;
        Outcome::Delivered(u32::try_from(targets.len()).unwrap_or(u32::MAX))
    }
}

use alloc::vec::Vec;
