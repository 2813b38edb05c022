//! Mapping frames.

use super::stage_of;
use super::tables::Place;
use crate::Visit;
use crate::arch::{Arch, Level, Memory, SpaceTag, Stage, TableEntry, UserFrame};
use crate::call::Outcome;
use crate::cap::slot::{Slot, Tag};
use crate::cap::table;
use crate::object::space::AddressSpace;
use crate::object::thread::Thread;
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
    /// Maps a frame.
    pub(crate) fn map(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let slot = self.slot(self.slot_at(thread, thread.frame.argument(0))?);
        let access = access_of(thread.frame.argument(3))?;
        if access == Rights::new() {
            return Err(Error::BadArgument);
        }
        let tag = table::check(slot, ObjectKind::Frame, access)?;
        let handle = self.any_space(thread, thread.frame.argument(1))?;
        let space = self.space(handle);
        if tag.mapped() && self.mapped_space(slot).is_some() {
            return Err(Error::AlreadyMapped);
        }
        let address = thread.frame.argument(2);
        let (depth, level) = self.check_place(stage_of(space), address, tag.order())?;
        let end = address + slot.bytes();
        let (mut at, mut row) = (address, None);
        while at < end {
            let made = self.make_row(space, &mut at, (end, depth));
            if made.is_err() {
                let made = (address..=at).step_by(1 << level.shift);
                made.for_each(|at| self.free_empty_tables(space, at, depth));
            }
            row = Some(made?);
        }
        // Most blocks lie in one table, which needs no second walk.
        let row = row.filter(|row| row.address == address);
        self.write_leaves(space, (address, end, depth), row, (slot, tag, access));
        fence(Ordering::SeqCst);
        let others = space.cores.get() & !(1 << self.entry.core());
        if others != 0 {
            space.unaware.shared().fetch_or(others, Ordering::SeqCst);
        }
        slot.space.set(handle.address());
        slot.address.set(address);
        slot.progress.set(space.identity.get());
        slot.set_tag(tag.with_mapped(true));
        Ok(Outcome::ok())
    }

    /// Makes the table for leaves from `at` on, at level `depth`, and goes on to its end or `end`; the
    /// entries have to be empty.
    fn make_row(
        &self,
        space: &AddressSpace,
        at: &mut u64,
        (end, depth): (u64, usize),
    ) -> Result<Place<'_>, Error> {
        let row = self.walk_making(space, *at, depth)?;
        for place in row.row(end) {
            match self.arch.decode(place.stage, place.bits(), place.level) {
                TableEntry::Empty => *at += place.bytes(),
                TableEntry::Table(_) | TableEntry::Leaf { .. } => return Err(Error::AlreadyMapped),
            }
        }
        Ok(row)
    }

    /// Checks where a block would be mapped, and returns the level of its leaves.
    fn check_place(
        &self,
        stage: Stage,
        address: u64,
        order: u8,
    ) -> Result<(usize, &'static Level), Error> {
        let (depth, level) = self.leaf_level(stage, order).ok_or(Error::Misaligned)?;
        if !address.is_multiple_of(1 << level.shift) {
            return Err(Error::Misaligned);
        }
        let root = self.arch.levels(stage).first().ok_or(Error::Unsupported)?;
        let end = match stage {
            Stage::User => A::USER_END,
            Stage::Guest => 1 << (root.shift + root.bits),
        };
        match address.checked_add(1 << order) {
            Some(last) if last <= end => Ok((depth, level)),
            _ => Err(Error::OutOfRange),
        }
    }

    /// Writes the leaves of a frame, whose tables exist.
    fn write_leaves(
        &self,
        space: &AddressSpace,
        (mut address, end, depth): (u64, u64, usize),
        mut row: Option<Place<'_>>,
        (slot, tag, access): (&Slot, Tag, Rights),
    ) {
        let mut memory = Memory {
            physical: slot.object.get(),
            access,
            device: tag.device(),
        };
        while address < end
            && let Some(row) = row.take().or_else(|| self.walk(space, address, depth))
        {
            for place in row.row(end) {
                self.replace(&place, self.arch.leaf(place.stage, place.level, memory));
                if place.stage == Stage::User {
                    self.arch.flush_page(SpaceTag(space.tag.get()), address);
                }
                memory.physical += place.bytes();
                address += place.bytes();
            }
        }
    }

    /// Returns the space that a mapped frame is mapped in, if that space still lives.
    pub(crate) fn mapped_space(&self, slot: &Slot) -> Option<&AddressSpace> {
        let handle = Handle::<AddressSpace>::from_address(slot.space.get())?;
        let space = self.entry.part::<AddressSpace, A>(handle)?;
        (slot.tag().mapped() && space.identity.get() == slot.progress.get()).then_some(space)
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
        let handle = Handle::<AddressSpace>::from_address(thread.space().object.get());
        let Some(space) = handle.and_then(|handle| self.entry.part::<AddressSpace, A>(handle))
        else {
            return false;
        };
        let (own, unaware) = (1 << self.entry.core(), space.unaware.shared());
        if address >= A::USER_END || unaware.load(Ordering::Relaxed) & own == 0 {
            return false;
        }
        unaware.fetch_and(!own, Ordering::SeqCst);
        self.arch.flush_space(SpaceTag(space.tag.get()));
        let place = self.walk(space, address, usize::MAX);
        place.is_some_and(
            |place| match self.arch.decode(Stage::User, place.bits(), place.level) {
                TableEntry::Leaf { access, .. } => access.covers(need),
                TableEntry::Empty | TableEntry::Table(_) => false,
            },
        )
    }
}
