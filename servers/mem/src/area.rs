//! Areas for contiguous requests (CMA): lent to what is movable until a request comes.
//!
//! ```text
//!  claim ──> moves are known, nobody else gets the place ──moved()…──> finish() ──> Extent
//!                                                        └──────────> abandon() ──> as before
//! ```
//! A candidate is looked at whole before anything is written: are its descriptors contiguous, can
//! all that is in it be moved, and is there room for that elsewhere? Where not, the search goes on
//! behind the obstacle.

use crate::account::Owner;
use crate::descriptor::{Descriptor, State};
use crate::extent::Extent;
use crate::folios::Folios;
use crate::geometry::FrameNumber;
use crate::map::Memory;
use crate::pool::{self, Pool, Use, Want};
use crate::refusal::Refusal;
use alloc::vec::Vec;

/// Names an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area(u8);

/// Names a contiguous request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimId(usize);

/// Contents that have to go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where they are: a folio of its own.
    pub from: Extent,
    /// Where they go: as many frames.
    pub to: Extent,
}

/// A contiguous request that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    owner: Owner,
    place: Extent,
    moves: Vec<(Move, bool)>,
}

impl Folios {
    /// Sets an area of free memory apart for contiguous requests.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::Overflow`], [`Refusal::OutsideMemory`],
    /// [`Refusal::Overlap`] with another area, [`Refusal::Busy`] where a frame is in use.
    pub fn declare_area(&mut self, base: FrameNumber, frames: u64) -> Result<Area, Refusal> {
        let memory = Memory {
            first: base,
            frames,
            node: 0,
        };
        let end = memory.end()?;
        self.map.check_present(base, frames)?;
        let node = self.map.node_of(base).unwrap_or(0);
        for index in 0..frames {
            let at = base.plus(index);
            let pool = self.pools.get(usize::from(self.map.get(at).pool()));
            if pool.is_none_or(|pool| pool.purpose != Use::Ordinary) {
                return Err(Refusal::Overlap { at });
            }
            if !self.is_free(at) {
                return Err(Refusal::Busy { at });
            }
        }
        let number = self.next_pool()?;
        for index in 0..frames {
            let at = base.plus(index);
            let descriptor = self.map.get(at);
            if let Some(pool) = self.pools.get_mut(usize::from(descriptor.pool())) {
                pool.take_at(at.number());
            }
            self.map.set(at, descriptor.with_pool(number));
        }
        let memory = Memory { node, ..memory };
        let max_order = self.map.geometry().max_order();
        self.pools
            .push(Pool::new(memory, end, max_order, Use::Area(memory)));
        Ok(Area(number))
    }

    /// Begins a contiguous request: finds `frames` frames of the area that begin at a multiple of
    /// 2^`align` and can be emptied, and keeps them and the room for what is in them.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::TooLarge`] (frames, alignment), [`Refusal::Unknown`]
    /// (owner, area), [`Refusal::Limit`], [`Refusal::OutOfMemory`]: no place is compatible.
    pub fn claim(
        &mut self,
        owner: Owner,
        area: Area,
        frames: u64,
        align: u8,
    ) -> Result<ClaimId, Refusal> {
        self.check_order(align)?;
        let max_order = self.map.geometry().max_order();
        match frames {
            0 => return Err(Refusal::ZeroLength),
            _ if frames > 1 << max_order => return Err(Refusal::TooLarge { max_order }),
            _ => self.account(owner)?.check(frames)?,
        }
        let pool = self
            .pools
            .get(usize::from(area.0))
            .ok_or(Refusal::Unknown)?;
        let Use::Area(memory) = pool.purpose else {
            return Err(Refusal::Unknown);
        };
        // Many frames are looked at.
        self.pools.iter_mut().for_each(Pool::empty_magazines);
        let mut candidates = Candidates::new(memory, frames, align);
        while let Some(place) = candidates.next() {
            match self.try_place(place, frames) {
                Ok((place, moves)) => return Ok(self.begin(owner, place, moves)),
                Err(first_possible) => candidates.skip_to(first_possible),
            }
        }
        Err(Refusal::OutOfMemory)
    }

    /// Looks at a candidate; if it can be emptied, keeps it and the room for what is in it. Else
    /// nothing is changed, and the next candidate begins at the returned frame at the earliest.
    fn try_place(
        &mut self,
        base: FrameNumber,
        frames: u64,
    ) -> Result<(Extent, Vec<Move>), FrameNumber> {
        let place = Extent::new(&self.map, base, frames).map_err(|refusal| match refusal {
            Refusal::NonContiguous { first_bad } => first_bad,
            _ => base.plus(1),
        })?;
        let occupants = self.occupants(place)?;
        let kept = self.keep_free(place);
        let mut moves = Vec::new();
        let has_room = occupants
            .iter()
            .all(|folio| self.find_room(*folio, &mut moves));
        if !has_room {
            for one in moves {
                let head = self.map.get(one.to.base());
                self.give_back(one.to.base(), head);
            }
            self.give_frames(&kept);
            return Err(base.plus(1));
        }
        Ok((place, moves))
    }

    /// Returns the folios that lie in a place, wholly or in part; or the frame behind the last one
    /// that cannot be moved.
    fn occupants(&self, place: Extent) -> Result<Vec<Extent>, FrameNumber> {
        let mut found = Vec::new();
        let mut obstacle = None;
        let mut index = 0;
        while let Some(at) = place.frame(index) {
            index += 1;
            if self.is_free(at) {
                continue;
            }
            let Some((folio, head)) = self.map.folio_of(at) else {
                obstacle = Some(at.plus(1));
                continue;
            };
            let end = folio.base().plus(folio.frames());
            index = end.number() - place.base().number();
            if is_movable(&head) {
                found.push(folio);
            } else {
                obstacle = Some(end);
            }
        }
        obstacle.map_or(Ok(found), Err)
    }

    /// Takes what is free in a place out of its pool, so that nobody gets it.
    fn keep_free(&mut self, place: Extent) -> Vec<FrameNumber> {
        let frames = (0..place.frames()).filter_map(|index| place.frame(index));
        let mut kept = Vec::new();
        for frame in frames {
            let pool = self.map.get(frame).pool();
            let pool = self.pools.get_mut(usize::from(pool));
            if pool.is_some_and(|pool| pool.take_at(frame.number())) {
                kept.push(frame);
            }
        }
        kept
    }

    /// Gives frames without a descriptor of use back to their pools.
    fn give_frames(&mut self, frames: &[FrameNumber]) {
        for &frame in frames {
            let pool = self.map.get(frame).pool();
            if let Some(pool) = self.pools.get_mut(usize::from(pool)) {
                pool.give(frame, 0);
            }
        }
    }

    /// Takes room for what a folio has, in one block or, where there is none, in smaller ones.
    fn find_room(&mut self, from: Extent, moves: &mut Vec<Move>) -> bool {
        let want = Want {
            order: from.order(),
            node: Some(from.node()),
            movable: true,
        };
        if let Ok(taken) = pool::take(&mut self.pools, want) {
            let head = self.map.get(taken.first).with_state(State::Head);
            self.map.set(
                taken.first,
                head.with_order(from.order()).with_leaving(true),
            );
            let to = Extent::block(&self.map, taken.first, from.order(), taken.node);
            moves.push(Move { from, to });
            return true;
        }
        let half = from.frames() / 2;
        [0, half].into_iter().all(|first| {
            let part = from.part(first, half);
            part.is_ok_and(|part| self.find_room(part, moves))
        })
    }

    /// Notes a claim: its place is the owner's, what moves can neither be freed nor pinned.
    fn begin(&mut self, owner: Owner, place: Extent, moves: Vec<Move>) -> ClaimId {
        for one in &moves {
            // Where a folio moves in parts, it is divided first.
            if let Some((folio, head)) = self.map.folio_of(one.from.base())
                && folio != one.from
            {
                self.divide_for(folio, head, &moves);
            }
            let head = self.map.get(one.from.base());
            let to = head.with_pool(self.map.get(one.to.base()).pool());
            self.map
                .set(one.to.base(), to.with_leaving(true).with_mappings(0));
            self.map.set(one.from.base(), head.with_leaving(true));
        }
        self.charge(owner.number(), place.frames());
        let claim = Claim {
            owner,
            place,
            moves: moves.into_iter().map(|one| (one, false)).collect(),
        };
        let free = self.claims.iter().position(Option::is_none);
        let index = free.unwrap_or(self.claims.len());
        if free.is_none() {
            self.claims.push(None);
        }
        self.claims[index] = Some(claim);
        ClaimId(index)
    }

    /// Makes folios of the parts in which a folio moves.
    fn divide_for(&mut self, folio: Extent, head: Descriptor, moves: &[Move]) {
        let parts = moves.iter().map(|one| one.from);
        for part in parts.filter(|part| folio.index_of(part.base()).is_some()) {
            self.write_head(part, head);
        }
    }

    /// Returns what has to be moved for a claim.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unknown`].
    pub fn moves(&self, claim: ClaimId) -> Result<impl Iterator<Item = Move> + use<'_>, Refusal> {
        let claim = self.claims.get(claim.0).and_then(Option::as_ref);
        let claim = claim.ok_or(Refusal::Unknown)?;
        Ok(claim.moves.iter().map(|&(one, _)| one))
    }

    /// Returns what is still to be moved for a claim, by number of the move; nothing where there is
    /// no such claim.
    pub fn pending_moves(&self, claim: ClaimId) -> impl Iterator<Item = (usize, Move)> + use<'_> {
        let claim = self.claims.get(claim.0).and_then(Option::as_ref);
        let moves = claim.map_or(&[][..], |claim| &claim.moves);
        let numbered = moves.iter().enumerate();
        numbered.filter_map(|(index, (one, done))| (!done).then_some((index, *one)))
    }

    /// Returns the place that a claim gets.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unknown`].
    pub fn place(&self, claim: ClaimId) -> Result<Extent, Refusal> {
        let claim = self.claims.get(claim.0).and_then(Option::as_ref);
        claim.map(|claim| claim.place).ok_or(Refusal::Unknown)
    }

    /// Notes that the contents of move `index` are at their new place, and that it is mapped there
    /// as often as it was: what was the owner's folio is that one now.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unknown`].
    pub fn moved(&mut self, claim: ClaimId, index: usize) -> Result<(), Refusal> {
        let claim = self.claims.get_mut(claim.0).and_then(Option::as_mut);
        let one = claim.and_then(|claim| claim.moves.get_mut(index));
        let (one, done) = one.filter(|(_, done)| !done).ok_or(Refusal::Unknown)?;
        *done = true;
        let one = *one;
        let from = self.map.get(one.from.base());
        let to = self.map.get(one.to.base());
        let head = from.with_pool(to.pool()).with_leaving(false);
        self.map.set(one.to.base(), head);
        Ok(())
    }

    /// Ends a claim whose moves are all made: the place is the owner's.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unknown`], [`Refusal::Busy`] with a folio that was not moved.
    pub fn finish(&mut self, id: ClaimId) -> Result<Extent, Refusal> {
        let place = self.claims.get_mut(id.0).ok_or(Refusal::Unknown)?;
        let claim = place.as_ref().ok_or(Refusal::Unknown)?;
        if let Some((one, _)) = claim.moves.iter().find(|(_, done)| !done) {
            let at = one.from.base();
            return Err(Refusal::Busy { at });
        }
        let Some(claim) = place.take() else {
            return Err(Refusal::Unknown);
        };
        for (one, _) in &claim.moves {
            self.leave(one.from, Some(claim.place));
        }
        for block in claim.place.blocks() {
            let frame = self.map.get(block.base()).plain();
            let head = frame.with_state(State::Head).with_order(block.order());
            self.map
                .set(block.base(), head.with_owner(claim.owner.number()));
        }
        Ok(claim.place)
    }

    /// Gives a claim up: what was not moved stays where it was, the rest of the place is free.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unknown`].
    pub fn abandon(&mut self, id: ClaimId) -> Result<(), Refusal> {
        let place = self.claims.get_mut(id.0).ok_or(Refusal::Unknown)?;
        let claim = place.take().ok_or(Refusal::Unknown)?;
        self.charge(
            claim.owner.number(),
            0_u64.wrapping_sub(claim.place.frames()),
        );
        let frames = (0..claim.place.frames()).filter_map(|index| claim.place.frame(index));
        let is_moving = |frame| {
            claim
                .moves
                .iter()
                .any(|(one, _)| one.from.index_of(frame).is_some())
        };
        let kept: Vec<_> = frames.filter(|&frame| !is_moving(frame)).collect();
        self.give_frames(&kept);
        for (one, done) in &claim.moves {
            if *done {
                self.leave(one.from, None);
            } else {
                let to = self.map.get(one.to.base());
                self.give_back(one.to.base(), to);
                let from = self.map.get(one.from.base()).with_leaving(false);
                self.map.set(one.from.base(), from);
            }
        }
        Ok(())
    }

    /// Forgets a folio that was moved away; its frames are free, but those that lie in `place`.
    fn leave(&mut self, from: Extent, place: Option<Extent>) {
        let head = self.map.get(from.base());
        self.map.set(from.base(), head.plain());
        let frames = (0..from.frames()).filter_map(|index| from.frame(index));
        let is_kept = |frame| place.is_some_and(|place| place.index_of(frame).is_some());
        let freed: Vec<_> = frames.filter(|&frame| !is_kept(frame)).collect();
        self.give_frames(&freed);
    }
}

/// Returns whether a folio can be moved now.
fn is_movable(head: &Descriptor) -> bool {
    head.movable() && head.pins() == 0 && !head.leaving() && !head.damaged()
}

/// The places that a contiguous request can have.
struct Candidates {
    next: u64,
    /// Number of the last one.
    last: Option<u64>,
    align: u8,
}

impl Candidates {
    fn new(memory: Memory, frames: u64, align: u8) -> Self {
        let first = memory.first.number();
        Self {
            next: first.next_multiple_of(1 << align),
            last: (first + memory.frames).checked_sub(frames),
            align,
        }
    }

    fn next(&mut self) -> Option<FrameNumber> {
        let place = self.next;
        self.next += 1 << self.align;
        let is_in = self.last.is_some_and(|last| place <= last);
        FrameNumber::new(place).filter(|_| is_in)
    }

    /// Leaves out places before a frame.
    fn skip_to(&mut self, first: FrameNumber) {
        let first = first.number().next_multiple_of(1 << self.align);
        self.next = self.next.max(first);
    }
}
