//! Invariants of capabilities and of the derivation tree.

use super::Survey;
use crate::cap::slot::Slot;
use crate::fake::FakeArch;
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::notification::Notification;
use crate::object::reply::Reply;
use crate::object::space::{GuestSpace, Space};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::{ObjectKind, PAGE_SIZE};
use arena::Handle;
use std::collections::HashSet;
use std::vec::Vec;

impl Survey<'_, '_> {
    /// Checks that the derivation list has every filled slot once, is linked both ways, and that
    /// its depths are those of a tree.
    pub(super) fn tree(&mut self) {
        let mut filled = HashSet::new();
        let mut heads = Vec::new();
        for address in self.all_slots() {
            let slot: &Slot = self.part(address);
            if slot.tag().is_empty() {
                let linked = slot.next.get().is_some() || slot.previous.get().is_some();
                assert!(!linked, "an empty slot is in no tree");
                continue;
            }
            assert!(slot.tag().object_kind().is_some(), "a slot dies at rest");
            filled.insert(address);
            if slot.previous.get().is_none() {
                heads.push(address);
            }
        }
        assert!(heads.len() <= 1, "one list: {heads:x?}");
        let mut at = heads.first().and_then(|head| Handle::from_address(*head));
        let mut depth = 0;
        while let Some(slot_ref) = at {
            let slot: &Slot = self.part(slot_ref.address());
            assert!(filled.remove(&slot_ref.address()), "a slot is there once");
            assert!(slot.tag().depth() <= depth, "no level is left out");
            depth = slot.tag().depth() + 1;
            self.slots.push(slot_ref);
            let next = slot.next.get();
            if let Some(next) = next {
                let next: &Slot = self.part(next.address());
                assert_eq!(next.previous.get(), Some(slot_ref), "linked both ways");
            }
            at = next;
        }
        assert!(filled.is_empty(), "slots out of the list: {filled:x?}");
    }

    /// Checks that every capability names what it says, inside what it was derived from.
    pub(super) fn capabilities(&mut self) {
        let mut above: Vec<&Slot> = Vec::new();
        let slots = core::mem::take(&mut self.slots);
        for slot in &slots {
            let slot: &Slot = self.part(slot.address());
            let tag = slot.tag();
            above.truncate(usize::from(tag.depth()));
            self.capability(slot);
            if let Some(parent) = above.last() {
                Self::derived(parent, slot);
            }
            let kind = tag.object_kind().expect("it is filled");
            if tag.original() && kind != ObjectKind::Frame && kind != ObjectKind::Untyped {
                let before = self.alive.insert(slot.object.get(), kind);
                let is_authority = slot.object.get() == PAGE_SIZE;
                assert!(
                    before.is_none() || is_authority,
                    "an object has one original"
                );
            }
            above.push(slot);
        }
        for (index, slot) in slots.iter().enumerate() {
            let slot: &Slot = self.part(slot.address());
            if slot.tag().object_kind() == Some(ObjectKind::Untyped) {
                let next = slots
                    .get(index + 1)
                    .map(|next| self.part::<Slot>(next.address()));
                let has_child = next.is_some_and(|next| next.tag().depth() > slot.tag().depth());
                assert!(has_child || slot.badge.get() == 0, "memory comes back");
            }
        }
        self.slots = slots;
    }

    /// Checks that a capability names an object of its kind.
    fn capability(&self, slot: &Slot) {
        let object = slot.object.get();
        match slot.tag().object_kind().expect("it is filled") {
            ObjectKind::CapTable => _ = self.get::<Slot>(object),
            ObjectKind::Space => _ = self.get::<Space>(object),
            ObjectKind::GuestSpace => _ = self.get::<GuestSpace>(object),
            ObjectKind::Thread => _ = self.get::<Thread<FakeArch>>(object),
            ObjectKind::Budget => _ = self.get::<Budget>(object),
            ObjectKind::Endpoint => _ = self.get::<Endpoint>(object),
            ObjectKind::Reply => _ = self.get::<Reply>(object),
            ObjectKind::Notification => _ = self.get::<Notification>(object),
            ObjectKind::Vcpu => _ = self.get::<Vcpu<FakeArch>>(object),
            ObjectKind::Interrupt => {
                _ = self.get::<crate::object::interrupt::Interrupt>(object);
            }
            ObjectKind::Frame | ObjectKind::Untyped => {
                assert!(object.is_multiple_of(slot.bytes()), "blocks are aligned");
            }
            ObjectKind::InterruptControl | ObjectKind::Firmware | ObjectKind::IoPorts => {}
        }
    }

    /// Checks that a capability is not more than what it was derived from.
    fn derived(parent: &Slot, slot: &Slot) {
        let (above, tag) = (parent.tag(), slot.tag());
        match above.object_kind().expect("it is filled") {
            ObjectKind::Untyped => {
                let start = parent.object.get();
                let end = start + parent.badge.get();
                assert!(
                    (start..end).contains(&slot.object.get()),
                    "inside the untyped memory"
                );
                if matches!(
                    tag.object_kind(),
                    Some(ObjectKind::Frame | ObjectKind::Untyped)
                ) {
                    assert!(
                        slot.object.get() + slot.bytes() <= end,
                        "all of it is inside"
                    );
                }
            }
            ObjectKind::InterruptControl if tag.kind() == ObjectKind::Interrupt as u8 => {}
            _ => {
                assert_eq!(above.kind(), tag.kind(), "a copy is of the same kind");
                assert_eq!(parent.object.get(), slot.object.get(), "and names the same");
                assert!(above.rights().covers(tag.rights()), "with no more rights");
                assert!(!tag.original(), "and is no original");
            }
        }
    }
}
