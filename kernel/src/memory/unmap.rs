//! Unmapping frames, and the shoot-down that follows.

use super::tables::Place;
use super::{LEAF, stage_of};
use crate::Visit;
use crate::arch::{Arch, SpaceTag, Stage, TableEntry, UserFrame};
use crate::call::Outcome;
use crate::cap::slot::{FREEING, Slot};
use crate::cap::table;
use crate::delete::Ending;
use crate::object::execution::ExecutionRef;
use crate::object::space::AddressSpace;
use crate::object::thread::Thread;
use abi::{Error, ObjectKind, Rights};

impl<A: Arch> Visit<'_, A> {
    /// Unmaps a frame.
    pub(crate) fn unmap(&self, caller: ExecutionRef, thread: &Thread<A>) -> Result<Outcome, Error> {
        let slot = self.slot(self.slot_at(thread, thread.frame.argument(0))?);
        table::check(slot, ObjectKind::Frame, Rights::new())?;
        let Some(space) = self.mapped_space(slot) else {
            slot.set_tag(slot.tag().with_mapped(false));
            return Err(Error::NotMapped);
        };
        if !self.unmap_some(slot) {
            return Ok(self.shoot_down(caller, space, Ending::Restart));
        }
        slot.set_tag(slot.tag().with_mapped(false).with_refusal(0));
        Ok(self.shoot_down(caller, space, Ending::Finish))
    }

    /// Flushes a space's translations: here at once where only this core has any, else in a round.
    pub(super) fn shoot_down(
        &self,
        caller: ExecutionRef,
        space: &AddressSpace,
        ending: Ending,
    ) -> Outcome {
        if self.others_of(space) != 0 {
            self.note_flush(space);
            return self.begin_round(caller, ending);
        }
        match stage_of(space) {
            Stage::User => self.arch.flush_space(SpaceTag(space.tag.get())),
            Stage::Guest => self.arch.flush_guests(),
        }
        ending.outcome()
    }

    /// Lets the next round flush a space's translations.
    fn note_flush(&self, space: &AddressSpace) {
        match stage_of(space) {
            Stage::User => self.round.flush_space(SpaceTag(space.tag.get())),
            Stage::Guest => self.round.flush_guests(),
        }
    }

    /// Clears entries of a mapped frame, the last ones first; `false` where there is more to do. The
    /// next round flushes them. What was cleared is no longer the frame's: others may map there.
    pub(crate) fn unmap_some(&self, slot: &Slot) -> bool {
        let Some(space) = self.mapped_space(slot) else {
            return true;
        };
        self.note_flush(space);
        if slot.tag().refusal() == 0 {
            Self::refuse(slot, Error::AlreadyMapped);
        }
        let mut cleared = None;
        loop {
            let left = slot.badge.get();
            let goes_on = if left & FREEING == 0 {
                let is_enough;
                (is_enough, cleared) = self.clear_some(space, slot);
                // A look at a whole table is too long for the end of a step.
                !is_enough && self.core.work.get() <= self.arch.step() / 8
            } else {
                let address = slot.address.get() + left - FREEING;
                let place = cleared.take();
                let place = place.or_else(|| self.walk(space, address, usize::MAX));
                let freed = place.is_none_or(|place| self.free_tables(space, place));
                slot.badge.set(left - u64::from(freed) * FREEING);
                freed
            };
            if !goes_on || slot.badge.get() == 0 {
                return slot.badge.get() == 0;
            }
        }
    }

    /// Lets every `Map` that would go on with this mapping answer `error`.
    pub(super) fn refuse(slot: &Slot, error: Error) {
        let number = u8::try_from(error.number()).unwrap_or(u8::MAX);
        slot.set_tag(slot.tag().with_refusal(number));
    }

    /// Clears entries of a mapped frame down to the start of a table, which may be empty then; returns
    /// whether that is enough for one step, and a place in that table.
    fn clear_some(&self, space: &AddressSpace, slot: &Slot) -> (bool, Option<Place<'_>>) {
        let mut left = slot.badge.get();
        let last = slot.address.get() + left - 1;
        let Some(mut place) = self.walk(space, last, usize::MAX) else {
            slot.badge.set(0);
            return (false, None);
        };
        // Where there is a table of smaller leaves, the next walk ends there.
        while !matches!(self.found(&place), TableEntry::Table(_)) {
            self.arch
                .replace(&place, self.arch.empty(place.stage, place.level));
            left = left.saturating_sub(place.bytes());
            slot.badge.set(left);
            let is_enough = self.spend(LEAF);
            if left == 0 || !self.go(&mut place, -1) {
                slot.badge.set(left | FREEING);
                return (is_enough, Some(place));
            }
            if is_enough {
                return (true, None);
            }
        }
        (false, None)
    }
}
