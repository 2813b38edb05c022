//! Mapping frames.

use super::{NEW_LEAF, stage_of};
use crate::Visit;
use crate::arch::{Arch, Level, LiveEntry, Memory, SpaceTag, Stage, TableEntry, UserFrame};
use crate::call::Outcome;
use crate::cap::slot::{FREEING, Slot};
use crate::cap::table;
use crate::delete::Ending;
use crate::object::execution::ExecutionRef;
use crate::object::space::{AddressSpace, Space};
use crate::object::thread::Thread;
use crate::visit::CURRENT;
use abi::fault::FaultKind;
use abi::{Error, ObjectKind, Rights};
use arena::Handle;
use core::sync::atomic::{Ordering, fence};

/// Returns the access that bits of a register ask for. Writing and executing need reading: not
/// every machine can tell them apart.
pub(super) fn access_of(bits: u64) -> Result<Rights, Error> {
    let asked = Rights::from_bits(u16::try_from(bits).map_err(|_| Error::BadArgument)?);
    let all = Rights::new()
        .with_read(true)
        .with_write(true)
        .with_execute(true);
    if all.covers(asked) && (asked.read() || asked == Rights::new()) {
        Ok(asked)
    } else {
        Err(Error::BadArgument)
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Maps a frame, from its first page on: its slot says how far that came. Where there is no
    /// going on, the mapping is taken away again before the error is told.
    pub(crate) fn map(&self, caller: ExecutionRef, thread: &Thread<A>) -> Result<Outcome, Error> {
        let slot = self.slot(self.slot_at(thread, thread.frame.argument(0))?);
        let access = access_of(thread.frame.argument(3))?;
        if access == Rights::new() {
            return Err(Error::BadArgument);
        }
        let tag = table::check(slot, ObjectKind::Frame, access)?;
        let handle = self.any_space(thread, thread.frame.argument(1))?;
        let space = self.space(handle);
        let address = thread.frame.argument(2);
        let wanted = [handle.address(), address, space.identity.get()];
        // One by one: an array is compared as bytes, by code that else only runs at boot.
        let mut places = wanted
            .iter()
            .zip([&slot.space, &slot.address, &slot.progress]);
        let goes_on = tag.mapped() && places.all(|(word, place)| place.get() == *word);
        if goes_on && let Some(error) = Error::from_number(u64::from(tag.refusal())) {
            return self.take_back(caller, (slot, space), error);
        }
        let is_whole = slot.badge.get() == slot.bytes();
        if self.mapped_space(slot).is_some() && (is_whole || !goes_on) {
            return Err(Error::AlreadyMapped);
        }
        let depth = self.depth_at(stage_of(space), address, tag.order())?;
        if !goes_on {
            slot.begin_mapping(tag, wanted, 0);
        }
        let mapped = self.map_some(space, slot, (depth, access));
        self.tell_unaware(space);
        match mapped {
            Ok(true) => Ok(Outcome::ok()),
            Ok(false) => Ok(Outcome::Waiting),
            Err(error) => {
                Self::refuse(slot, error);
                if error == Error::NeedsMemory {
                    slot.badge.set(slot.badge.get() | FREEING);
                }
                self.take_back(caller, (slot, space), error)
            }
        }
    }

    /// Notes those cores that may remember the absence of what was mapped.
    #[inline(always)]
    pub(crate) fn tell_unaware(&self, space: &AddressSpace) {
        let others = self.others_of(space);
        if others != 0 {
            space.unaware.shared().fetch_or(others, Ordering::SeqCst);
        }
    }

    /// Returns the other cores that may have translations of a space: those that load it from now on
    /// see what its tables are now.
    #[inline(always)]
    pub(crate) fn others_of(&self, space: &AddressSpace) -> u64 {
        fence(Ordering::SeqCst);
        space.cores.get() & !(1 << self.entry.core())
    }

    /// Takes away what a map did, in steps, and answers `error` when no core remembers any of it.
    fn take_back(
        &self,
        caller: ExecutionRef,
        (slot, space): (&Slot, &AddressSpace),
        error: Error,
    ) -> Result<Outcome, Error> {
        if slot.badge.get() == 0 {
            slot.set_tag(slot.tag().with_mapped(false));
            return Err(error);
        }
        self.unmap_some(slot);
        Ok(self.shoot_down(caller, space, Ending::Restart))
    }

    /// Writes leaves of level `depth` where a map stopped; `false` where there are more.
    fn map_some(
        &self,
        space: &AddressSpace,
        slot: &Slot,
        (depth, access): (usize, Rights),
    ) -> Result<bool, Error> {
        let (mut done, end) = (slot.badge.get() & !FREEING, slot.bytes());
        loop {
            let place = self.walk(space, slot.address.get() + done, depth);
            let place = place.ok_or(Error::NeedsMemory)?;
            if place.depth != depth {
                self.make_table(space, &place)?;
                if self.spend(0) {
                    // The tables so far are empty: nothing else leads to them.
                    slot.badge.set(done | FREEING);
                    return Ok(false);
                }
                continue;
            }
            let (mut entry, index) = (*place, place.level.index(place.address));
            let words = self.entry.words(place.table, place.level.table_bytes());
            let words = words.and_then(|words| words.get(index..));
            for word in words.ok_or(Error::NeedsMemory)? {
                (entry.word, entry.address) = (word, slot.address.get() + done);
                if self.found(&entry) != TableEntry::Empty {
                    return Err(Error::AlreadyMapped);
                }
                let memory = Memory {
                    physical: slot.object.get() + done,
                    access,
                    device: slot.tag().device(),
                };
                self.write_leaf(space, &entry, memory);
                done += place.bytes();
                slot.badge.set(done);
                if self.spend(NEW_LEAF) || done == end {
                    return Ok(done == end);
                }
            }
        }
    }

    /// Maps memory by an entry that is empty.
    #[inline(always)]
    pub(crate) fn write_leaf(&self, space: &AddressSpace, entry: &LiveEntry<'_>, memory: Memory) {
        let leaf = self.arch.leaf(entry.stage, entry.level, memory);
        self.arch.replace(entry, leaf);
        if entry.stage == Stage::User {
            self.arch
                .flush_page(SpaceTag(space.tag.get()), entry.address);
        }
    }

    /// Checks where a block would be mapped, and returns the level of its leaves: the first one
    /// whose entries map no more than the block.
    pub(crate) fn depth_at(&self, stage: Stage, address: u64, order: u8) -> Result<usize, Error> {
        let levels = self.arch.levels(stage);
        let fits = |(_, level): &(usize, &Level)| level.leaf && level.shift <= u32::from(order);
        let found = levels.iter().enumerate().find(fits);
        let (depth, level) = found.ok_or(Error::Misaligned)?;
        if !address.is_multiple_of(1 << level.shift) {
            return Err(Error::Misaligned);
        }
        let root = levels.first().ok_or(Error::Unsupported)?;
        let end = match stage {
            Stage::User => A::USER_END,
            Stage::Guest => 1 << (root.shift + root.bits),
        };
        match address.checked_add(1 << order) {
            Some(last) if last <= end => Ok(depth),
            _ => Err(Error::OutOfRange),
        }
    }

    /// Returns the space that a frame is mapped in, part of it at least, if that space still lives.
    pub(crate) fn mapped_space(&self, slot: &Slot) -> Option<&AddressSpace> {
        self.space_of_mapped(slot).filter(|_| slot.tag().mapped())
    }

    /// Does what [`Visit::mapped_space`] does for a slot whose tag says that it is mapped.
    pub(crate) fn space_of_mapped(&self, slot: &Slot) -> Option<&AddressSpace> {
        let handle = Handle::<AddressSpace>::from_address(slot.space.get())?;
        let space = self.entry.part::<AddressSpace, A>(handle)?;
        let is_same = space.identity.get() == slot.progress.get();
        (is_same && slot.badge.get() != 0).then_some(space)
    }

    /// Returns whether a fault of a thread comes from an absence that its core remembers: somebody
    /// mapped the page on another core. Only a core that may remember one looks at the tables, and
    /// forgets all of that space then.
    pub(crate) fn is_spurious(&self, thread: &Thread<A>, kind: FaultKind, address: u64) -> bool {
        let need = match kind {
            FaultKind::Load => Rights::new().with_read(true),
            FaultKind::Store => Rights::new().with_write(true),
            FaultKind::Fetch => Rights::new().with_execute(true),
            _ => return false,
        };
        let address_of_space = thread.space().object.get();
        let Some(Space { space: [space], .. }) = self.entry.again(address_of_space, CURRENT) else {
            return false;
        };
        let (own, unaware) = (1 << self.entry.core(), space.unaware.shared());
        if address >= A::USER_END || unaware.load(Ordering::Relaxed) & own == 0 {
            return false;
        }
        unaware.fetch_and(!own, Ordering::SeqCst);
        self.arch.flush_space(SpaceTag(space.tag.get()));
        let place = self.walk(space, address, usize::MAX);
        let found = place.map(|place| self.found(&place));
        matches!(found, Some(TableEntry::Leaf { access, .. }) if access.covers(need))
    }
}
