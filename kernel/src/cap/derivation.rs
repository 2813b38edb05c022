//! The derivation tree: who was made from whom.
//!
//! The tree is a doubly linked list in pre-order in which each slot knows its depth: the
//! descendants of a slot are the slots behind it that are deeper, up to the first that is not.
//! All of this is done under the capability lock.

use super::slot::{Cap, Slot, SlotRef};
use crate::arch::Arch;
use crate::object::slot_named;
use abi::{Error, ObjectKind};
use arena::Entry;

/// The greatest depth of the tree.
pub const MAX_DEPTH: u8 = 250;

/// Puts `cap` into the empty slot `child`, as the newest child of `parent`.
///
/// # Errors
///
/// [`Error::TreeTooDeep`]; nothing changed then.
pub fn insert_child<A: Arch>(
    entry: &Entry<'_>,
    parent: SlotRef,
    child: SlotRef,
    cap: &Cap,
) -> Result<(), Error> {
    let depth = slot_named::<A>(entry, parent).tag().depth();
    if depth >= MAX_DEPTH {
        return Err(Error::TreeTooDeep);
    }
    insert_behind::<A>(
        entry,
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
pub fn insert_behind<A: Arch>(entry: &Entry<'_>, slot: SlotRef, to: SlotRef, cap: &Cap) {
    let (before, filled) = (slot_named::<A>(entry, slot), slot_named::<A>(entry, to));
    let next = before.next.get();
    filled.previous.set(Some(slot));
    filled.next.set(next);
    before.next.set(Some(to));
    if let Some(next) = next {
        slot_named::<A>(entry, next).previous.set(Some(to));
    }
    filled.fill(cap);
}

/// Takes `slot`, which has no descendants, out of the tree.
pub fn unlink<A: Arch>(entry: &Entry<'_>, slot: &Slot) {
    let (previous, next) = (slot.previous.take(), slot.next.take());
    if let Some(previous) = previous {
        slot_named::<A>(entry, previous).next.set(next);
    }
    if let Some(next) = next {
        slot_named::<A>(entry, next).previous.set(previous);
    }
}

/// Moves the capability in `from` to the empty slot `to`, descendants and mapping included.
pub fn move_slot<A: Arch>(entry: &Entry<'_>, from: SlotRef, to: SlotRef) {
    let (source, target) = (slot_named::<A>(entry, from), slot_named::<A>(entry, to));
    target.object.set(source.object.get());
    target.badge.set(source.badge.get());
    target.space.set(source.space.get());
    target.address.set(source.address.get());
    target.progress.set(source.progress.get());
    let (previous, next) = (source.previous.take(), source.next.take());
    target.previous.set(previous);
    target.next.set(next);
    if let Some(previous) = previous {
        slot_named::<A>(entry, previous).next.set(Some(to));
    }
    if let Some(next) = next {
        slot_named::<A>(entry, next).previous.set(Some(to));
    }
    target.set_tag(source.tag());
}

/// Returns the first child of `slot`, if it has any descendant.
pub fn first_child<A: Arch>(entry: &Entry<'_>, slot: &Slot) -> Option<SlotRef> {
    let next = slot.next.get()?;
    let deeper = slot_named::<A>(entry, next).tag().depth() > slot.tag().depth();
    deeper.then_some(next)
}

/// Returns a descendant of `slot` that has none itself, or `slot` where it has none. Takes at most
/// [`MAX_DEPTH`] steps.
pub fn first_leaf<A: Arch>(entry: &Entry<'_>, slot: SlotRef) -> SlotRef {
    let mut leaf = slot;
    while let Some(child) = first_child::<A>(entry, slot_named::<A>(entry, leaf)) {
        leaf = child;
    }
    leaf
}

/// Returns the Untyped that lost its last child when the slot behind `previous` was unlinked.
pub fn childless_untyped<'e, A: Arch>(
    entry: &'e Entry<'_>,
    previous: Option<SlotRef>,
) -> Option<&'e Slot> {
    let slot = slot_named::<A>(entry, previous?);
    let is_untyped = slot.tag().object_kind() == Some(ObjectKind::Untyped);
    (is_untyped && first_child::<A>(entry, slot).is_none()).then_some(slot)
}
