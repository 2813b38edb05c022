//! Choosing what dies next: leaves first, and what is inside an object before the object.

use super::{Ending, round};
use crate::Visit;
use crate::arch::{Arch, SpaceTag, UserFrame};
use crate::call::Outcome;
use crate::cap::slot::{Role, Slot, SlotRef, Tag, nth};
use crate::object::execution::{Execution, ExecutionRef};
use crate::object::space::{AddressSpace, FUNDS};
use crate::object::thread::Thread;
use crate::object::{interrupt, space, thread, vcpu};
use abi::{Error, ObjectKind, Rights};
use arena::Handle;
use core::mem::offset_of;

/// How often the search goes from a capability into what dies with it: `Tag::level` rises each
/// time but for the last, which is into a thread, a space or an interrupt.
const NESTING: usize = Tag::MAX_LEVEL as usize + 3;

/// Slots of a table that are looked at in one go.
const SCAN: u64 = 256;

/// What the search for the next victim found.
enum Victim {
    /// This slot dies next.
    Slot(SlotRef),
    /// A large table was searched for a while without finding one.
    SearchOn,
}

impl<A: Arch> Visit<'_, A> {
    /// Deletes all that was derived from a capability, and with `inclusive` the capability.
    pub(crate) fn delete(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
        inclusive: bool,
    ) -> Result<Outcome, Error> {
        let target = self.slot_at(thread, thread.frame.argument(0))?;
        if self.slot(target).tag().object_kind().is_none() {
            return Err(Error::NoCapability);
        }
        let ending = self.condemn_some(target, inclusive);
        if self.round.is_empty() && !self.round.flushes() {
            // Nothing dies: done, or a long unmap or search goes on after a look at interrupts.
            return Ok(if ending == Ending::Finish {
                Outcome::ok()
            } else {
                Outcome::Waiting
            });
        }
        Ok(self.begin_round(caller, ending))
    }

    /// Condemns up to a batch of slots; says whether the target's turn is over.
    fn condemn_some(&self, target: SlotRef, inclusive: bool) -> Ending {
        while !self.round.is_full() {
            if !inclusive && !self.has_children(target) {
                return Ending::Finish;
            }
            let Victim::Slot(victim) = self.find_victim(target) else {
                return Ending::Restart;
            };
            if !self.condemn(victim) {
                return Ending::Restart;
            }
            if victim == target {
                return Ending::Finish;
            }
        }
        Ending::Restart
    }

    /// Returns whether a slot has descendants.
    fn has_children(&self, slot: SlotRef) -> bool {
        self.first_child(self.slot(slot)).is_some()
    }

    /// Returns the slot that has to die next for `target` to die.
    fn find_victim(&self, target: SlotRef) -> Victim {
        let mut at = target;
        for _ in 0..NESTING {
            at = self.first_leaf(at);
            match self.inner_slot(at) {
                Ok(Some(inner)) => at = inner,
                Ok(None) => return Victim::Slot(at),
                Err(SearchOn) => return Victim::SearchOn,
            }
        }
        unreachable!("levels end the search")
    }

    /// Returns a filled slot inside the object that dies with `slot`, if there is another than
    /// `slot` itself: the first process's table lies in itself.
    fn inner_slot(&self, slot: SlotRef) -> Result<Option<SlotRef>, SearchOn> {
        let holder = self.slot(slot);
        let tag = holder.tag();
        if !tag.original() {
            return Ok(None);
        }
        let (offset, count) = match tag.object_kind() {
            Some(ObjectKind::Thread) => (offset_of!(Thread<A>, slots), thread::SLOTS),
            Some(ObjectKind::Vcpu) => (offset_of!(vcpu::Vcpu<A>, slots), vcpu::SLOTS),
            Some(ObjectKind::Space) => (offset_of!(space::Space, funds), FUNDS),
            Some(ObjectKind::GuestSpace) => (offset_of!(space::GuestSpace, funds), FUNDS),
            Some(ObjectKind::Interrupt) => (offset_of!(interrupt::Interrupt, binding), 1),
            Some(ObjectKind::CapTable) => return self.search_table(slot, holder),
            _ => return Ok(None),
        };
        let first = holder.object.get() + offset as u64;
        let mut inner = (0..count as u64).filter_map(|index| nth(first, index));
        Ok(inner.find(|inner| self.is_filled(*inner)))
    }

    /// Returns whether a slot holds a capability.
    fn is_filled(&self, slot: SlotRef) -> bool {
        self.slot(slot).tag().object_kind().is_some()
    }

    /// Searches a table, which nobody can fill any more, for a filled slot.
    fn search_table(&self, own: SlotRef, holder: &Slot) -> Result<Option<SlotRef>, SearchOn> {
        let tag = holder.tag();
        if tag.rights() != Rights::new() {
            holder.set_tag(tag.with_rights(Rights::new()));
            holder.progress.set(0);
        }
        let end = 1_u64 << tag.order();
        let stop = end.min(holder.progress.get() + SCAN);
        while holder.progress.get() < stop {
            if let Some(slot) = nth(holder.object.get(), holder.progress.get())
                && slot != own
                && self.is_filled(slot)
            {
                return Ok(Some(slot));
            }
            holder.progress.add(1);
        }
        if stop < end { Err(SearchOn) } else { Ok(None) }
    }

    /// Takes a slot out of the tree and marks it as dying; `false` where a mapping is so large that
    /// the unmapping has to go on later.
    fn condemn(&self, victim: SlotRef) -> bool {
        let slot = self.slot(victim);
        let tag = slot.tag();
        if tag.mapped() && !self.unmap_some(slot) {
            return false;
        }
        let previous = slot.previous.get();
        self.unlink(slot);
        if let Some(untyped) = self.childless_untyped(previous) {
            self.free_untyped(untyped);
        }
        slot.set_tag(tag.with_kind(Tag::DYING));
        self.round.add(victim, tag);
        self.prepare(victim, slot, tag);
        true
    }

    /// Takes a binding, which has no descendants, out of the tree and marks it as dying.
    pub(crate) fn condemn_binding(&self, place: SlotRef) {
        self.condemn(place);
    }

    /// Makes all memory of an Untyped without children available again when the round is over.
    fn free_untyped(&self, untyped: &Slot) {
        if untyped.tag().objects() {
            self.round.release(
                untyped.object.get(),
                untyped.badge.get().next_multiple_of(4096),
            );
            untyped.set_tag(untyped.tag().with_objects(false));
        }
        untyped.badge.set(0);
        untyped.space.set(0);
    }

    /// Notes what the round has to do beside retiring the slot.
    fn prepare(&self, victim: SlotRef, slot: &Slot, tag: Tag) {
        match (tag.role(), tag.object_kind()) {
            (Role::Fund, _) => {
                let owner = self.owner_of(victim.address());
                if let Some(owner) = Handle::from_address(owner) {
                    self.end_space(self.space(owner));
                }
            }
            (Role::Table, Some(ObjectKind::Space | ObjectKind::GuestSpace)) if tag.original() => {
                if let Some(space) = Handle::from_address(slot.object.get()) {
                    self.end_space(self.space(space));
                }
            }
            (
                Role::Table,
                Some(ObjectKind::Thread | ObjectKind::Vcpu | ObjectKind::Notification),
            ) if tag.original() => self.round.drain_inboxes(),
            _ => {}
        }
    }

    /// Gives a space an identity that no space had before.
    pub(crate) fn identify_anew(&self, space: &AddressSpace) {
        self.identities.add(1);
        space.identity.set(self.identities.get());
    }

    /// Takes a space's tables away: nothing is mapped in it any more.
    fn end_space(&self, space: &AddressSpace) {
        let [last, others] = &space.free;
        let fund = [&space.fund_next, &space.fund_end];
        for word in [&space.root, &space.word, last, others]
            .into_iter()
            .chain(fund)
        {
            word.set(0);
        }
        // Mappings that capabilities remember are those of the space before.
        self.identify_anew(space);
        if space.is_guest.get() != 0 {
            self.round.flush_guests();
        } else {
            self.round.flush_space(SpaceTag(space.tag.get()));
        }
    }
}

/// A large table was searched for a while without finding a filled slot.
struct SearchOn;

/// Where the execution lies in the objects that have one: at their start.
const _: () = assert!(size_of::<Execution>() <= 256 && round::BATCH <= 64);
