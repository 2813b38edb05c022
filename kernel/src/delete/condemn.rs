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
/// time but for the last, which is into a vCPU, a space or an interrupt.
const NESTING: usize = Tag::MAX_LEVEL as usize + 3;

/// Instructions, about, that the end of one slot costs, in all parts of a round.
const END: u64 = 400;
/// Instructions, about, that a look at a slot costs.
const LOOK: u64 = 20;

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
            match self.inner_slot(at) {
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
            if !self.condemn_bindings(at) {
                return Ending::Restart;
            }
            let before = self.slot(at).previous.get();
            if !self.condemn(at) {
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
    fn condemn_bindings(&self, slot: SlotRef) -> bool {
        let tag = self.slot(slot).tag();
        let is_thread = tag.original() && tag.object_kind() == Some(ObjectKind::Thread);
        if is_thread && !self.round.is_empty() {
            return false;
        }
        let first = self.slot(slot).object.get() + offset_of!(Thread<A>, slots) as u64;
        let slots = if is_thread { thread::SLOTS as u64 } else { 0 };
        for binding in (0..slots).filter_map(|index| nth(first, index)) {
            if self.is_filled(binding) {
                self.condemn(binding);
                self.spend(END);
            }
        }
        true
    }

    /// Returns a filled slot inside the object that dies with `slot`, if there is another than
    /// `slot` itself: the first process's table lies in itself. Nobody can fill one any more; the
    /// search goes on where it was the last time.
    fn inner_slot(&self, slot: SlotRef) -> Result<Option<SlotRef>, SearchOn> {
        let holder = self.slot(slot);
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
        words
            .into_iter()
            .chain(&space.free)
            .for_each(|word| word.set(0));
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
