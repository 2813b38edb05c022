//! Unmapping frames, and the shoot-down that follows.

use super::stage_of;
use crate::Visit;
use crate::arch::{Arch, Level, Memory, SpaceTag, Stage, TableEntry, UserFrame};
use crate::call::Outcome;
use crate::cap::slot::Slot;
use crate::cap::table;
use crate::delete::Ending;
use crate::object::execution::ExecutionRef;
use crate::object::space::AddressSpace;
use crate::object::thread::Thread;
use abi::{Error, ObjectKind, Rights};
use core::sync::atomic::{AtomicU64, Ordering};

/// Tables of smaller leaves that one step of an unmap clears.
const TABLES_PER_STEP: usize = 4;

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
        if ending == Ending::Finish {
            Outcome::ok()
        } else {
            Outcome::Waiting
        }
    }

    /// Lets the next round flush a space's translations.
    fn note_flush(&self, space: &AddressSpace) {
        match stage_of(space) {
            Stage::User => self.round.flush_space(SpaceTag(space.tag.get())),
            Stage::Guest => self.round.flush_guests(),
        }
    }

    /// Clears the entries of a mapped frame; `false` where there is more to do. The next round
    /// flushes them. Until all tables of smaller leaves are gone every place stays taken, for others
    /// may map between the steps.
    pub(crate) fn unmap_some(&self, slot: &Slot) -> bool {
        let Some(space) = self.mapped_space(slot) else {
            return true;
        };
        self.note_flush(space);
        let stage = stage_of(space);
        let Some((depth, level)) = self.leaf_level(stage, slot.tag().order()) else {
            return true;
        };
        let is_last = depth + 1 == self.arch.levels(stage).len();
        if !is_last && !self.join_some(space, slot, (depth, level)) {
            return false;
        }
        for address in addresses(slot, level) {
            if let Some(place) = self.walk(space, address, depth)
                && place.depth == depth
            {
                self.replace(&place, self.arch.empty(stage, level));
            }
        }
        let first = slot.address.get();
        for end in [first, first + slot.bytes() - 1] {
            self.free_empty_tables(space, end, depth);
        }
        true
    }

    /// Makes leaves without access of the tables of smaller leaves that a mapped frame was split
    /// into; `false` where there are more.
    fn join_some(
        &self,
        space: &AddressSpace,
        slot: &Slot,
        (depth, level): (usize, &Level),
    ) -> bool {
        let stage = stage_of(space);
        let mut tables = 0;
        for address in addresses(slot, level) {
            let place = self.walk(space, address, depth);
            let Some(place) = place.filter(|place| place.depth == depth) else {
                continue;
            };
            let TableEntry::Table(table) = self.arch.decode(stage, place.bits(), level) else {
                continue;
            };
            if tables == TABLES_PER_STEP {
                return false;
            }
            tables += 1;
            let taken = Memory {
                physical: slot.object.get() + (address - slot.address.get()),
                access: Rights::new(),
                device: slot.tag().device(),
            };
            self.replace(&place, self.arch.leaf(stage, level, taken));
            self.drop_tables(space, (table, depth + 1));
        }
        true
    }

    /// Gives back a table of level `depth` that no entry designates any more, and all below it.
    fn drop_tables(&self, space: &AddressSpace, (table, depth): (u64, usize)) {
        let stage = stage_of(space);
        let Some(level) = self.arch.levels(stage).get(depth) else {
            return;
        };
        for word in self.entry.words(table, level.table_bytes()).unwrap_or(&[]) {
            let below = self.arch.decode(stage, word.load(Ordering::Relaxed), level);
            if let TableEntry::Table(below) = below {
                self.drop_tables(space, (below, depth + 1));
            }
        }
        self.free_table(space, table, level);
    }

    /// Gives back the tables on the way to `address` that became empty, from level `depth` up.
    pub(super) fn free_empty_tables(&self, space: &AddressSpace, address: u64, depth: usize) {
        let stage = stage_of(space);
        for above in (0..depth).rev() {
            let Some(place) = self.walk(space, address, above) else {
                return;
            };
            let Some(level) = self.arch.levels(stage).get(above + 1) else {
                return;
            };
            if place.depth != above {
                continue;
            }
            let TableEntry::Table(table) = self.arch.decode(stage, place.bits(), place.level)
            else {
                continue;
            };
            let words = self.entry.words(table, level.table_bytes()).unwrap_or(&[]);
            let is_used = |word: &AtomicU64| {
                let bits = word.load(Ordering::Relaxed);
                self.arch.decode(stage, bits, level) != TableEntry::Empty
            };
            if words.iter().any(is_used) {
                return;
            }
            self.replace(&place, self.arch.empty(stage, place.level));
            self.free_table(space, table, level);
        }
    }
}

/// Returns where the leaves of this level begin that map a frame.
fn addresses(slot: &Slot, level: &Level) -> impl Iterator<Item = u64> {
    let (first, shift) = (slot.address.get(), level.shift);
    (0..slot.bytes() >> shift).map(move |index| first + (index << shift))
}
