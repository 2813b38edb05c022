//! Contiguous requests: movable memory goes out of the way.
//!
//! ```text
//!  next_step ──> Copy ── the caller copies, without the lock ──> copied ─┐
//!      ↑ └─────> Fill                                                    │
//!      └─────────────────────────────────────────────────────────────────┘
//! ```
//! A folio moves under the eyes of nobody: it is taken out of the guest and away from whoever had
//! copies of its frame, copied, and mapped at the new place. Who touches it or asks for it meanwhile
//! waits; until its turn comes, it is used where it is.

use super::{Decision, Emptying, Fill, Given, Held, Steward, Underway, no_deed};
use crate::area::{ClaimId, Move};
use crate::cover::Piece;
use crate::extent::Extent;
use crate::kernel::{Kernel, Slot};
use crate::refusal::Refusal;
use alloc::vec::Vec;
use mem_api::Refusal as Refused;

/// What is to be done for a contiguous request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// What is in a frame is to be copied to another one; then [`Steward::copied`].
    Copy {
        /// Where it is.
        from: Slot,
        /// Where it goes.
        to: Slot,
    },
    /// The place is empty. Its frames are to be cleared, then [`Steward::filled`] has the answer.
    Fill(Fill),
}

/// A folio whose contents are being copied: nobody has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moving {
    /// Number of the move in its claim.
    index: usize,
    one: Move,
    /// Whether its guest has it mapped otherwise.
    was_mapped: bool,
    old: Slot,
    new: Slot,
}

impl<K: Kernel> Steward<K> {
    /// Begins a contiguous request.
    pub(super) fn contiguous(
        &mut self,
        client: usize,
        frames: u64,
        (align, area): (u8, u8),
    ) -> Result<Decision, Refused> {
        let area = self.areas.get(usize::from(area)).copied().flatten();
        let area = area.ok_or(Refused::NoSuchArea)?;
        if self.underway.iter().any(|other| other.client == client) {
            return Err(Refused::TooMany);
        }
        let owner = self.clients[client].owner;
        let claim = self.folios.claim(owner, area, frames, align);
        let claim = claim.map_err(|refusal| match refusal {
            Refusal::OutOfMemory => Refused::NoPlace,
            other => self.refused(other),
        })?;
        if let Err(refused) = self.divide_for(claim) {
            // A claim that was just made.
            let _ = self.folios.abandon(claim);
            return Err(refused);
        }
        self.underway.push(Underway {
            client,
            claim,
            moving: None,
        });
        Ok(Decision::Empty(Emptying(claim)))
    }

    /// Returns what is to be done next for a request.
    ///
    /// # Errors
    ///
    /// A refusal where the kernel cannot; what was not moved stays where it is.
    pub fn next_step(&mut self, emptying: Emptying) -> Result<Step, Refused> {
        let Emptying(claim) = emptying;
        let client = self.underway_of(claim)?.client;
        let next = self.folios.pending_moves(claim).next();
        if let Some(next) = next {
            return match self.begin_move(next) {
                Ok(moving) => {
                    let (from, to) = (moving.old, moving.new);
                    self.underway_of(claim)?.moving = Some(moving);
                    Ok(Step::Copy { from, to })
                }
                Err(refused) => {
                    self.give_claim_up(claim);
                    Err(refused)
                }
            };
        }
        self.underway.retain(|other| other.claim != claim);
        let place = self.folios.finish(claim);
        let place = place.map_err(|_| Refused::NoPlace)?;
        let piece = |block: Extent| Piece {
            offset: block.base().number() - place.base().number(),
            extent: block,
        };
        let pieces: Vec<Piece> = place.blocks().map(piece).collect();
        let held = self.make_frames(client, &pieces)?;
        Ok(Step::Fill(self.note(Given {
            client,
            guest: None,
            frames: place.frames(),
            is_ready: false,
            held,
        })))
    }

    /// Ends the move whose contents were copied, or could not be.
    ///
    /// # Errors
    ///
    /// A refusal where the folio has to stay where it was; the request is given up.
    pub fn copied(&mut self, emptying: Emptying, is_copied: bool) -> Result<(), Refused> {
        let Emptying(claim) = emptying;
        let moving = self.underway_of(claim)?.moving.take();
        let moving = moving.ok_or(Refused::NoPlace)?;
        let is_moved = self.end_move(&moving, is_copied);
        if is_moved && self.folios.moved(claim, moving.index).is_ok() {
            self.moved += moving.one.from.frames();
            return Ok(());
        }
        self.give_claim_up(claim);
        Err(Refused::TooMany)
    }

    /// Returns a request that is under way.
    fn underway_of(&mut self, claim: ClaimId) -> Result<&mut Underway, Refused> {
        let is_it = |other: &&mut Underway| other.claim == claim;
        let found = self.underway.iter_mut().find(is_it);
        found.ok_or(Refused::NoPlace)
    }

    /// Gives a request up.
    fn give_claim_up(&mut self, claim: ClaimId) {
        self.underway.retain(|other| other.claim != claim);
        // It was under way.
        let _ = self.folios.abandon(claim);
    }

    /// Makes the folios that move in parts ones of these parts.
    fn divide_for(&mut self, claim: ClaimId) -> Result<(), Refused> {
        let moves: Vec<Extent> = self
            .folios
            .pending_moves(claim)
            .map(|(_, one)| one.from)
            .collect();
        for number in 0..self.given.len() {
            let Some(mut given) = self.given[number].take() else {
                continue;
            };
            let divided = self.divide_held(&mut given, &moves);
            self.given[number] = Some(given);
            divided?;
        }
        Ok(())
    }

    /// Divides those folios of an allocation of which parts move.
    fn divide_held(&mut self, given: &mut Given, moves: &[Extent]) -> Result<(), Refused> {
        let mut index = 0;
        while let Some(held) = given.held.get(index).copied() {
            let is_part = |part: &&Extent| {
                held.extent.index_of(part.base()).is_some() && part.order() < held.extent.order()
            };
            let parts: Vec<Extent> = moves.iter().filter(is_part).copied().collect();
            if parts.is_empty() {
                index += 1;
                continue;
            }
            let divided = self.deeds.divide(&mut self.kernel, held.extent, &parts);
            let whole = [held.extent];
            let blocks = if divided.is_ok() { &parts[..] } else { &whole };
            let again = blocks
                .iter()
                .map(|block| self.hold_again(given, held, *block));
            let again: Vec<Held> = again.collect();
            given.held.splice(index..=index, again);
            divided.map_err(no_deed)?;
            index += parts.len();
        }
        Ok(())
    }

    /// Returns a part of a folio, whose frame is new; where the folio was mapped, the part is.
    fn hold_again(&mut self, given: &Given, whole: Held, part: Extent) -> Held {
        let mut held = Held {
            offset: whole.offset + whole.extent.index_of(part.base()).unwrap_or(0),
            extent: part,
            frame: self.deeds.frame(part).unwrap_or(0),
            is_mapped: false,
        };
        if whole.is_mapped {
            self.map_again(given, &mut held);
        }
        held
    }

    /// Maps a folio that counts as mapped at its place in the guest; where the kernel cannot, it is
    /// mapped when it is touched next.
    fn map_again(&mut self, given: &Given, held: &mut Held) {
        let Some((guest, start)) = given.guest else {
            return;
        };
        let address = (start + held.offset) << crate::FRAME_SHIFT;
        held.is_mapped = self.kernel.map(held.frame, guest.into(), address).is_ok();
        if !held.is_mapped {
            let owner = self.clients[given.client].owner;
            let noted = self.folios.note_unmapped(owner, held.extent.base());
            debug_assert_eq!(noted, Ok(()));
        }
    }

    /// Returns number and index of the allocation that has a folio.
    fn holder_of(&self, extent: Extent) -> Option<(usize, usize)> {
        let find = |given: &Option<Given>| {
            let mut held = given.as_ref()?.held.iter();
            held.position(|held| held.extent == extent)
        };
        let mut places = self.given.iter().enumerate();
        places.find_map(|(number, given)| Some((number, find(given)?)))
    }

    /// Takes a folio away from whoever can write to it, and makes the frame of the one that it moves
    /// to.
    fn begin_move(&mut self, (index, one): (usize, Move)) -> Result<Moving, Refused> {
        let (number, held) = self.holder_of(one.from).ok_or(Refused::NoPlace)?;
        let new = self.deeds.make(&mut self.kernel, one.to).map_err(no_deed)?;
        let held = self.given[number]
            .as_mut()
            .map(|given| &mut given.held[held]);
        let held = held.ok_or(Refused::NoPlace)?;
        let moving = Moving {
            index,
            one,
            was_mapped: core::mem::take(&mut held.is_mapped),
            old: held.frame,
            new,
        };
        if !cfg!(feature = "copies-before-unmapping") {
            self.take_away(&moving);
        }
        Ok(moving)
    }

    /// Takes a folio away from whoever can write to it.
    fn take_away(&mut self, moving: &Moving) {
        self.kernel.revoke(moving.old);
        if moving.was_mapped {
            self.kernel.unmap(moving.old);
        }
    }

    /// Ends a move: the folio is at its new place, if it was copied and can be mapped there, and else
    /// at the old one. Returns whether it is at the new one.
    fn end_move(&mut self, moving: &Moving, is_copied: bool) -> bool {
        if cfg!(feature = "copies-before-unmapping") {
            self.take_away(moving);
        }
        let Some((number, index)) = self.holder_of(moving.one.from) else {
            return false;
        };
        let Some(mut given) = self.given[number].take() else {
            return false;
        };
        let mut held = given.held[index];
        let mut moved = Held {
            extent: moving.one.to,
            frame: moving.new,
            ..held
        };
        if is_copied && moving.was_mapped {
            self.map_moved(&given, &mut moved);
        }
        let is_moved = is_copied && moved.is_mapped == moving.was_mapped;
        if is_moved {
            self.deeds.delete(&mut self.kernel, held.extent);
            held = moved;
        } else {
            self.deeds.delete(&mut self.kernel, moved.extent);
            if moving.was_mapped {
                self.map_again(&given, &mut held);
            }
        }
        given.held[index] = held;
        self.given[number] = Some(given);
        is_moved
    }

    /// Maps the new place of a folio, whose mapping is counted at the old one.
    fn map_moved(&mut self, given: &Given, held: &mut Held) {
        if let Some((guest, start)) = given.guest {
            let address = (start + held.offset) << crate::FRAME_SHIFT;
            held.is_mapped = self.kernel.map(held.frame, guest.into(), address).is_ok();
        }
    }
}

/// Returns whether the contents of a folio are just being copied.
pub(super) fn is_moving(underway: &[Underway], extent: Extent) -> bool {
    let mut moving = underway.iter().filter_map(|other| other.moving);
    moving.any(|moving| moving.one.from == extent)
}
