//! Walking, allocating and freeing translation tables.

use super::stage_of;
use crate::Visit;
use crate::arch::{Arch, Level, LiveEntry, Memory, Stage, TableEntry};
use crate::object::space::AddressSpace;
use crate::word::Word;
use abi::Error;
use core::sync::atomic::{AtomicU64, Ordering};

/// An entry of a table that a walk ended at.
#[derive(Clone, Copy)]
pub(crate) struct Place<'e> {
    /// The entry.
    pub entry: &'e AtomicU64,
    /// The entries of its table from the one on that the walk ended at.
    rest: &'e [AtomicU64],
    /// Its level, counted from the root.
    pub depth: usize,
    /// The shape of that level.
    pub level: &'static Level,
    /// Whose tables these are.
    pub stage: Stage,
    /// The address that the walk was for.
    pub address: u64,
}

impl Place<'_> {
    /// Returns the entry's bits.
    pub fn bits(&self) -> u64 {
        self.entry.load(Ordering::Relaxed)
    }

    /// Returns the bytes that one entry of this level covers.
    pub const fn bytes(&self) -> u64 {
        1 << self.level.shift
    }

    /// Returns it and the entries behind it in its table, for leaves below `end`.
    pub fn row(self, end: u64) -> impl Iterator<Item = Self> {
        let count = (end - self.address) >> self.level.shift;
        (0..count).zip(self.rest).map(move |(index, entry)| Self {
            entry,
            address: self.address + (index << self.level.shift),
            ..self
        })
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
        let mut table = space.root.get();
        for (at, level) in self.arch.levels(stage).iter().enumerate() {
            if table == 0 {
                return None;
            }
            let words = self.entry.words(table, level.table_bytes())?;
            let rest = words.get(level.index(address)..)?;
            let place = Place {
                entry: rest.first()?,
                rest,
                depth: at,
                level,
                stage,
                address,
            };
            match self.arch.decode(stage, place.bits(), level) {
                TableEntry::Table(next) if at < depth => table = next,
                _ => return Some(place),
            }
        }
        None
    }

    /// Changes an entry that a walk ended at.
    pub(crate) fn replace(&self, place: &Place<'_>, bits: u64) {
        let live = LiveEntry {
            word: place.entry,
            stage: place.stage,
            level: place.level,
            address: place.address,
        };
        self.arch.replace(&live, bits);
    }

    /// Returns the entry for `address` at level `depth`, making the tables above it.
    pub(crate) fn walk_making(
        &self,
        space: &AddressSpace,
        address: u64,
        depth: usize,
    ) -> Result<Place<'_>, Error> {
        loop {
            let place = self.walk(space, address, depth).ok_or(Error::NeedsMemory)?;
            if place.depth == depth {
                return Ok(place);
            }
            let stage = stage_of(space);
            let next = self
                .arch
                .levels(stage)
                .get(place.depth + 1)
                .ok_or(Error::OutOfRange)?;
            match self.arch.decode(stage, place.bits(), place.level) {
                TableEntry::Empty => {
                    let table = self.allocate_table(space, next);
                    let table = table.ok_or(Error::NeedsMemory)?;
                    self.replace(&place, self.arch.table(stage, place.level, table));
                }
                TableEntry::Table(_) | TableEntry::Leaf { .. } => return Err(Error::AlreadyMapped),
            }
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
        let next = self
            .arch
            .levels(stage)
            .get(place.depth + 1)
            .ok_or(Error::Misaligned)?;
        let table = self.allocate_table(space, next).ok_or(Error::NeedsMemory)?;
        let words = self
            .entry
            .words(table, next.table_bytes())
            .ok_or(Error::NeedsMemory)?;
        for (index, word) in words.iter().enumerate() {
            let part = Memory {
                physical: memory.physical + ((index as u64) << next.shift),
                ..memory
            };
            word.store(self.arch.leaf(stage, next, part), Ordering::Relaxed);
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

    /// Gives an empty table of a level below the root back to the fund of its space.
    pub(crate) fn free_table(&self, space: &AddressSpace, table: u64, level: &Level) {
        if let Some((first, _)) = self
            .entry
            .words(table, level.table_bytes())
            .and_then(<[AtomicU64]>::split_first)
        {
            let list = self.free_list(space, level);
            first.store(list.get(), Ordering::Relaxed);
            list.set(table);
        }
    }
}
