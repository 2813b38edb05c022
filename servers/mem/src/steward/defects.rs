//! Memory that is defect: who has it says so, and is told how far he can read.

use super::pins::{Part, page_name, pages_of};
use super::{Decision, Steward};
use crate::FRAME_SHIFT;
use crate::kernel::Kernel;
use alloc::vec::Vec;
use mem_api::{Allocation, Refusal as Refused, Reply};

/// The most defects that a client can report: what it says is lost for everybody.
const MAX_DEFECTS: u8 = 16;

impl<K: Kernel> Steward<K> {
    /// Returns the first page of these that is defect.
    pub(super) fn first_defect(&self, parts: &[Part]) -> Option<u32> {
        let is_defect = |(_, frame)| self.folios.map().get(frame).poisoned();
        parts.iter().find_map(|part| {
            let frames = (0..).map_while(|index| Some((index, part.extent.frame(index)?)));
            let (index, _) = frames.into_iter().find(|at| is_defect(*at))?;
            Some(page_name(part.page + index))
        })
    }

    /// Notes that a page's memory is defect; a second time changes nothing.
    pub(super) fn report_defect(
        &mut self,
        client: usize,
        allocation: Allocation,
        page: u32,
    ) -> Result<Decision, Refused> {
        let first = u64::from(page);
        let given = self.given(client, allocation)?;
        let parts = given.parts(&(first..first + 1))?;
        let done = Ok(Decision::Done(Reply::Reported, Vec::new()));
        let Some(part) = parts.first() else {
            return Err(Refused::NotAllocated { page });
        };
        if self.first_defect(&parts).is_some() {
            return done;
        }
        let base = part.extent.base();
        let folio = self.folios.map().folio_of(base);
        if folio.is_none_or(|(_, head)| head.leaving()) {
            return Err(Refused::Busy { page });
        }
        let row = &mut self.clients[client];
        if row.defects >= MAX_DEFECTS {
            return Err(Refused::TooManyDefects);
        }
        row.defects += 1;
        // It is the client's, so it is memory.
        let noted = self.folios.poison(base);
        debug_assert!(noted.is_ok());
        done
    }

    /// Tells how many bytes can be read before the first page that is defect or was freed.
    pub(super) fn readable(
        &self,
        client: usize,
        allocation: Allocation,
        (offset, length): (u64, u64),
    ) -> Result<Decision, Refused> {
        let given = self.given(client, allocation)?;
        let (pages, end) = pages_of(offset, length)?;
        if pages.end > given.frames {
            return Err(Refused::Overflow);
        }
        given.parts(&(pages.start..pages.start + 1))?;
        let mut at = offset;
        while at < end {
            let page = at >> FRAME_SHIFT;
            let Some(held) = given.held.iter().find(|held| held.has(page)) else {
                break;
            };
            let first = held.offset << FRAME_SHIFT;
            let wanted = (first + held.extent.bytes()).min(end) - at;
            let extent = &held.extent;
            let readable = self
                .folios
                .readable_before_poison(extent, at - first, wanted);
            at += readable;
            if readable < wanted {
                break;
            }
        }
        Ok(Decision::Done(Reply::Readable(at - offset), Vec::new()))
    }
}
