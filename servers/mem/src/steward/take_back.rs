//! Taking memory back: whole allocations, and pages of them.

use super::{Decision, Given, Held, Steward};
use crate::extent::Extent;
use crate::kernel::Kernel;
use alloc::vec::Vec;
use core::ops::Range;
use mem_api::{Allocation, Refusal as Refused, Reply};

impl<K: Kernel> Steward<K> {
    /// Takes an allocation back: its frames are deleted wherever they went.
    pub(super) fn release(
        &mut self,
        client: usize,
        allocation: Allocation,
    ) -> Result<Decision, Refused> {
        let number = self.number_of(client, allocation)?;
        let given = self.given(client, allocation)?;
        given
            .held
            .iter()
            .try_for_each(|held| self.check_still(held))?;
        if let Some(given) = self.given[number].take() {
            self.take_all(given);
        }
        Ok(Decision::Done(Reply::Released, Vec::new()))
    }

    /// Frees all of an allocation, which is not noted any more.
    pub(super) fn take_all(&mut self, given: Given) {
        for held in given.held {
            if held.is_mapped {
                let owner = self.clients[given.client].owner;
                // It was counted when it was mapped.
                let _ = self.folios.note_unmapped(owner, held.extent.base());
            }
            self.give_up(given.client, held.extent);
        }
    }

    /// Frees a folio of a client, and deletes its frame where it has one.
    pub(super) fn give_up(&mut self, client: usize, extent: Extent) {
        self.deeds.delete(&mut self.kernel, extent);
        let owner = self.clients[client].owner;
        // It is the client's, as a whole, and nobody uses it any more.
        let freed = self
            .folios
            .free_frames(owner, extent.base(), extent.frames());
        debug_assert_eq!(freed, Ok(()));
    }

    /// Checks that a folio is neither pinned nor moved.
    fn check_still(&self, held: &Held) -> Result<(), Refused> {
        let head = self.folios.map().get(held.extent.base());
        if head.pins() == 0 && !head.leaving() {
            return Ok(());
        }
        let page = u32::try_from(held.offset).unwrap_or(u32::MAX);
        Err(Refused::Busy { page })
    }

    /// Frees pages of an allocation.
    pub(super) fn free(
        &mut self,
        client: usize,
        allocation: Allocation,
        pages: Range<u64>,
    ) -> Result<Decision, Refused> {
        let number = self.number_of(client, allocation)?;
        let given = self.given(client, allocation)?;
        if pages.end > given.frames {
            return Err(Refused::Overflow);
        }
        let cuts = self.cuts(given, &pages)?;
        let needed: usize = cuts.iter().map(Cut::slots).sum();
        if needed > self.deeds.slots_left() {
            return Err(Refused::TooMany);
        }
        let Some(mut given) = self.given[number].take() else {
            return Err(Refused::NoSuchAllocation);
        };
        let mut refused = Ok(());
        for cut in cuts {
            refused = refused.and_then(|()| self.cut(&mut given, &cut));
        }
        if !given.held.is_empty() {
            self.given[number] = Some(given);
        }
        refused.map(|()| Decision::Done(Reply::Freed, Vec::new()))
    }

    /// Returns what becomes of each folio that has some of the pages; all of them can be freed.
    fn cuts(&self, given: &Given, pages: &Range<u64>) -> Result<Vec<Cut>, Refused> {
        let mut cuts = Vec::new();
        let mut page = pages.start;
        while page < pages.end {
            let name = u32::try_from(page).unwrap_or(u32::MAX);
            let mut held = given.held.iter().filter(|held| held.has(page));
            let held = held.next().ok_or(Refused::NotAllocated { page: name })?;
            self.check_still(held)?;
            if held.is_mapped {
                return Err(Refused::Mapped { page: name });
            }
            let first = page - held.offset;
            let count = (held.extent.frames() - first).min(pages.end - page);
            cuts.push(Cut {
                held: *held,
                freed: first..first + count,
            });
            page += count;
        }
        Ok(cuts)
    }

    /// Frees some frames of a folio.
    fn cut(&mut self, given: &mut Given, cut: &Cut) -> Result<(), Refused> {
        let is_it = |held: &Held| held.offset == cut.held.offset;
        let Some(index) = given.held.iter().position(is_it) else {
            return Ok(());
        };
        let extent = cut.held.extent;
        let kept = cut.kept();
        if kept.is_empty() {
            given.held.remove(index);
            self.give_up(given.client, extent);
            return Ok(());
        }
        let blocks: Vec<Extent> = kept.iter().map(|(_, extent)| *extent).collect();
        if let Err(refusal) = self.deeds.divide(&mut self.kernel, extent, &blocks) {
            given.held[index].frame = self.deeds.frame(extent).unwrap_or(0);
            return Err(super::no_deed(refusal));
        }
        let owner = self.clients[given.client].owner;
        let freed = extent.frame(cut.freed.start).map(|base| {
            self.folios
                .free_frames(owner, base, cut.freed.end - cut.freed.start)
        });
        debug_assert_eq!(freed, Some(Ok(())));
        let parts = kept.into_iter().map(|(first, extent)| Held {
            offset: cut.held.offset + first,
            extent,
            frame: self.deeds.frame(extent).unwrap_or(0),
            is_mapped: false,
        });
        given.held.splice(index..=index, parts);
        Ok(())
    }
}

/// Frames of a folio that are freed.
struct Cut {
    held: Held,
    /// Which, from the start of the folio.
    freed: Range<u64>,
}

impl Cut {
    /// Returns the blocks that stay, and where in the folio they begin.
    fn kept(&self) -> Vec<(u64, Extent)> {
        let extent = self.held.extent;
        let rest = [0..self.freed.start, self.freed.end..extent.frames()];
        let parts = rest
            .into_iter()
            .filter_map(|rest| extent.part(rest.start, rest.end - rest.start).ok());
        let blocks = parts.flat_map(|part| part.blocks());
        blocks
            .filter_map(|block| Some((extent.index_of(block.base())?, block)))
            .collect()
    }

    /// Returns how many slots it needs at most.
    fn slots(&self) -> usize {
        let halvings = |block: &Extent| usize::from(self.held.extent.order() - block.order());
        let kept = self.kept();
        let blocks = kept.iter().map(|(_, block)| block);
        blocks.map(|block| 2 * halvings(block) + 1).sum()
    }
}
