//! Memory for devices: pinned, so that it stays where it is, and told of in entries each of which is
//! contiguous.

use super::{Decision, Given, Steward};
use crate::FRAME_SHIFT;
use crate::extent::Extent;
use crate::kernel::Kernel;
use crate::scatter::ScatterList;
use alloc::vec::Vec;
use core::ops::Range;
use mem_api::{Allocation, ENTRIES_PER_REPLY, Entry, FolioState, Refusal as Refused, Reply};

/// The most pins of a client, however many pages each has.
const MAX_PINNINGS: usize = 64;

/// Pages that a client pinned by one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pinning {
    client: usize,
    /// Number of the allocation.
    number: usize,
    pages: Range<u64>,
}

/// Frames of one folio that pages of an allocation are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The first of the pages.
    pub page: u64,
    pub extent: Extent,
}

impl Given {
    /// Returns the frames that pages of the allocation are, folio by folio.
    ///
    /// # Errors
    ///
    /// Overflow behind the end, and the first page that was freed.
    pub(super) fn parts(&self, pages: &Range<u64>) -> Result<Vec<Part>, Refused> {
        if pages.end > self.frames {
            return Err(Refused::Overflow);
        }
        let mut parts = Vec::new();
        let mut page = pages.start;
        while page < pages.end {
            let name = page_name(page);
            let held = self.held.iter().find(|held| held.has(page));
            let held = held.ok_or(Refused::NotAllocated { page: name })?;
            let first = page - held.offset;
            let count = (held.extent.frames() - first).min(pages.end - page);
            let extent = held.extent.part(first, count);
            let extent = extent.map_err(|_| Refused::Overflow)?;
            parts.push(Part { page, extent });
            page += count;
        }
        Ok(parts)
    }
}

/// Returns the number of a page in messages.
pub(super) fn page_name(page: u64) -> u32 {
    u32::try_from(page).unwrap_or(u32::MAX)
}

/// Returns the pages that bytes lie in.
///
/// # Errors
///
/// A refusal where there are none, or their end cannot be counted.
pub(super) fn pages_of(offset: u64, length: u64) -> Result<(Range<u64>, u64), Refused> {
    if length == 0 {
        return Err(Refused::ZeroLength);
    }
    let end = offset.checked_add(length).ok_or(Refused::Overflow)?;
    let pages = offset >> FRAME_SHIFT..end.div_ceil(1 << FRAME_SHIFT);
    Ok((pages, end))
}

impl<K: Kernel> Steward<K> {
    /// Returns how many pages a client has pinned, each as often as it is.
    fn pinned_pages(&self, client: usize) -> u64 {
        let own = self.pinnings.iter().filter(|one| one.client == client);
        own.map(|one| one.pages.end - one.pages.start).sum()
    }

    /// Pins pages of an allocation, all of them or none.
    pub(super) fn pin(
        &mut self,
        client: usize,
        allocation: Allocation,
        pages: Range<u64>,
    ) -> Result<Decision, Refused> {
        let number = self.number_of(client, allocation)?;
        let parts = self.given(client, allocation)?.parts(&pages)?;
        if let Some(page) = self.first_defect(&parts) {
            return Err(Refused::Defect { page });
        }
        let row = self.clients[client];
        let left = row.client.pins.saturating_sub(self.pinned_pages(client));
        if pages.end - pages.start > left {
            let left_bytes = left << FRAME_SHIFT;
            return Err(Refused::PinQuota { left_bytes });
        }
        let pinnings = self.pinnings.iter().filter(|one| one.client == client);
        if pinnings.count() >= MAX_PINNINGS {
            return Err(Refused::TooMany);
        }
        for (done, part) in parts.iter().enumerate() {
            if self.folios.pin(row.owner, part.extent).is_err() {
                for part in &parts[..done] {
                    let unpinned = self.folios.unpin(row.owner, part.extent, false);
                    debug_assert_eq!(unpinned, Ok(()));
                }
                let page = page_name(part.page);
                return Err(Refused::Busy { page });
            }
        }
        self.pinnings.push(Pinning {
            client,
            number,
            pages,
        });
        Ok(Decision::Done(Reply::Pinned, Vec::new()))
    }

    /// Takes back what one pin did.
    pub(super) fn unpin(
        &mut self,
        client: usize,
        allocation: Allocation,
        (pages, wrote): (Range<u64>, bool),
    ) -> Result<Decision, Refused> {
        let number = self.number_of(client, allocation)?;
        let page = page_name(pages.start);
        let is_it = |one: &Pinning| one.number == number && one.pages == pages;
        let index = self.pinnings.iter().position(is_it);
        let index = index.ok_or(Refused::NotPinned { page })?;
        let parts = self.given(client, allocation)?.parts(&pages)?;
        self.pinnings.swap_remove(index);
        let owner = self.clients[client].owner;
        for part in parts {
            // Pinned as a whole, and its folio neither divided nor moved since.
            let unpinned = self.folios.unpin(owner, part.extent, wrote);
            debug_assert_eq!(unpinned, Ok(()));
        }
        Ok(Decision::Done(Reply::Unpinned, Vec::new()))
    }

    /// Tells where bytes of pinned pages are.
    pub(super) fn scatter(
        &self,
        client: usize,
        allocation: Allocation,
        (offset, length, entries): (u64, u64, u8),
    ) -> Result<Decision, Refused> {
        let number = self.number_of(client, allocation)?;
        let given = self.given(client, allocation)?;
        let (pages, end) = pages_of(offset, length)?;
        let parts = given.parts(&pages)?;
        let has_them = |one: &Pinning| {
            one.number == number && one.pages.start <= pages.start && pages.end <= one.pages.end
        };
        if !self.pinnings.iter().any(has_them) {
            let page = page_name(pages.start);
            return Err(Refused::NotPinned { page });
        }
        let mut list = ScatterList::new(usize::from(entries).min(ENTRIES_PER_REPLY));
        for part in parts {
            let first = part.page << FRAME_SHIFT;
            let from = offset.max(first);
            let length = end.min(first + part.extent.bytes()) - from;
            let map = self.folios.map();
            let added = list.add(map, &part.extent, from - first, length);
            let page = page_name(part.page);
            added.map_err(|_| Refused::NonContiguous { page })?;
        }
        let mut told = [None; ENTRIES_PER_REPLY];
        for (place, entry) in told.iter_mut().zip(list.entries()) {
            *place = Some(Entry {
                address: entry.address(),
                length: entry.length(),
            });
        }
        Ok(Decision::Done(Reply::Scatter(told), Vec::new()))
    }

    /// Tells what is known of the folio that a page lies in.
    pub(super) fn inspect(
        &self,
        client: usize,
        allocation: Allocation,
        page: u32,
    ) -> Result<Decision, Refused> {
        let given = self.given(client, allocation)?;
        let held = given.held.iter().find(|held| held.has(page.into()));
        let held = held.ok_or(Refused::NotAllocated { page })?;
        let head = self.folios.map().get(held.extent.base());
        let state = FolioState {
            folio: super::told(held),
            pins: head.pins(),
            is_dirty: head.dirty(),
            is_damaged: head.damaged(),
            is_mapped: held.is_mapped,
        };
        Ok(Decision::Done(Reply::Inspected(state), Vec::new()))
    }
}
