//! Choosing what dies next: leaves first, and what is inside an object before the object.

use super::{Ending, round};
use crate::Visit;
use crate::arch::{Arch, SpaceTag, UserFrame};
use crate::call::Outcome;
use crate::cap::slot::{Role, Slot, SlotRef, Tag, nth};
use crate::object::execution::{Execution, ExecutionRef};
use crate::object::space::{AddressSpace, FUNDS};
use crate::object::thread::Thread;
use crate::object::{interrupt, space, vcpu};
use abi::{Error, ObjectKind, PAGE_SIZE, Rights};
use arena::Handle;
use core::mem::offset_of;

/// How often the search goes from a capability into what dies with it: `Tag::level` rises each
/// time but for the last, which is into a vCPU, a space or an interrupt.
const NESTING: usize = Tag::MAX_LEVEL as usize + 3;

/// Instructions, about, that the end of one slot costs, in all parts of a round.
const END: u64 = 750;
/// Instructions, about, that a look at a slot costs.
const LOOK: u64 = 50;
/// The most bytes that one step turns back into raw pages.
const RELEASE_STEP: u64 = 128 * PAGE_SIZE;
/// Instructions, about, that each of those pages costs.
const RELEASED: u64 = 8;

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
        if !self.round.is_needed() {
            // Nothing dies: done, or a long unmap or search goes on after a look at interrupts.
            return Ok(ending.outcome());
        }
        Ok(self.begin_round(caller, ending))
    }

    /// Condemns up to a batch of slots; says whether the target's turn is over. The search goes from
    /// capabilities to those that were derived from them, from the last of those into its object, and
    /// so on; when one dies, it goes on where that was.
    fn condemn_some(&self, target: SlotRef, inclusive: bool) -> Ending {
        let (mut at, mut first) = (target, target);
        // The capabilities into whose objects the search went, and the first slots of those before.
        let mut outer = [(target, target); NESTING];
        let mut depth = 0;
        while inclusive || self.first_child(self.slot(target)).is_some() {
            at = self.first_leaf(at);
            let slot = self.slot(at);
            match self.inner_slot(at, slot) {
                Err(SearchOn) => return Ending::Restart,
                Ok(Some(inner)) => {
                    let Some(place) = outer.get_mut(depth) else {
                        unreachable!("levels end the search");
                    };
                    *place = (at, first);
                    depth += 1;
                    (at, first) = (inner, inner);
                    continue;
                }
                Ok(None) => {}
            }
            if !self.condemn_bindings(slot) {
                return Ending::Restart;
            }
            let before = slot.previous.get();
            if !self.condemn(at, slot) {
                return Ending::Restart;
            }
            match before {
                _ if at == target => return Ending::Finish,
                Some(before) if at != first => at = before,
                _ => {
                    depth = depth.saturating_sub(1);
                    (at, first) = outer.get(depth).copied().unwrap_or((target, target));
                }
            }
            if self.spend(END) || self.round.is_full() {
                return Ending::Restart;
            }
        }
        Ending::Finish
    }

    /// Condemns what is bound to a thread that dies with `slot`: all in one round with the thread, which
    /// may be the caller, and makes no call again without them. `false` where that is the next round.
    fn condemn_bindings(&self, holder: &Slot) -> bool {
        let (tag, object) = (holder.tag(), holder.object.get());
        if !tag.original() || tag.object_kind() != Some(ObjectKind::Thread) {
            return true;
        }
        let Some(item) = ExecutionRef::from_address(object).filter(|_| self.round.is_empty())
        else {
            return false;
        };
        let first = object + offset_of!(Thread<A>, slots) as u64;
        for (index, slot) in (0..).zip(&self.thread(item).slots) {
            let tag = slot.tag();
            match (tag.object_kind(), tag.role()) {
                (None, _) => {}
                (_, Role::Budget | Role::Notification) => {
                    if let Some(binding) = nth(first, index) {
                        self.condemn(binding, slot);
                    }
                }
                // No round has anything to do about the others, and nobody fills them again.
                _ => {
                    self.unlink(slot);
                    slot.set_tag(Tag::new());
                }
            }
        }
        true
    }

    /// Returns a filled slot inside the object that dies with `slot`, if there is another than
    /// `slot` itself: the first process's table lies in itself. Nobody can fill one any more; the
    /// search goes on where it was the last time.
    fn inner_slot(&self, slot: SlotRef, holder: &Slot) -> Result<Option<SlotRef>, SearchOn> {
        let tag = holder.tag();
        let (offset, count) = match tag.object_kind().filter(|_| tag.original()) {
            Some(ObjectKind::CapTable) => (0, 1 << tag.order()),
            Some(ObjectKind::Vcpu) => (offset_of!(vcpu::Vcpu<A>, slots), vcpu::SLOTS),
            Some(ObjectKind::Space) => (offset_of!(space::Space, funds), FUNDS),
            Some(ObjectKind::GuestSpace) => (offset_of!(space::GuestSpace, funds), FUNDS),
            Some(ObjectKind::Interrupt) => (offset_of!(interrupt::Interrupt, binding), 1),
            _ => return Ok(None),
        };
        if tag.rights() != Rights::new() {
            holder.set_tag(tag.with_rights(Rights::new()));
            holder.progress.set(0);
        }
        let first = holder.object.get() + offset as u64;
        while holder.progress.get() < count as u64 {
            if let Some(inner) = nth(first, holder.progress.get())
                && inner != slot
                && self.is_filled(inner)
            {
                return Ok(Some(inner));
            }
            holder.progress.add(1);
            if self.spend(LOOK) {
                return Err(SearchOn);
            }
        }
        Ok(None)
    }

    /// Returns whether a slot holds a capability.
    fn is_filled(&self, slot: SlotRef) -> bool {
        self.slot(slot).tag().object_kind().is_some()
    }

    /// Takes a slot out of the tree and marks it as dying; `false` where a mapping, or memory, is so
    /// large that taking it away has to go on later.
    fn condemn(&self, victim: SlotRef, slot: &Slot) -> bool {
        let tag = slot.tag();
        if tag.mapped() && !self.unmap_some(slot) || !self.release_some(slot) {
            return false;
        }
        if let Some(untyped) = self.unlink(slot) {
            self.free_untyped(untyped);
        }
        slot.set_tag(tag.with_kind(Tag::DYING));
        self.round.add(victim, tag);
        self.prepare(victim, slot, tag);
        true
    }

    /// Takes a binding, which has no descendants, out of the tree and marks it as dying.
    pub(crate) fn condemn_binding(&self, place: SlotRef) {
        self.condemn(place, self.slot(place));
    }

    /// Makes all memory of an Untyped without children available again: what had objects in it as far
    /// as a step goes when the round is over, and the rest when it is needed.
    fn free_untyped(&self, untyped: &Slot) {
        if untyped.tag().objects() {
            let used = untyped.badge.get().next_multiple_of(PAGE_SIZE);
            untyped.progress.set(used);
            untyped.set_tag(untyped.tag().with_objects(false));
            self.release_some(untyped);
        }
        untyped.badge.set(0);
        untyped.space.set(0);
    }

    /// Lets the next round turn memory of an Untyped that had objects in it back into raw pages; `false`
    /// where there is more for another one.
    pub(crate) fn release_some(&self, slot: &Slot) -> bool {
        if slot.tag().object_kind() != Some(ObjectKind::Untyped) {
            return true;
        }
        let left = slot.progress.get();
        let step = left.min(RELEASE_STEP);
        if step != 0 {
            slot.progress.set(left - step);
            self.round.release(slot.object.get() + left - step, step);
            self.spend(step / PAGE_SIZE * RELEASED);
        }
        step == left
    }

    /// Notes what the round has to do beside retiring the slot.
    fn prepare(&self, victim: SlotRef, slot: &Slot, tag: Tag) {
        use ObjectKind::{GuestSpace, Notification, Space, Thread, Vcpu};
        let space = match (tag.role(), tag.object_kind()) {
            (Role::Fund, _) => self.owner_of(victim.address()),
            (Role::Table, Some(kind)) if tag.original() => match kind {
                Space | GuestSpace => slot.object.get(),
                Thread | Vcpu | Notification => return self.round.drain_inboxes(),
                _ => return,
            },
            _ => return,
        };
        if let Some(space) = Handle::from_address(space) {
            self.end_space(self.space(space));
        }
    }

    /// Gives a space an identity that no space had before.
    pub(crate) fn identify_anew(&self, space: &AddressSpace) {
        self.identities.add(1);
        space.identity.set(self.identities.get());
    }

    /// Takes a space's tables away: nothing is mapped in it any more.
    fn end_space(&self, space: &AddressSpace) {
        let words = [&space.root, &space.word, &space.fund_next, &space.fund_end];
        for word in words.into_iter().chain(&space.free) {
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

/// An object was searched for a while without finding a filled slot.
struct SearchOn;

/// Where the execution lies in the objects that have one: at their start.
const _: () = assert!(size_of::<Execution>() <= 256 && round::BATCH <= 64);
