//! The kernel's rules for memory: what is made of what, where it is mapped, and what is in it.

use mem::{Kernel, KernelRefusal, Made, Slot};
use std::collections::BTreeMap;

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    from: Option<Slot>,
    pub made: Made,
    /// Number of its first frame.
    pub base: u64,
    pub order: u8,
    /// Frames that were made of it.
    used: u64,
    pub mapped: Option<(u64, u64)>,
    /// Whether somebody has a copy.
    pub copied: bool,
}

impl Object {
    pub const fn frames(&self) -> std::ops::Range<u64> {
        self.base..self.base + (1 << self.order)
    }
}

/// A kernel that knows of memory only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fake {
    pub slots: BTreeMap<Slot, Object>,
    /// What is in the frames; those that are not listed have what was in them before, 0 at first.
    pub contents: BTreeMap<u64, u64>,
    /// Calls that may fail, until one does.
    pub fails_in: Option<u32>,
    pub calls: u64,
}

impl Fake {
    pub fn grant(&mut self, slot: Slot, base: u64, order: u8) {
        let object = Object {
            from: None,
            made: Made::Untyped,
            base,
            order,
            used: 0,
            mapped: None,
            copied: false,
        };
        self.slots.insert(slot, object);
    }

    fn may_fail(&mut self) -> Result<(), KernelRefusal> {
        self.calls += 1;
        match self.fails_in.as_mut() {
            Some(0) => {
                self.fails_in = None;
                return Err(KernelRefusal);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    /// The frame that a guest has at a page.
    pub fn at(&self, guest: u64, page: u64) -> Option<u64> {
        self.slots.values().find_map(|object| {
            let (other, address) = object.mapped?;
            let offset = page.wrapping_sub(address >> 12);
            (other == guest && offset < 1 << object.order).then(|| object.base + offset)
        })
    }

    /// Clears a frame, as the server does.
    pub fn clear(&mut self, slot: Slot) {
        let object = self.slots[&slot];
        assert_eq!(object.made, Made::Frame);
        assert_eq!(object.mapped, None, "nobody has it yet");
        self.contents
            .retain(|frame, _| !object.frames().contains(frame));
    }

    /// Copies what is in a frame to another one, as the server does.
    pub fn copy(&mut self, from: Slot, to: Slot) {
        let [from, to] = [self.slots[&from], self.slots[&to]];
        assert_eq!(from.order, to.order);
        assert_eq!((from.mapped, to.mapped, from.copied), (None, None, false));
        for (from, to) in from.frames().zip(to.frames()) {
            match self.contents.get(&from).copied() {
                Some(value) => self.contents.insert(to, value),
                None => self.contents.remove(&to),
            };
        }
    }
}

impl Kernel for Fake {
    fn make(&mut self, from: Slot, made: Made, order: u8, to: Slot) -> Result<(), KernelRefusal> {
        self.may_fail()?;
        let parent = self.slots.get_mut(&from).expect("it is there");
        assert_eq!(parent.made, Made::Untyped);
        let base = (parent.base + parent.used).next_multiple_of(1 << order);
        let end = base + (1 << order);
        assert!(end <= parent.base + (1 << parent.order), "it fits");
        parent.used = end - parent.base;
        let object = Object {
            from: Some(from),
            made,
            base,
            order,
            used: 0,
            mapped: None,
            copied: false,
        };
        assert_eq!(self.slots.insert(to, object), None, "slot {to} was empty");
        Ok(())
    }

    fn delete(&mut self, slot: Slot) {
        let gone = self.slots.remove(&slot).expect("it is there");
        let made: Vec<Slot> = self
            .slots
            .iter()
            .filter(|(_, object)| object.from == Some(slot))
            .map(|(slot, _)| *slot)
            .collect();
        made.into_iter().for_each(|slot| self.delete(slot));
        if let Some(from) = gone.from
            && !self.slots.values().any(|object| object.from == Some(from))
            && let Some(parent) = self.slots.get_mut(&from)
        {
            parent.used = 0;
        }
    }

    fn revoke(&mut self, frame: Slot) {
        self.slots.get_mut(&frame).expect("it is there").copied = false;
    }

    fn map(&mut self, frame: Slot, guest: u64, address: u64) -> Result<(), KernelRefusal> {
        self.may_fail()?;
        let object = self.slots[&frame];
        assert_eq!(object.made, Made::Frame);
        assert_eq!(object.mapped, None);
        assert!((address >> 12).is_multiple_of(1 << object.order));
        for page in 0..1 << object.order {
            assert_eq!(self.at(guest, (address >> 12) + page), None);
        }
        let object = self.slots.get_mut(&frame).expect("it is there");
        object.mapped = Some((guest, address));
        Ok(())
    }

    fn unmap(&mut self, frame: Slot) {
        let object = self.slots.get_mut(&frame).expect("it is there");
        assert!(object.mapped.take().is_some());
    }
}
