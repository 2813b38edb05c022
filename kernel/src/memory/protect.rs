//! Changing the access to a range inside a mapped frame.

use super::LEAF;
use super::map::access_of;
use crate::Visit;
use crate::arch::{Arch, Memory, TableEntry, UserFrame};
use crate::call::Outcome;
use crate::cap::table;
use crate::delete::Ending;
use crate::object::execution::ExecutionRef;
use crate::object::space::AddressSpace;
use crate::object::thread::Thread;
use abi::{Error, ObjectKind, PAGE_SIZE, Rights};

/// A range of a mapped frame.
struct Range {
    /// Where it is mapped.
    address: u64,
    /// Its physical address.
    physical: u64,
    /// Bytes.
    length: u64,
}

impl<A: Arch> Visit<'_, A> {
    /// Changes the access to a range inside a mapped frame.
    pub(crate) fn protect(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let slot = self.slot(self.slot_at(thread, thread.frame.argument(0))?);
        let access = access_of(thread.frame.argument(3))?;
        table::check(slot, ObjectKind::Frame, access)?;
        let space = self.mapped_space(slot);
        let space = space.filter(|_| slot.badge.get() == slot.bytes());
        let space = space.ok_or(Error::NotMapped)?;
        let (offset, length) = (thread.frame.argument(1), thread.frame.argument(2));
        if !offset.is_multiple_of(PAGE_SIZE) || !length.is_multiple_of(PAGE_SIZE) {
            return Err(Error::Misaligned);
        }
        match offset.checked_add(length) {
            Some(end) if end <= slot.bytes() && length != 0 => {}
            _ => return Err(Error::OutOfRange),
        }
        let range = Range {
            address: slot.address.get() + offset,
            physical: slot.object.get() + offset,
            length,
        };
        // The tables are made first, so that nothing fails once an entry has changed.
        let device = slot.tag().device();
        if !self.split_edges(space, &range, device)? {
            return Ok(Outcome::Waiting);
        }
        let done = self.set_access(space, &range, (access, device));
        if done == length {
            return Ok(self.shoot_down(caller, space, Ending::Finish));
        }
        // The call is made again for the rest.
        thread.frame.set_result(1, offset + done);
        thread.frame.set_result(2, length - done);
        Ok(self.shoot_down(caller, space, Ending::Restart))
    }

    /// Makes the leaves at both ends of a range so small that none reaches out of it; `false` where
    /// there are more.
    fn split_edges(
        &self,
        space: &AddressSpace,
        range: &Range,
        device: bool,
    ) -> Result<bool, Error> {
        for edge in [range.address, range.address + range.length] {
            // A leaf that has the edge inside it is split until the edge is between leaves.
            let inside = edge - u64::from(edge != range.address);
            loop {
                let place = self.walk(space, inside, usize::MAX);
                let place = place.ok_or(Error::NotMapped)?;
                let found = self.found(&place);
                let offset = edge % place.bytes();
                if offset == 0 {
                    break;
                }
                let (physical, access) = match found {
                    TableEntry::Leaf { physical, access } => (physical, access),
                    TableEntry::Empty | TableEntry::Table(_) => {
                        let start = inside & !(place.bytes() - 1);
                        let offset = start.wrapping_sub(range.address);
                        (range.physical.wrapping_add(offset), Rights::new())
                    }
                };
                let memory = Memory {
                    physical,
                    access,
                    device,
                };
                self.split_leaf(space, place, memory)?;
                if self.spend(LEAF) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Writes leaves of a range with new access; returns the bytes that have it.
    fn set_access(
        &self,
        space: &AddressSpace,
        range: &Range,
        (access, device): (Rights, bool),
    ) -> u64 {
        let mut done = 0;
        while let Some(mut place) = self.walk(space, range.address + done, usize::MAX) {
            loop {
                let memory = Memory {
                    physical: range.physical + done,
                    access,
                    device,
                };
                self.arch
                    .replace(&place, self.arch.leaf(place.stage, place.level, memory));
                done += place.bytes();
                if self.spend(LEAF) || done >= range.length {
                    return done;
                }
                if !self.go(&mut place, 1) || matches!(self.found(&place), TableEntry::Table(_)) {
                    break;
                }
            }
        }
        done
    }
}
