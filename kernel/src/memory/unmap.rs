//! Unmapping frames, and the shoot-down that follows.

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
use core::sync::atomic::Ordering;

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
        slot.set_tag(slot.tag().with_mapped(false));
        Ok(self.shoot_down(caller, space, Ending::Finish))
    }

    /// Flushes a space's translations: here at once where only this core has any, else in a round.
    pub(super) fn shoot_down(
        &self,
        caller: ExecutionRef,
        space: &AddressSpace,
        ending: Ending,
    ) -> Outcome {
        let others = space.cores.shared().load(Ordering::SeqCst) & !(1 << self.entry.core());
        if others != 0 {
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
        loop {
            let left = slot.badge.get();
            let goes_on = if left & FREEING == 0 {
                self.clear_some(space, slot)
            } else {
                let freed = self.free_empty_tables(space, slot.address.get() + left - FREEING);
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

    /// Clears entries of a mapped frame down to the start of a table, which may be empty then; `false`
    /// where that is enough for one step.
    fn clear_some(&self, space: &AddressSpace, slot: &Slot) -> bool {
        let mut left = slot.badge.get();
        let mut at = self.walk(space, slot.address.get() + left - 1, usize::MAX);
        let mut is_enough = false;
        while let Some(place) = at.filter(|_| left != 0 && !is_enough) {
            let found = self.arch.decode(place.stage, place.bits(), place.level);
            if matches!(found, TableEntry::Table(_)) {
                // Smaller leaves: the next walk ends there.
                return true;
            }
            self.replace(&place, self.arch.empty(place.stage, place.level));
            left = left.saturating_sub(place.bytes());
            slot.badge.set(left);
            is_enough = self.spend(LEAF);
            at = place.beside(-1);
        }
        if left == 0 || at.is_none() {
            slot.badge.set(left | FREEING);
        }
        !is_enough
    }
}
