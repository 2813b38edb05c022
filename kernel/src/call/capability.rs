//! Looking at, copying and moving capabilities.

use super::Outcome;
use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::right::CONTROL;
use crate::cap::slot::{Cap, Role, Slot, SlotRef, Tag};
use crate::cap::table;
use crate::delete::Ending;
use crate::ipc::check_sendable;
use crate::object::execution::ExecutionRef;
use crate::object::thread::Thread;
use abi::{Error, ObjectKind, Rights};

impl<A: Arch> Visit<'_, A> {
    /// Returns what a capability is.
    pub(crate) fn identify(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let address = thread.frame.argument(0);
        if address == 0 {
            let core = thread.execution().core.get();
            return Ok(Self::results(thread, [abi::VERSION, core, 0, 0, 0]));
        }
        let slot = self.slot(self.slot_at(thread, address)?);
        let tag = slot.tag();
        let kind = tag.object_kind().ok_or(Error::NoCapability)?;
        let (badge, size) = match kind {
            ObjectKind::Untyped => (0, slot.bytes() - slot.badge.get()),
            ObjectKind::Frame => (0, u64::from(tag.order())),
            ObjectKind::CapTable => (0, slot.bytes()),
            _ => (slot.badge.get(), 0),
        };
        let rights = u64::from(tag.rights().into_bits());
        let base = slot.object.get();
        Ok(Self::results(
            thread,
            [kind.number(), rights, badge, base, size],
        ))
    }

    /// Ends a call with several results.
    fn results(thread: &Thread<A>, values: [u64; 5]) -> Outcome {
        thread.frame.complete();
        for (index, value) in values.into_iter().enumerate() {
            thread.frame.set_result(index + 1, value);
        }
        Outcome::Waiting
    }

    /// Returns the empty slot that argument `index` names.
    pub(crate) fn empty_slot(&self, thread: &Thread<A>, index: usize) -> Result<SlotRef, Error> {
        let slot = self.slot_at(thread, thread.frame.argument(index))?;
        let is_empty = self.slot(slot).tag().is_empty();
        is_empty.then_some(slot).ok_or(Error::SlotOccupied)
    }

    /// Copies a capability.
    pub(crate) fn copy(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        self.copy_with(thread, |cap| Ok(cap.derive(Rights::ALL, Role::Table)))
    }

    /// Copies a capability with fewer rights or a badge.
    pub(crate) fn mint(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let bits = u16::try_from(thread.frame.argument(2)).unwrap_or(u16::MAX);
        let (mask, badge) = (Rights::from_bits(bits), thread.frame.argument(3));
        self.copy_with(thread, |cap| {
            let takes_badge = matches!(
                cap.tag.object_kind(),
                Some(ObjectKind::Endpoint | ObjectKind::Notification | ObjectKind::IoPorts)
            );
            if badge != 0 && (cap.badge != 0 || !takes_badge) {
                return Err(Error::BadArgument);
            }
            let cap = cap.derive(mask, Role::Table);
            let badge = if badge == 0 { cap.badge } else { badge };
            Ok(Cap { badge, ..cap })
        })
    }

    /// Copies a capability that `change` changes on the way.
    fn copy_with(
        &self,
        thread: &Thread<A>,
        change: impl FnOnce(Cap) -> Result<Cap, Error>,
    ) -> Result<Outcome, Error> {
        let from = self.slot_at(thread, thread.frame.argument(0))?;
        let source = self.slot(from);
        check_sendable(source)?;
        let to = self.empty_slot(thread, 1)?;
        let cap = change(Cap::of(source))?;
        self.insert_child(from, to, &cap)?;
        Ok(Outcome::ok())
    }

    /// Moves a capability.
    pub(crate) fn move_cap(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let from = self.slot_at(thread, thread.frame.argument(0))?;
        let source = self.slot(from);
        if source.tag().object_kind().is_none() {
            return Err(Error::NoCapability);
        }
        let to = self.empty_slot(thread, 1)?;
        let (_, table_level) = self.place_at(thread, thread.frame.argument(1))?;
        let level = self.level_after_move(source, table_level)?;
        self.move_slot(from, to);
        let target = self.slot(to);
        target.set_tag(target.tag().with_level(level));
        let emptied = self.slot(from);
        emptied.set_tag(Tag::new().with_kind(Tag::DYING));
        self.round.add(from, Tag::new());
        Ok(self.begin_round(caller, Ending::Finish))
    }

    /// Returns the level of a capability in a table of level `table`. A table, and memory that is
    /// in use, may only move to where its level allows it to be.
    fn level_after_move(&self, slot: &Slot, table: u8) -> Result<u8, Error> {
        let tag = slot.tag();
        match tag.object_kind() {
            _ if !tag.original() || tag.level() > table => Ok(tag.level()),
            Some(ObjectKind::CapTable) => Err(Error::TreeTooDeep),
            Some(ObjectKind::Untyped) => {
                if self.first_child(slot).is_some() {
                    return Err(Error::TreeTooDeep);
                }
                table::level_in(tag.level(), table)
            }
            _ => Ok(tag.level()),
        }
    }

    /// Divides a frame that is not mapped into two halves.
    pub(crate) fn split(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let from = self.slot_at(thread, thread.frame.argument(0))?;
        let slot = self.slot(from);
        let tag = table::check(slot, ObjectKind::Frame, CONTROL)?;
        if u32::from(tag.order()) <= abi::PAGE_SHIFT {
            return Err(Error::BadArgument);
        }
        if tag.mapped() {
            return Err(Error::AlreadyMapped);
        }
        if !tag.original() || self.first_child(slot).is_some() {
            return Err(Error::HasChildren);
        }
        let to = self.empty_slot(thread, 1)?;
        let half = tag.with_order(tag.order() - 1);
        let upper = Cap {
            object: slot.object.get() + (1 << half.order()),
            tag: half,
            badge: 0,
        };
        self.insert_behind(from, to, &upper);
        slot.set_tag(half);
        Ok(Outcome::ok())
    }
}
