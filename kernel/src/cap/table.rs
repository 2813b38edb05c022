//! Looking capabilities up: kind and rights in one call.
//!
//! What dies with a table (the capabilities in it) and what dies with memory (what was made of it)
//! must not go round in circles. So original CapTables and Untypeds have a *level*: greater than
//! that of the table that they lie in, and not less than that of the memory that they were made of.

use super::right::CONTROL;
use super::slot::{Slot, SlotRef, Tag, nth};
use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::object::KernelObject;
use crate::object::thread::Thread;
use crate::word::Word;
use abi::{Error, ObjectKind, Rights, SlotAddress};
use arena::Handle;

/// Returns slot `index` of a table at `base` with `1 << order` slots.
fn slot_of(base: u64, order: u8, index: u32) -> Option<SlotRef> {
    if index == 0 || u64::from(index) >> order != 0 {
        return None;
    }
    nth(base, u64::from(index))
}

/// Returns the level of an original CapTable or Untyped of at least `level` in a table of level
/// `table`.
///
/// # Errors
///
/// [`Error::TreeTooDeep`].
pub fn level_in(level: u8, table: u8) -> Result<u8, Error> {
    let level = level.max(table + 1);
    (level <= Tag::MAX_LEVEL)
        .then_some(level)
        .ok_or(Error::TreeTooDeep)
}

/// Returns the tag of a slot that holds a capability of `kind` with the rights `need`.
///
/// # Errors
///
/// [`Error::NoCapability`], [`Error::WrongObject`], [`Error::MissingRight`].
#[inline(never)]
pub fn check(slot: &Slot, kind: ObjectKind, need: Rights) -> Result<Tag, Error> {
    let tag = slot.tag();
    match tag.object_kind() {
        None => Err(Error::NoCapability),
        Some(found) if found != kind => Err(Error::WrongObject),
        Some(_) if !tag.rights().covers(need) => Err(Error::MissingRight),
        Some(_) => Ok(tag),
    }
}

/// An object that a call named, and the slot that named it.
pub struct Resolved<'e, T> {
    /// The slot.
    pub slot: &'e Slot,
    /// The object's name.
    pub handle: Handle<T>,
    /// The object.
    pub object: &'e T,
}

impl<A: Arch> Visit<'_, A> {
    /// Returns slot `index` of the thread's own table.
    ///
    /// # Errors
    ///
    /// [`Error::NoCapability`].
    #[inline(never)]
    pub(crate) fn own_slot(&self, thread: &Thread<A>, index: u64) -> Result<&Slot, Error> {
        let table = thread.cap_table();
        let tag = table.tag();
        if tag.object_kind() != Some(ObjectKind::CapTable) {
            return Err(Error::NoCapability);
        }
        let index = u32::try_from(index).map_err(|_| Error::NoCapability)?;
        let slot = slot_of(table.object.get(), tag.order(), index).ok_or(Error::NoCapability)?;
        self.entry.find(slot).ok_or(Error::NoCapability)
    }

    /// Returns the slot that a slot address names, in the thread's own table or in another.
    ///
    /// # Errors
    ///
    /// [`Error::NoCapability`] where there is no such slot; [`Error::WrongObject`] and
    /// [`Error::MissingRight`] where the table is none, or not the thread's to manage.
    pub(crate) fn slot_at(&self, thread: &Thread<A>, address: u64) -> Result<SlotRef, Error> {
        self.place_at(thread, address).map(|(slot, _)| slot)
    }

    /// Returns the slot that a slot address names, and the level of the table that it is in.
    ///
    /// # Errors
    ///
    /// Those of [`slot_at`].
    pub(crate) fn place_at(
        &self,
        thread: &Thread<A>,
        address: u64,
    ) -> Result<(SlotRef, u8), Error> {
        let address = SlotAddress::from_bits(address);
        let table = if address.table == 0 {
            thread.cap_table()
        } else {
            let table = self.own_slot(thread, u64::from(address.table))?;
            check(table, ObjectKind::CapTable, CONTROL)?;
            table
        };
        let tag = table.tag();
        if tag.object_kind() != Some(ObjectKind::CapTable) {
            return Err(Error::NoCapability);
        }
        let slot = slot_of(table.object.get(), tag.order(), address.index);
        Ok((slot.ok_or(Error::NoCapability)?, tag.level()))
    }

    /// Returns the object of type `T` that argument 0, a slot of the thread's own table, names.
    ///
    /// # Errors
    ///
    /// [`Error::NoCapability`], [`Error::WrongObject`], [`Error::MissingRight`].
    #[inline(always)]
    pub(crate) fn resolve<T: KernelObject>(
        &self,
        thread: &Thread<A>,
        need: Rights,
    ) -> Result<Resolved<'_, T>, Error> {
        self.resolved(self.own_slot(thread, thread.frame.argument(0))?, need)
    }

    /// Returns the object of type `T` that argument 0, a slot address, names.
    ///
    /// # Errors
    ///
    /// [`Error::NoCapability`], [`Error::WrongObject`], [`Error::MissingRight`].
    #[inline(always)]
    pub(crate) fn resolve_at<T: KernelObject>(
        &self,
        thread: &Thread<A>,
        need: Rights,
    ) -> Result<Resolved<'_, T>, Error> {
        self.resolved(self.filled_at(thread, thread.frame.argument(0))?, need)
    }

    /// Returns the slot that a slot address names.
    ///
    /// # Errors
    ///
    /// Those of [`slot_at`].
    pub(crate) fn filled_at(&self, thread: &Thread<A>, address: u64) -> Result<&Slot, Error> {
        self.slot_at(thread, address).map(|slot| self.slot(slot))
    }

    /// Checks that an object of core `core` may be used by a thread directly.
    ///
    /// # Errors
    ///
    /// [`Error::WrongCore`].
    pub(crate) fn check_same_core(thread: &Thread<A>, core: &Word) -> Result<(), Error> {
        let is_same = core.get() == thread.execution().core.get();
        is_same.then_some(()).ok_or(Error::WrongCore)
    }

    /// Returns the object of type `T` that `slot` names.
    #[inline(always)]
    pub(crate) fn resolved<'e, T: KernelObject>(
        &'e self,
        slot: &'e Slot,
        need: Rights,
    ) -> Result<Resolved<'e, T>, Error> {
        check(slot, T::OBJECT_KIND, need)?;
        let handle = Handle::from_address(slot.object.get()).ok_or(Error::NoCapability)?;
        let object = self.entry.find(handle).ok_or(Error::NoCapability)?;
        Ok(Resolved {
            slot,
            handle,
            object,
        })
    }
}
