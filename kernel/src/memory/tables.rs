//! Walking, allocating and freeing translation tables.

use super::stage_of;
use crate::Visit;
use crate::arch::{Arch, Level, LiveEntry, Memory, Stage, TableEntry};
use crate::object::space::AddressSpace;
use crate::word::Word;
use abi::{Error, PAGE_SIZE};
use core::sync::atomic::{AtomicU64, Ordering};

/// Instructions, about, that an entry of a table costs that is filled, or looked at.
const FILLED: u64 = 3;

/// An entry of a table that a walk ended at.
pub(crate) struct Place<'e> {
    /// The entry.
    pub entry: &'e AtomicU64,
    /// The table that it is in.
    table: &'e [AtomicU64],
    /// The entry for that table.
    above: Option<LiveEntry<'e>>,
    /// Its level, counted from the root.
    pub depth: usize,
    /// The shape of that level.
    pub level: &'static Level,
    /// Whose tables these are.
    pub stage: Stage,
    /// An address that it translates.
    pub address: u64,
}

impl<'e> Place<'e> {
    /// Returns the entry's bits.
    pub fn bits(&self) -> u64 {
        self.entry.load(Ordering::Relaxed)
    }

    /// Returns the bytes that one entry of this level covers.
    pub const fn bytes(&self) -> u64 {
        1 << self.level.shift
    }

    /// Returns the entry as one that cores may be using.
    const fn live(&self) -> LiveEntry<'e> {
        LiveEntry {
            word: self.entry,
            stage: self.stage,
            level: self.level,
            address: self.address,
        }
    }

    /// Goes to the next entry (1) or the one before (-1) of the same table; `false` where there is none.
    pub fn go(&mut self, offset: isize) -> bool {
        let index = self.level.index(self.address).wrapping_add_signed(offset);
        let Some(entry) = self.table.get(index) else {
            return false;
        };
        let bytes = (offset as i64) << self.level.shift;
        self.entry = entry;
        self.address = self.address.wrapping_add_signed(bytes);
        true
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Returns the largest level that can map a block of `1 << order` bytes as a row of leaves.
    pub(crate) fn leaf_level(&self, stage: Stage, order: u8) -> Option<(usize, &'static Level)> {
        let mut levels = self.arch.levels(stage).iter().enumerate();
        levels.find(|(_, level)| level.leaf && level.shift <= u32::from(order))
    }

    /// Returns the entry for `address` where the walk ends: at a leaf, an empty entry, or level
    /// `depth`.
    pub(crate) fn walk(
        &self,
        space: &AddressSpace,
        address: u64,
        depth: usize,
    ) -> Option<Place<'_>> {
        let stage = stage_of(space);
        let (mut table, mut above) = (space.root.get(), None);
        for (at, level) in self.arch.levels(stage).iter().enumerate() {
            if table == 0 {
                return None;
            }
            let words = self.entry.words(table, level.table_bytes())?;
            let place = Place {
                entry: words.get(level.index(address))?,
                table: words,
                above,
                depth: at,
                level,
                stage,
                address,
            };
            match self.arch.decode(stage, place.bits(), level) {
                TableEntry::Table(next) if at < depth => {
                    (table, above) = (next, Some(place.live()))
                }
                _ => return Some(place),
            }
        }
        None
    }

    /// Returns whether an entry is for a table of the next level.
    pub(crate) fn is_table(&self, place: &Place<'_>) -> bool {
        let found = self.arch.decode(place.stage, place.bits(), place.level);
        matches!(found, TableEntry::Table(_))
    }

    /// Changes an entry that a walk ended at.
    pub(crate) fn replace(&self, place: &Place<'_>, bits: u64) {
        self.arch.replace(&place.live(), bits);
    }

    /// Returns the entry for `address` at level `depth`, or, where a table is missing on the way, makes
    /// that one and returns the entry for it: the next walk gets further.
    pub(crate) fn walk_making(
        &self,
        space: &AddressSpace,
        address: u64,
        depth: usize,
    ) -> Result<Place<'_>, Error> {
        let place = self.walk(space, address, depth).ok_or(Error::NeedsMemory)?;
        if place.depth == depth {
            return Ok(place);
        }
        let stage = place.stage;
        let next = self.arch.levels(stage).get(place.depth + 1);
        let next = next.ok_or(Error::OutOfRange)?;
        match self.arch.decode(stage, place.bits(), place.level) {
            TableEntry::Empty => {
                let table = self.allocate_table(space, next);
                let table = table.ok_or(Error::NeedsMemory)?;
                self.replace(&place, self.arch.table(stage, place.level, table));
                Ok(place)
            }
            TableEntry::Table(_) | TableEntry::Leaf { .. } => Err(Error::AlreadyMapped),
        }
    }

    /// Replaces a leaf by a table of smaller leaves that map the same.
    pub(crate) fn split_leaf(
        &self,
        space: &AddressSpace,
        place: Place<'_>,
        memory: Memory,
    ) -> Result<(), Error> {
        let stage = stage_of(space);
        let next = self.arch.levels(stage).get(place.depth + 1);
        let next = next.ok_or(Error::Misaligned)?;
        let table = self.allocate_table(space, next).ok_or(Error::NeedsMemory)?;
        let words = self.entry.words(table, next.table_bytes());
        let words = words.ok_or(Error::NeedsMemory)?;
        let [mut bits, second] = [0, 1].map(|index| {
            let physical = memory.physical + (index << next.shift);
            self.arch.leaf(stage, next, Memory { physical, ..memory })
        });
        let stride = second.wrapping_sub(bits);
        self.spend(FILLED << next.bits);
        // As in `arena::fill`, some in a round; all tables have a multiple of that.
        for [first, second, third, fourth] in words.as_chunks().0 {
            first.store(bits, Ordering::Relaxed);
            second.store(bits.wrapping_add(stride), Ordering::Relaxed);
            third.store(bits.wrapping_add(stride << 1), Ordering::Relaxed);
            fourth.store(bits.wrapping_add(stride.wrapping_mul(3)), Ordering::Relaxed);
            bits = bits.wrapping_add(stride << 2);
        }
        self.replace(&place, self.arch.table(stage, place.level, table));
        Ok(())
    }

    /// Takes memory for a table of this level from the fund of a space; all entries are empty.
    pub(crate) fn allocate_table(&self, space: &AddressSpace, level: &Level) -> Option<u64> {
        let empty = self.arch.empty(stage_of(space), level);
        if let Some(table) = self.take_free_table(space, level) {
            // It is one empty entry over and over, but for its first word: the second one tells
            // whether that is this level's.
            match self.entry.words(table, level.table_bytes())? {
                [first, second, ..] if second.load(Ordering::Relaxed) == empty => {
                    first.store(empty, Ordering::Relaxed);
                }
                words => arena::fill(words, empty),
            }
            return Some(table);
        }
        let bytes = level.table_bytes();
        let table = space.fund_next.get().next_multiple_of(bytes);
        if table == 0 || table.checked_add(bytes)? > space.fund_end.get() {
            return None;
        }
        space.fund_next.set(table + bytes);
        if table.is_multiple_of(PAGE_SIZE) {
            // Only boot's are table pages before.
            let pages = bytes.next_multiple_of(PAGE_SIZE);
            let _ = self.entry.carve_tables(table, pages);
        }
        self.spend(FILLED << level.bits);
        arena::fill(self.entry.words(table, bytes)?, empty);
        Some(table)
    }

    /// Takes a table of this level's size that came back to the fund of a space.
    fn take_free_table(&self, space: &AddressSpace, level: &Level) -> Option<u64> {
        let list = self.free_list(space, level);
        let free = list.get();
        if space.root.get() == 0 || free == 0 {
            return None;
        }
        let (first, _) = self.entry.words(free, level.table_bytes())?.split_first()?;
        list.set(first.load(Ordering::Relaxed));
        Some(free)
    }

    /// Returns the list of free tables of a level below the root.
    fn free_list<'s>(&self, space: &'s AddressSpace, level: &Level) -> &'s Word {
        let [last, others] = &space.free;
        let levels = self.arch.levels(stage_of(space));
        match levels.last() {
            Some(of) if of.bits == level.bits => last,
            _ => others,
        }
    }

    /// Gives back the table of a place and those above it that are empty; `false` where there may be more.
    pub(super) fn free_tables<'e>(&'e self, space: &AddressSpace, mut place: Place<'e>) -> bool {
        while let Some(above) = place.above {
            let is_enough = self.spend(FILLED << place.level.bits);
            if !self.arch.is_empty(place.stage, place.level, place.table) {
                return true;
            }
            let bits = above.word.load(Ordering::Relaxed);
            if let TableEntry::Table(table) = self.arch.decode(place.stage, bits, above.level) {
                let empty = self.arch.empty(place.stage, above.level);
                self.arch.replace(&above, empty);
                self.free_table(space, table, place.level);
            }
            if is_enough {
                return place.depth == 1;
            }
            match self.walk(space, place.address, usize::MAX) {
                Some(next) => place = next,
                None => return true,
            }
        }
        true
    }

    /// Gives an empty table of a level below the root back to the fund of its space.
    fn free_table(&self, space: &AddressSpace, table: u64, level: &Level) {
        if let Some([first, ..]) = self.entry.words(table, level.table_bytes()) {
            let list = self.free_list(space, level);
            first.store(list.get(), Ordering::Relaxed);
            list.set(table);
        }
    }
}
