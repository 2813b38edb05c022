//! Capabilities in messages: the receiver's become children of the sender's.

use crate::Visit;
use crate::arch::Arch;
use crate::cap::slot::{Cap, Role, Slot, SlotRef};
use crate::object::thread::Thread;
use abi::message::{RECEIVE_SLOTS, SENT_SLOTS};
use abi::{Error, MessageInfo, ObjectKind, Rights};
use core::sync::atomic::Ordering;

impl<A: Arch> Visit<'_, A> {
    /// Returns word `index` of a thread's message page.
    fn page_word(&self, thread: &Thread<A>, index: usize) -> Option<u64> {
        Some(
            self.message_page(thread)?
                .get(index)?
                .load(Ordering::Relaxed),
        )
    }

    /// Returns the slot of the `index`th capability that a thread sends.
    fn sent_slot(&self, thread: &Thread<A>, index: usize) -> Result<SlotRef, Error> {
        let address = self.page_word(thread, SENT_SLOTS + index);
        let slot = self.slot_at(thread, address.ok_or(Error::NotConfigured)?)?;
        check_sendable(self.slot(slot))?;
        Ok(slot)
    }

    /// Checks that every capability of a message may be sent.
    pub(crate) fn check_sent_slots(
        &self,
        thread: &Thread<A>,
        info: MessageInfo,
    ) -> Result<(), Error> {
        (0..info.caps()).try_for_each(|index| self.sent_slot(thread, index).map(drop))
    }

    /// Copies the capabilities of a message; returns how many arrived. They arrive in order: the
    /// first that has no place ends it.
    pub(crate) fn transfer(
        &self,
        source: &Thread<A>,
        target: &Thread<A>,
        info: MessageInfo,
    ) -> usize {
        (0..info.caps())
            .take_while(|index| self.transfer_one(source, target, *index).is_some())
            .count()
    }

    /// Copies one capability of a message.
    fn transfer_one(&self, source: &Thread<A>, target: &Thread<A>, index: usize) -> Option<()> {
        let from = self.sent_slot(source, index).ok()?;
        let address = self.page_word(target, RECEIVE_SLOTS + index)?;
        let to = self.slot_at(target, address).ok()?;
        if !self.slot(to).tag().is_empty() {
            return None;
        }
        let cap = Cap::of(self.slot(from)).derive(Rights::ALL, Role::Table);
        self.insert_child(from, to, &cap).ok()
    }
}

/// Checks that a capability may be copied.
pub fn check_sendable(slot: &Slot) -> Result<(), Error> {
    let tag = slot.tag();
    match tag.object_kind() {
        None => Err(Error::NoCapability),
        Some(ObjectKind::Untyped | ObjectKind::Reply) => Err(Error::NotCopyable),
        Some(_) if !tag.rights().grant() => Err(Error::MissingRight),
        Some(_) => Ok(()),
    }
}
