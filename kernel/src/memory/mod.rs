//! Address spaces: funding, mapping, unmapping, protecting, and making them current.

mod map;
mod protect;
mod tables;
mod unmap;

use crate::Visit;
use crate::arch::{Arch, Level, SpaceTag, Stage, UserFrame};
use crate::call::Outcome;
use crate::cap::right::CONTROL;
use crate::cap::slot::{Cap, Role, SlotRef, nth};
use crate::cap::table;
use crate::core_state::CoreState;
use crate::delete::Ending;
use crate::object::execution::ExecutionRef;
use crate::object::space::{AddressSpace, GuestSpace, Space};
use crate::object::thread::Thread;
use abi::{Error, ObjectKind, Rights};
use arena::Handle;
use core::mem::offset_of;
use core::sync::atomic::Ordering;

/// Instructions, about, that changing or clearing a leaf costs.
const LEAF: u64 = 100;
/// Instructions, about, that writing a leaf costs where nothing was.
pub(crate) const NEW_LEAF: u64 = 30;

/// What both kinds of space have is where they begin.
const _: () = assert!(offset_of!(Space, space) == 0 && offset_of!(GuestSpace, space) == 0);

/// Words of the set of space tags in use.
pub const TAG_WORDS: usize = 64;

/// Returns which stage a space is.
pub(crate) fn stage_of(space: &AddressSpace) -> Stage {
    if space.is_guest.get() == 0 {
        Stage::User
    } else {
        Stage::Guest
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Returns the space of either kind that slot address `address` names, with right `control`.
    pub(crate) fn any_space(
        &self,
        thread: &Thread<A>,
        address: u64,
    ) -> Result<Handle<AddressSpace>, Error> {
        let slot = self.slot(self.slot_at(thread, address)?);
        let found = slot.tag().object_kind();
        let is_guest = |kind: &ObjectKind| *kind == ObjectKind::GuestSpace;
        let kind = found.filter(is_guest).unwrap_or(ObjectKind::Space);
        table::check(slot, kind, CONTROL)?;
        Handle::from_address(slot.object.get()).ok_or(Error::NoCapability)
    }

    /// Gives a space untyped memory for its tables.
    pub(crate) fn fund(&self, caller: ExecutionRef, thread: &Thread<A>) -> Result<Outcome, Error> {
        let handle = self.any_space(thread, thread.frame.argument(0))?;
        let space = self.space(handle);
        let from = self.slot_at(thread, thread.frame.argument(1))?;
        let untyped = self.slot(from);
        let tag = table::check(untyped, ObjectKind::Untyped, CONTROL)?;
        if tag.device() {
            return Err(Error::BadArgument);
        }
        if self.first_child(untyped).is_some() {
            return Err(Error::HasChildren);
        }
        if untyped.progress.get() != 0 {
            self.release_some(untyped);
            return Ok(self.begin_round(caller, Ending::Restart));
        }
        let place = self.free_fund(handle).ok_or(Error::TableFull)?;
        let (base, length) = (untyped.object.get(), untyped.bytes());
        let root = self.arch.levels(stage_of(space)).first();
        let root_bytes = root.map_or(0, Level::table_bytes);
        if space.root.get() == 0 && base.next_multiple_of(root_bytes) + root_bytes > base + length {
            return Err(Error::OutOfMemory);
        }
        let fund = Cap::of(untyped).derive(Rights::new(), Role::Fund);
        self.insert_child(from, place, &fund)?;
        untyped.badge.set(length);
        untyped.set_tag(tag.with_objects(true));
        space.fund_next.set(base);
        space.fund_end.set(base + length);
        self.make_root(space);
        Ok(Outcome::ok())
    }

    /// Returns an empty fund slot of a space.
    fn free_fund(&self, space: Handle<AddressSpace>) -> Option<SlotRef> {
        let first = space.address() + offset_of!(Space, funds) as u64;
        let funds = crate::object::space::FUNDS as u64;
        let mut slots = (0..funds).filter_map(|index| nth(first, index));
        slots.find(|slot| self.slot(*slot).tag().is_empty())
    }

    /// Makes the root table of a space; `None` where it has one, or no memory for one.
    pub(crate) fn make_root(&self, space: &AddressSpace) -> Option<()> {
        let stage = stage_of(space);
        let levels = self.arch.levels(stage).first();
        let level = levels.filter(|_| space.root.get() == 0)?;
        let root = self.allocate_table(space, level)?;
        if stage == Stage::User {
            let words = self.entry.words(root, level.table_bytes())?;
            self.arch.initialise_root(words);
        }
        space.root.set(root);
        let tag = SpaceTag(space.tag.get());
        space.word.set(self.arch.space_word(Some((root, tag))));
        Some(())
    }

    /// Returns how many more spaces can be tagged.
    pub(crate) fn tags_left(&self) -> u64 {
        let used: u32 = self.tags.iter().map(|word| word.get().count_ones()).sum();
        // Tag 0 is the kernel's own, whether it was marked already or not.
        let marked = self.tags.first().map_or(0, |word| word.get() & 1);
        let limit = self.arch.space_tags().min(TAG_WORDS as u64 * 64) - 1;
        (limit + marked).saturating_sub(u64::from(used))
    }

    /// Takes a space tag.
    pub(crate) fn take_tag(&self) -> Option<SpaceTag> {
        let limit = self.arch.space_tags();
        for (index, word) in self.tags.iter().enumerate() {
            let free = !word.get();
            let tag = index as u64 * 64 + u64::from(free.trailing_zeros());
            if free != 0 {
                // Tag 0 is the kernel's own.
                let tag = if tag == 0 { 1 } else { tag };
                word.set(word.get() | 1 << (tag % 64) | u64::from(index == 0));
                return (tag < limit).then_some(SpaceTag(tag));
            }
        }
        None
    }

    /// Gives the tag of a space that died back.
    pub(crate) fn free_tag(&self, space: u64) {
        let space = Handle::from_address(space);
        let tag = space.map_or(u64::MAX, |space| self.space(space).tag.get());
        let index = usize::try_from(tag / 64).unwrap_or(TAG_WORDS);
        if let Some(word) = self.tags.get(index) {
            word.set(word.get() & !(1 << (tag % 64)));
        }
    }

    /// Makes the space of the execution that runs next current.
    pub(crate) fn load_current_space(&self, core: &CoreState, next: Option<ExecutionRef>) {
        let next = next.filter(|next| !self.execution(*next).is_vcpu());
        let Some(next) = next else { return };
        let address = self.thread(next).space().object.get();
        let space = Handle::from_address(address);
        let space = space.filter(|_| core.loaded_space.get() != address);
        let Some(space) = space else { return };
        let space = self.space(space);
        core.loaded_space.set(address);
        let own = 1 << self.entry.core();
        if space.cores.shared().fetch_or(own, Ordering::SeqCst) & own == 0 {
            // Whoever maps something just now does not know of this core yet.
            space.unaware.shared().fetch_or(own, Ordering::SeqCst);
        }
        self.arch.load_space(space.word.get());
    }

    /// Returns whether a thread's space has tables, so that it can run.
    pub(crate) fn has_space(&self, item: ExecutionRef) -> bool {
        let slot = self.thread(item).space();
        let is_one = slot.tag().object_kind() == Some(ObjectKind::Space);
        let space = Handle::<AddressSpace>::from_address(slot.object.get());
        space.is_some_and(|space| is_one && self.space(space).root.get() != 0)
    }
}
