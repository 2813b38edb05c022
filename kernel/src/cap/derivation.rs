//! The derivation tree: who was made from whom.
//!
//! The tree is a doubly linked list in pre-order in which each slot knows its depth: the
//! descendants of a slot are the slots behind it that are deeper, up to the first that is not.
//! All of this is done under the capability lock.

use super::slot::{Cap, Slot, SlotRef};
use crate::Visit;
use crate::arch::Arch;
use abi::{Error, ObjectKind};

/// The greatest depth of the tree.
pub const MAX_DEPTH: u8 = 64;

impl<A: Arch> Visit<'_, A> {
    /// Puts `cap` into the empty slot `child`, as the newest child of `parent`.
    ///
    /// # Errors
    ///
    /// [`Error::TreeTooDeep`]; nothing changed then.
    pub(crate) fn insert_child(
        &self,
        parent: SlotRef,
        child: SlotRef,
        cap: &Cap,
    ) -> Result<(), Error> {
        let depth = self.slot(parent).tag().depth();
        if depth >= MAX_DEPTH {
            return Err(Error::TreeTooDeep);
        }
        self.insert_behind(
            parent,
            child,
            &Cap {
                tag: cap.tag.with_depth(depth + 1),
                ..*cap
            },
        );
        Ok(())
    }

    /// Puts `cap` into the empty slot `to` right behind `slot` in tree order: as its child where the
    /// capability is one deeper, as its sibling where `slot` has no descendants and the depth is the
    /// same.
    pub(crate) fn insert_behind(&self, slot: SlotRef, to: SlotRef, cap: &Cap) {
        let (before, filled) = (self.slot(slot), self.slot(to));
        let next = before.next.get();
        filled.previous.set(Some(slot));
        filled.next.set(next);
        before.next.set(Some(to));
        if let Some(next) = next {
            self.slot(next).previous.set(Some(to));
        }
        filled.fill(cap);
    }

    /// Takes `slot`, which has no descendants, out of the tree.
    pub(crate) fn unlink(&self, slot: &Slot) {
        let (previous, next) = (slot.previous.take(), slot.next.take());
        if let Some(previous) = previous {
            self.slot(previous).next.set(next);
        }
        if let Some(next) = next {
            self.slot(next).previous.set(previous);
        }
    }

    /// Moves the capability in `from` to the empty slot `to`, descendants and mapping included.
    pub(crate) fn move_slot(&self, from: SlotRef, to: SlotRef) {
        let (source, target) = (self.slot(from), self.slot(to));
        target.object.set(source.object.get());
        target.badge.set(source.badge.get());
        target.space.set(source.space.get());
        target.address.set(source.address.get());
        target.progress.set(source.progress.get());
        let (previous, next) = (source.previous.take(), source.next.take());
        target.previous.set(previous);
        target.next.set(next);
        if let Some(previous) = previous {
            self.slot(previous).next.set(Some(to));
        }
        if let Some(next) = next {
            self.slot(next).previous.set(Some(to));
        }
        target.set_tag(source.tag());
    }

    /// Returns the first child of `slot`, if it has any descendant.
    pub(crate) fn first_child(&self, slot: &Slot) -> Option<SlotRef> {
        let next = slot.next.get()?;
        let deeper = self.slot(next).tag().depth() > slot.tag().depth();
        deeper.then_some(next)
    }

    /// Returns a descendant of `slot` that has none itself, or `slot` where it has none. Takes at most
    /// [`MAX_DEPTH`] steps.
    pub(crate) fn first_leaf(&self, slot: SlotRef) -> SlotRef {
        let (mut leaf, mut found) = (slot, self.slot(slot));
        let mut depth = found.tag().depth();
        while let Some(next) = found.next.get() {
            found = self.slot(next);
            let deeper = found.tag().depth();
            if deeper <= depth {
                break;
            }
            (leaf, depth) = (next, deeper);
        }
        leaf
    }

    /// Returns the Untyped that lost its last child when the slot behind `previous` was unlinked.
    pub(crate) fn childless_untyped(&self, previous: Option<SlotRef>) -> Option<&Slot> {
        let slot = self.slot(previous?);
        let is_untyped = slot.tag().object_kind() == Some(ObjectKind::Untyped);
        (is_untyped && self.first_child(slot).is_none()).then_some(slot)
    }
}
