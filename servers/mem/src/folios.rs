//! Folios: who has which frames, and what is free.
//!
//! Memory lies in *pools*: one for each range that was donated, and one for each area that is kept
//! for contiguous requests (`area.rs`). A folio in use has a descriptor at its first frame; what
//! is free is known by the pool's tree. Every request is checked whole before it has an effect.

use crate::account::{Account, Owner};
use crate::area::Claim;
use crate::descriptor::{Descriptor, State};
use crate::extent::Extent;
use crate::geometry::{FrameNumber, Geometry};
use crate::map::{FrameMap, Memory};
use crate::pool::{self, Hands, Pool, Taken, Use, Want};
use crate::refusal::Refusal;
use alloc::vec::Vec;

/// Largest number of pools: a descriptor's field has 8 bits.
const MAX_POOLS: usize = 256;

/// The allocator.
#[derive(Clone, Debug)]
pub struct Folios {
    pub(crate) map: FrameMap,
    pub(crate) pools: Vec<Pool>,
    /// Which pools small folios come from at the moment.
    hands: Hands,
    pub(crate) accounts: Vec<Account>,
    pub(crate) claims: Vec<Option<Claim>>,
    /// The largest order of a folio, by the geometry.
    max_order: u8,
}

impl Folios {
    /// Makes an allocator without memory.
    #[must_use]
    pub const fn new(geometry: Geometry) -> Self {
        Self {
            map: FrameMap::new(geometry),
            pools: Vec::new(),
            hands: Hands::new(),
            accounts: Vec::new(),
            claims: Vec::new(),
            max_order: geometry.max_order(),
        }
    }

    /// Makes room for the descriptors of memory that will be donated.
    pub fn reserve(&mut self, memory: &[Memory]) {
        self.map.reserve(memory);
    }

    /// Returns the frame descriptors.
    #[must_use]
    pub const fn map(&self) -> &FrameMap {
        &self.map
    }

    /// Checks that folios of an order can exist.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`].
    pub fn check_order(&self, order: u8) -> Result<(), Refusal> {
        let max_order = self.max_order;
        if order > max_order {
            return Err(Refusal::TooLarge { max_order });
        }
        Ok(())
    }

    /// Takes memory over, all of it free, in blocks of an order.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`], [`Refusal::Misaligned`] where start or length is no multiple of the
    /// block, [`Refusal::ZeroLength`], [`Refusal::Overflow`] (also of the number of pools),
    /// [`Refusal::Overlap`].
    pub fn donate(&mut self, memory: Memory, order: u8) -> Result<(), Refusal> {
        self.check_order(order)?;
        let block = (1_u64 << order) - 1;
        if (memory.first.number() | memory.frames) & block != 0 {
            return Err(Refusal::Misaligned);
        }
        let end = memory.end()?;
        let pool = self.next_pool()?;
        self.map.add(memory, pool)?;
        let max_order = self.map.geometry().max_order();
        self.pools
            .push(Pool::new(memory, end, max_order, Use::Ordinary));
        Ok(())
    }

    /// Returns the number that the next pool gets.
    pub(crate) fn next_pool(&self) -> Result<u8, Refusal> {
        let next = Some(self.pools.len()).filter(|&next| next < MAX_POOLS);
        next.and_then(|next| u8::try_from(next).ok())
            .ok_or(Refusal::Overflow)
    }

    /// Returns whether some of the memory belongs to a node.
    #[must_use]
    pub fn has_node(&self, node: u8) -> bool {
        self.pools.iter().any(|pool| pool.node == node)
    }

    /// Lets an owner ask for folios of just this order ([`Account::sizes`]).
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`], [`Refusal::Unknown`].
    pub fn register_size(&mut self, owner: Owner, order: u8) -> Result<(), Refusal> {
        self.check_order(order)?;
        let account = self.accounts.get_mut(owner.index());
        account.ok_or(Refusal::Unknown)?.register(order);
        Ok(())
    }

    /// Adds an owner that may have as many frames.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overflow`] where there are too many.
    pub fn add_owner(&mut self, limit: u64) -> Result<Owner, Refusal> {
        let owner = Owner::numbered(self.accounts.len()).ok_or(Refusal::Overflow)?;
        self.accounts.push(Account::new(limit));
        Ok(owner)
    }

    /// Returns what an owner has and may have.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unknown`].
    pub fn account(&self, owner: Owner) -> Result<Account, Refusal> {
        let account = self.accounts.get(owner.index());
        account.copied().ok_or(Refusal::Unknown)
    }

    /// Takes a folio for an owner.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`], [`Refusal::Unknown`] (owner, node), [`Refusal::Limit`],
    /// [`Refusal::OutOfMemory`].
    #[inline(never)]
    pub fn allocate(&mut self, owner: Owner, want: Want) -> Result<Extent, Refusal> {
        if let Some(extent) = self.allocate_at_hand(owner, want) {
            return Ok(extent);
        }
        self.allocate_by_search(owner, want)
    }

    /// Takes a folio of those that lie at hand. Where there is none, or anything speaks against the
    /// request, nothing happens.
    #[inline(always)]
    fn allocate_at_hand(&mut self, owner: Owner, want: Want) -> Option<Extent> {
        if want.order > self.max_order {
            return None;
        }
        let frames = 1 << want.order;
        let account = self.accounts.get_mut(owner.index())?;
        if !account.admits(frames) {
            return None;
        }
        let taken = self.hands.take(&mut self.pools, want)?;
        account.charge(frames);
        Some(self.begin_folio(owner, want, taken))
    }

    /// Takes a folio out of the best pool, from which others are taken next.
    #[cold]
    #[inline(never)]
    fn allocate_by_search(&mut self, owner: Owner, want: Want) -> Result<Extent, Refusal> {
        self.check_order(want.order)?;
        let account = self.accounts.get_mut(owner.index());
        let account = account.ok_or(Refusal::Unknown)?;
        account.check(1 << want.order)?;
        let taken = pool::take(&mut self.pools, want)?;
        account.charge(1 << want.order);
        self.hands.note(want, taken);
        Ok(self.begin_folio(owner, want, taken))
    }

    /// Makes a block that was taken a folio.
    #[inline]
    fn begin_folio(&mut self, owner: Owner, want: Want, taken: Taken) -> Extent {
        let head = Descriptor::new()
            .with_state(State::Head)
            .with_pool(taken.pool)
            .with_order(want.order)
            .with_movable(want.movable)
            .with_owner(owner.number());
        self.map.set(taken.first, head);
        Extent::block(&self.map, taken.first, want.order, taken.node)
    }

    /// Frees frames of an owner: whole folios, or parts of them, which divides those.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::Overflow`], [`Refusal::NotAllocated`],
    /// [`Refusal::Foreign`], [`Refusal::Mapped`], [`Refusal::Busy`], [`Refusal::Unknown`] (owner).
    #[inline(never)]
    pub fn free_frames(
        &mut self,
        owner: Owner,
        base: FrameNumber,
        frames: u64,
    ) -> Result<(), Refusal> {
        let Some(place) = self.map.place(base) else {
            return self.free_parts(owner, base, frames);
        };
        let head = *place;
        if frames != 1 << head.order() || !head.is_still_and_whole(owner.number()) {
            return self.free_parts(owner, base, frames);
        }
        *place = head.plain();
        self.charge(owner.number(), 0_u64.wrapping_sub(frames));
        if let Some(pool) = self.pools.get_mut(usize::from(head.pool())) {
            pool.give(base, head.order());
        }
        Ok(())
    }

    /// Frees frames that are not one whole folio, or that need a closer look.
    #[cold]
    #[inline(never)]
    fn free_parts(&mut self, owner: Owner, base: FrameNumber, frames: u64) -> Result<(), Refusal> {
        self.account(owner)?;
        let last = frames.checked_sub(1).ok_or(Refusal::ZeroLength)?;
        let last = base.number().checked_add(last).and_then(FrameNumber::new);
        let end = last.ok_or(Refusal::Overflow)?.number() + 1;
        let mut at = base;
        while at.number() < end {
            let (folio, head) = self.map.folio_of(at).ok_or(Refusal::NotAllocated { at })?;
            check_free(&head, owner.number(), folio.base())?;
            at = folio.base().plus(folio.frames());
        }
        self.charge(owner.number(), 0_u64.wrapping_sub(frames));
        let mut at = base;
        while at.number() < end {
            let Some((folio, head)) = self.map.folio_of(at) else {
                return Ok(());
            };
            let first = at.number() - folio.base().number();
            let count = (end - at.number()).min(folio.frames() - first);
            self.free_part(folio, head, first, count);
            at = at.plus(count);
        }
        Ok(())
    }

    /// Divides a folio around frames of it, and gives these back.
    fn free_part(&mut self, folio: Extent, head: Descriptor, first: u64, count: u64) {
        self.map
            .set(folio.base(), self.map.get(folio.base()).plain());
        let rest = [(0, first), (first + count, folio.frames() - first - count)];
        for (first, count) in rest {
            if let Ok(part) = folio.part(first, count) {
                part.blocks().for_each(|block| self.write_head(block, head));
            }
        }
        if let Ok(part) = folio.part(first, count) {
            let blocks = part.blocks();
            blocks.for_each(|block| {
                self.write_head(block, head);
                let head = self.map.get(block.base());
                self.give_back(block.base(), head);
            });
        }
    }

    /// Makes a block a folio of its own, with the properties of the one that it comes from.
    pub(crate) fn write_head(&mut self, block: Extent, from: Descriptor) {
        let frame = self.map.get(block.base());
        let poisoned = |index| {
            block
                .frame(index)
                .is_some_and(|at| self.map.get(at).poisoned())
        };
        let damaged = from.damaged() && (0..block.frames()).any(poisoned);
        let head = from.with_order(block.order()).with_damaged(damaged);
        self.map
            .set(block.base(), head.with_poisoned(frame.poisoned()));
    }

    /// Divides a folio of an owner into folios of an order.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAllocated`], [`Refusal::Misaligned`] (no first frame of a folio, or the order
    /// is above the folio's), [`Refusal::Foreign`], [`Refusal::Busy`] (pinned or moving).
    pub fn divide(&mut self, owner: Owner, base: FrameNumber, order: u8) -> Result<(), Refusal> {
        let (folio, head) = self
            .map
            .folio_of(base)
            .ok_or(Refusal::NotAllocated { at: base })?;
        if head.owner() != owner.number() {
            return Err(Refusal::Foreign { at: base });
        }
        if folio.base() != base || order > head.order() {
            return Err(Refusal::Misaligned);
        }
        if head.pins() != 0 || head.leaving() {
            return Err(Refusal::Busy { at: base });
        }
        for first in (0..folio.frames()).step_by(1 << order) {
            let block = folio.part(first, 1 << order)?;
            self.write_head(block, head);
        }
        Ok(())
    }

    /// Gives the frames of a folio back to its pool, but those that are poisoned.
    pub(crate) fn give_back(&mut self, base: FrameNumber, head: Descriptor) {
        self.map.set(base, head.plain());
        let Some(pool) = self.pools.get_mut(usize::from(head.pool())) else {
            return;
        };
        if !head.damaged() {
            pool.give(base, head.order());
            return;
        }
        for index in 0..1 << head.order() {
            let frame = base.plus(index);
            if !self.map.get(frame).poisoned() {
                pool.give(frame, 0);
            }
        }
    }

    /// Adds frames to what an owner has.
    #[inline]
    pub(crate) fn charge(&mut self, owner: u16, frames: u64) {
        if let Some(account) = self.accounts.get_mut(usize::from(owner.wrapping_sub(1))) {
            account.charge(frames);
        }
    }

    /// Returns the frames that are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        pool::free(&self.pools)
    }

    /// Returns the frames that are free in areas.
    #[must_use]
    pub fn free_in_areas(&self) -> u64 {
        pool::free_in_areas(&self.pools)
    }

    /// Returns whether a frame is free.
    #[must_use]
    pub fn is_free(&self, frame: FrameNumber) -> bool {
        let descriptor = self.map.get(frame);
        let pool = self.pools.get(usize::from(descriptor.pool()));
        descriptor.state() == State::Plain && pool.is_some_and(|pool| pool.is_free(frame.number()))
    }
}

/// Checks that an owner may free a folio.
fn check_free(head: &Descriptor, owner: u16, at: FrameNumber) -> Result<(), Refusal> {
    if head.owner() != owner {
        return Err(Refusal::Foreign { at });
    }
    if head.mappings() != 0 {
        return Err(Refusal::Mapped { at });
    }
    if head.pins() != 0 || head.leaving() {
        return Err(Refusal::Busy { at });
    }
    Ok(())
}
