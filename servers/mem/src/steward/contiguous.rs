//! Contiguous requests: movable memory goes out of the way.
//!
//! A folio moves in one go, under the eyes of nobody: it is taken out of the guest and away from
//! whoever had copies of its frame, copied, and mapped at the new place. A guest that touches it
//! meanwhile faults, and goes on when the fault is answered, which is afterwards.

use super::{Decision, Emptying, Fill, Given, Held, Steward, Underway, no_deed};
use crate::area::Move;
use crate::cover::Piece;
use crate::extent::Extent;
use crate::kernel::Kernel;
use crate::refusal::Refusal;
use alloc::vec::Vec;
use mem_api::Refusal as Refused;

impl<K: Kernel> Steward<K> {
    /// Begins a contiguous request.
    pub(super) fn contiguous(
        &mut self,
        client: usize,
        frames: u64,
        (align, area): (u8, u8),
    ) -> Result<Decision, Refused> {
        let area = self.areas.get(usize::from(area)).copied();
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
        let underway = Underway { client, claim };
        if let Err(refused) = self.divide_for(underway) {
            // A claim that was just made.
            let _ = self.folios.abandon(claim);
            return Err(refused);
        }
        self.underway.push(underway);
        Ok(Decision::Empty(Emptying(underway)))
    }

    /// Moves one folio out of the way. Returns `None` while there are more, then the place.
    ///
    /// # Errors
    ///
    /// A refusal where the kernel cannot; what was not moved stays where it is.
    pub fn make_room(&mut self, emptying: Emptying) -> Result<Option<Fill>, Refused> {
        let Emptying(underway) = emptying;
        let next = self.folios.pending_moves(underway.claim).next();
        if let Some((index, one)) = next {
            let moved = self.move_folio(one);
            return match moved {
                Ok(()) => {
                    // The claim is under way, and this move of it was not made.
                    let noted = self.folios.moved(underway.claim, index);
                    debug_assert_eq!(noted, Ok(()));
                    self.moved += one.from.frames();
                    Ok(None)
                }
                Err(refused) => {
                    self.end(underway);
                    let _ = self.folios.abandon(underway.claim);
                    Err(refused)
                }
            };
        }
        self.end(underway);
        let place = self.folios.finish(underway.claim);
        let place = place.map_err(|_| Refused::NoPlace)?;
        let piece = |block: Extent| Piece {
            offset: block.base().number() - place.base().number(),
            extent: block,
        };
        let pieces: Vec<Piece> = place.blocks().map(piece).collect();
        let held = self.make_frames(underway.client, &pieces)?;
        Ok(Some(self.note(Given {
            client: underway.client,
            guest: None,
            frames: place.frames(),
            is_ready: false,
            held,
        })))
    }

    /// Forgets a request.
    fn end(&mut self, underway: Underway) {
        self.underway.retain(|other| *other != underway);
    }

    /// Makes the folios that move in parts ones of these parts.
    fn divide_for(&mut self, underway: Underway) -> Result<(), Refused> {
        let moves: Vec<Extent> = self
            .folios
            .pending_moves(underway.claim)
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

    /// Makes a move of a request at once, where a folio that was touched waits for it.
    pub(super) fn move_at_once(&mut self, extent: Extent) {
        for underway in self.underway.clone() {
            let mut moves = self.folios.pending_moves(underway.claim);
            let Some((index, one)) = moves.find(|(_, one)| one.from == extent) else {
                continue;
            };
            drop(moves);
            if self.move_folio(one).is_ok() && self.folios.moved(underway.claim, index).is_ok() {
                self.moved += extent.frames();
            }
        }
    }

    /// Moves what is in a folio to another one.
    fn move_folio(&mut self, one: Move) -> Result<(), Refused> {
        let find = |given: &Option<Given>| {
            let mut held = given.as_ref()?.held.iter();
            held.position(|held| held.extent == one.from)
        };
        let mut places = self.given.iter().enumerate();
        let found = places.find_map(|(number, given)| Some((number, find(given)?)));
        let (number, index) = found.ok_or(Refused::NoPlace)?;
        let Some(mut given) = self.given[number].take() else {
            return Err(Refused::NoPlace);
        };
        let mut held = given.held[index];
        let moved = self.move_held(&given, &mut held, one.to);
        given.held[index] = held;
        self.given[number] = Some(given);
        moved
    }

    /// Moves a folio that somebody has, in front of whom nothing changes.
    fn move_held(&mut self, given: &Given, held: &mut Held, to: Extent) -> Result<(), Refused> {
        let new = self.deeds.make(&mut self.kernel, to).map_err(no_deed)?;
        self.kernel.revoke(held.frame);
        if held.is_mapped {
            self.kernel.unmap(held.frame);
        }
        let mut moved = Held {
            extent: to,
            frame: new,
            is_mapped: false,
            ..*held
        };
        let copied = cfg!(feature = "moves-without-copy")
            || self.kernel.copy(held.frame, new, to.order()).is_ok();
        if cfg!(feature = "copies-early") && held.is_mapped {
            self.map_again(given, held);
            self.kernel.unmap(held.frame);
        }
        if copied && held.is_mapped {
            self.map_moved(given, &mut moved);
        }
        if !copied || moved.is_mapped != held.is_mapped {
            self.deeds.delete(&mut self.kernel, to);
            if held.is_mapped {
                self.map_again(given, held);
            }
            return Err(Refused::TooMany);
        }
        self.deeds.delete(&mut self.kernel, held.extent);
        *held = moved;
        Ok(())
    }

    /// Maps the new place of a folio, whose mapping is counted at the old one.
    fn map_moved(&mut self, given: &Given, held: &mut Held) {
        if let Some((guest, start)) = given.guest {
            let address = (start + held.offset) << crate::FRAME_SHIFT;
            held.is_mapped = self.kernel.map(held.frame, guest.into(), address).is_ok();
        }
    }
}
