//! Looking at, copying and moving capabilities.

use super::Outcome;
use crate::Kernel;
use crate::arch::{Arch, UserFrame};
use crate::cap::slot::{Cap, Role, Slot, SlotRef, Tag};
use crate::cap::{derivation, table};
use crate::delete::Ending;
use crate::ipc::check_sendable;
use crate::object::execution::ExecutionRef;
use crate::object::slot_named;
use crate::object::thread::Thread;
use abi::{Error, ObjectKind, Rights};
use arena::Entry;

impl<A: Arch> Kernel<A> {
    /// Returns what a capability is.
    pub(crate) fn identify(&self, entry: &Entry<'_>, thread: &Thread<A>) -> Result<Outcome, Error> {
        let address = thread.frame.argument(0);
        if address == 0 {
            let core = thread.execution().core.get();
            return Ok(Outcome::Done([abi::VERSION, core, 0, 0, 0]));
        }
        let slot = slot_named::<A>(entry, table::slot_at(entry, thread, address)?);
        let tag = slot.tag();
        let kind = tag.object_kind().ok_or(Error::NoCapability)?;
        let (badge, size) = match kind {
            ObjectKind::Untyped => (0, slot.bytes() - slot.badge.get()),
            ObjectKind::Frame => (0, u64::from(tag.order())),
            ObjectKind::CapTable => (0, slot.bytes()),
            _ => (slot.badge.get(), 0),
        };
        let rights = u64::from(tag.rights().into_bits());
        Ok(Outcome::Done([
            kind.number(),
            rights,
            badge,
            slot.object.get(),
            size,
        ]))
    }

    /// Returns the empty slot that argument `index` names.
    pub(crate) fn empty_slot(
        &self,
        entry: &Entry<'_>,
        thread: &Thread<A>,
        index: usize,
    ) -> Result<SlotRef, Error> {
        let slot = table::slot_at(entry, thread, thread.frame.argument(index))?;
        if slot_named::<A>(entry, slot).tag().is_empty() {
            Ok(slot)
        } else {
            Err(Error::SlotOccupied)
        }
    }

    /// Copies a capability.
    pub(crate) fn copy(&self, entry: &Entry<'_>, thread: &Thread<A>) -> Result<Outcome, Error> {
        self.copy_with(
            entry,
            thread,
            |cap| Ok(cap.derive(Rights::ALL, Role::Table)),
        )
    }

    /// Copies a capability with fewer rights or a badge.
    pub(crate) fn mint(&self, entry: &Entry<'_>, thread: &Thread<A>) -> Result<Outcome, Error> {
        let bits = u16::try_from(thread.frame.argument(2)).unwrap_or(u16::MAX);
        let (mask, badge) = (Rights::from_bits(bits), thread.frame.argument(3));
        self.copy_with(entry, thread, |cap| {
            let takes_badge = matches!(
                cap.tag.object_kind(),
                Some(ObjectKind::Endpoint | ObjectKind::Notification | ObjectKind::IoPorts)
            );
            if badge != 0 && (cap.badge != 0 || !takes_badge) {
                return Err(Error::BadArgument);
            }
            let cap = cap.derive(mask, Role::Table);
            Ok(if badge == 0 {
                cap
            } else {
                Cap { badge, ..cap }
            })
        })
    }

    /// Copies a capability that `change` changes on the way.
    fn copy_with(
        &self,
        entry: &Entry<'_>,
        thread: &Thread<A>,
        change: impl FnOnce(Cap) -> Result<Cap, Error>,
    ) -> Result<Outcome, Error> {
        let from = table::slot_at(entry, thread, thread.frame.argument(0))?;
        let source = slot_named::<A>(entry, from);
        check_sendable(source)?;
        let to = self.empty_slot(entry, thread, 1)?;
        let cap = change(Cap::of(source))?;
        derivation::insert_child::<A>(entry, from, to, &cap)?;
        Ok(Outcome::ok())
    }

    /// Moves a capability.
    pub(crate) fn move_cap(
        &self,
        entry: &Entry<'_>,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let from = table::slot_at(entry, thread, thread.frame.argument(0))?;
        let source = slot_named::<A>(entry, from);
        if source.tag().object_kind().is_none() {
            return Err(Error::NoCapability);
        }
        let to = self.empty_slot(entry, thread, 1)?;
        let (_, table_level) = table::place_at(entry, thread, thread.frame.argument(1))?;
        let level = self.level_after_move(entry, source, table_level)?;
        derivation::move_slot::<A>(entry, from, to);
        let target = slot_named::<A>(entry, to);
        target.set_tag(target.tag().with_level(level));
        let emptied = slot_named::<A>(entry, from);
        emptied.set_tag(Tag::new().with_kind(Tag::DYING));
        self.round.add(from, Tag::new());
        Ok(self.begin_round(entry, caller, Ending::Finish))
    }

    /// Returns the level of a capability in a table of level `table`. A table, and memory that is
    /// in use, may only move to where its level allows it to be.
    fn level_after_move(&self, entry: &Entry<'_>, slot: &Slot, table: u8) -> Result<u8, Error> {
        let tag = slot.tag();
        match tag.object_kind() {
            _ if !tag.original() || tag.level() > table => Ok(tag.level()),
            Some(ObjectKind::CapTable) => Err(Error::TreeTooDeep),
            Some(ObjectKind::Untyped) => {
                if derivation::first_child::<A>(entry, slot).is_some() {
                    return Err(Error::TreeTooDeep);
                }
                table::level_in(tag.level(), table)
            }
            _ => Ok(tag.level()),
        }
    }

    /// Divides a frame that is not mapped into two halves.
    pub(crate) fn split(&self, entry: &Entry<'_>, thread: &Thread<A>) -> Result<Outcome, Error> {
        let from = table::slot_at(entry, thread, thread.frame.argument(0))?;
        let slot = slot_named::<A>(entry, from);
        let tag = table::check(slot, ObjectKind::Frame, Rights::new().with_control(true))?;
        if u32::from(tag.order()) <= abi::PAGE_SHIFT {
            return Err(Error::BadArgument);
        }
        if tag.mapped() {
            return Err(Error::AlreadyMapped);
        }
        if !tag.original() || derivation::first_child::<A>(entry, slot).is_some() {
            return Err(Error::HasChildren);
        }
        let to = self.empty_slot(entry, thread, 1)?;
        let half = tag.with_order(tag.order() - 1);
        let upper = Cap {
            object: slot.object.get() + (1 << half.order()),
            tag: half,
            badge: 0,
        };
        derivation::insert_behind::<A>(entry, from, to, &upper);
        slot.set_tag(half);
        Ok(Outcome::ok())
    }
}
