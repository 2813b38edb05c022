//! Walking, allocating and freeing translation tables.

use super::stage_of;
use crate::Kernel;
use crate::arch::{Arch, Level, Stage, TableEntry};
use crate::object::space::AddressSpace;
use abi::{Error, Rights};
use arena::Entry;
use core::sync::atomic::{AtomicU64, Ordering};

/// An entry of a table that a walk ended at.
#[derive(Clone, Copy)]
pub(crate) struct Place<'e> {
    /// The entry.
    pub entry: &'e AtomicU64,
    /// Its level, counted from the root.
    pub depth: usize,
    /// The shape of that level.
    pub level: &'static Level,
}

impl Place<'_> {
    /// Returns the entry's bits.
    pub fn bits(&self) -> u64 {
        self.entry.load(Ordering::Relaxed)
    }

    /// Sets the entry's bits.
    pub fn set(&self, bits: u64) {
        self.entry.store(bits, Ordering::Relaxed);
    }

    /// Returns the bytes that one entry of this level covers.
    pub const fn bytes(&self) -> u64 {
        1 << self.level.shift
    }
}

impl<A: Arch> Kernel<A> {
    /// Returns the largest level that can map a block of `1 << order` bytes as a row of leaves.
    pub(crate) fn leaf_level(&self, stage: Stage, order: u8) -> Option<(usize, &'static Level)> {
        let mut levels = self.arch.levels(stage).iter().enumerate();
        levels.find(|(_, level)| level.leaf && level.shift <= u32::from(order))
    }

    /// Returns the entry for `address` where the walk ends: at a leaf, an empty entry, or level
    /// `depth`.
    pub(crate) fn walk<'e>(
        &self,
        entry: &'e Entry<'_>,
        space: &AddressSpace,
        address: u64,
        depth: usize,
    ) -> Option<Place<'e>> {
        let stage = stage_of(space);
        let mut table = space.root.get();
        for (at, level) in self.arch.levels(stage).iter().enumerate() {
            if table == 0 {
                return None;
            }
            let found = entry
                .words(table, level.table_bytes())?
                .get(level.index(address))?;
            let place = Place {
                entry: found,
                depth: at,
                level,
            };
            match self.arch.decode(stage, place.bits(), level) {
                TableEntry::Table(next) if at < depth => table = next,
                _ => return Some(place),
            }
        }
        None
    }

    /// Returns the entry for `address` at level `depth`, making the tables above it.
    pub(crate) fn walk_making<'e>(
        &self,
        entry: &'e Entry<'_>,
        space: &AddressSpace,
        address: u64,
        depth: usize,
    ) -> Result<Place<'e>, Error> {
        loop {
            let place = self
                .walk(entry, space, address, depth)
                .ok_or(Error::NeedsMemory)?;
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
                    let table = self.allocate_table(entry, space, next.table_bytes());
                    place.set(self.arch.table(stage, table.ok_or(Error::NeedsMemory)?));
                }
                TableEntry::Table(_) | TableEntry::Leaf { .. } => return Err(Error::AlreadyMapped),
            }
        }
    }

    /// Replaces a leaf by a table of smaller leaves that map the same.
    pub(crate) fn split_leaf(
        &self,
        entry: &Entry<'_>,
        space: &AddressSpace,
        place: Place<'_>,
        (physical, access, device): (u64, Rights, bool),
    ) -> Result<(), Error> {
        let stage = stage_of(space);
        let next = self
            .arch
            .levels(stage)
            .get(place.depth + 1)
            .ok_or(Error::Misaligned)?;
        let table = self
            .allocate_table(entry, space, next.table_bytes())
            .ok_or(Error::NeedsMemory)?;
        let words = entry
            .words(table, next.table_bytes())
            .ok_or(Error::NeedsMemory)?;
        for (index, word) in words.iter().enumerate() {
            let part = physical + ((index as u64) << next.shift);
            word.store(
                self.arch.leaf(stage, part, access, device),
                Ordering::Relaxed,
            );
        }
        place.set(self.arch.table(stage, table));
        Ok(())
    }

    /// Takes zeroed table memory from the fund of a space.
    pub(crate) fn allocate_table(
        &self,
        entry: &Entry<'_>,
        space: &AddressSpace,
        bytes: u64,
    ) -> Option<u64> {
        let free = space.free.get();
        if bytes == abi::PAGE_SIZE && free != 0 {
            let words = entry.words(free, bytes)?;
            let (first, _) = words.split_first()?;
            space.free.set(first.swap(0, Ordering::Relaxed));
            return Some(free);
        }
        let table = space.fund_next.get().next_multiple_of(bytes);
        if table == 0 || table.checked_add(bytes)? > space.fund_end.get() {
            return None;
        }
        space.fund_next.set(table + bytes);
        entry
            .words(table, bytes)?
            .iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
        Some(table)
    }

    /// Gives an empty table back to the fund of its space.
    pub(crate) fn free_table(
        &self,
        entry: &Entry<'_>,
        space: &AddressSpace,
        table: u64,
        bytes: u64,
    ) {
        if bytes != abi::PAGE_SIZE {
            return;
        }
        if let Some((first, _)) = entry
            .words(table, bytes)
            .and_then(<[AtomicU64]>::split_first)
        {
            first.store(space.free.get(), Ordering::Relaxed);
            space.free.set(table);
        }
    }
}
