//! Walking, allocating and freeing translation tables.

use super::stage_of;
use crate::Visit;
use crate::arch::{Arch, Level, LiveEntry, Memory, TableEntry};
use crate::object::space::AddressSpace;
use crate::word::Word;
use abi::{Error, PAGE_SIZE};
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};

/// Instructions, about, that an entry of a table costs that is filled, or looked at.
const FILLED: u64 = 3;

/// An entry of a table that a walk ended at.
pub(crate) struct Place<'e> {
    /// The entry.
    live: LiveEntry<'e>,
    /// The address of the table that it is in.
    pub table: u64,
    /// The entry for that table.
    above: Option<&'e AtomicU64>,
    /// Its level, counted from the root.
    pub depth: usize,
}

impl<'e> Deref for Place<'e> {
    type Target = LiveEntry<'e>;

    #[inline(always)]
    fn deref(&self) -> &LiveEntry<'e> {
        &self.live
    }
}

impl Place<'_> {
    /// Returns the bytes that one entry of this level covers.
    pub const fn bytes(&self) -> u64 {
        1 << self.live.level.shift
    }
}

impl<A: Arch> Visit<'_, A> {
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
            // No table is at 0, where the root of a space without tables is.
            let word = self.table_word(table, level.index(address))?;
            match self.arch.decode(stage, word.load(Ordering::Relaxed), level) {
                TableEntry::Table(next) if at < depth => (table, above) = (next, Some(word)),
                _ => {
                    let live = LiveEntry {
                        word,
                        stage,
                        level,
                        address,
                    };
                    return Some(Place {
                        live,
                        table,
                        above,
                        depth: at,
                    });
                }
            }
        }
        None
    }

    /// Returns word `index` of a table.
    #[inline(always)]
    fn table_word(&self, table: u64, index: usize) -> Option<&AtomicU64> {
        self.entry.table_words(table, index)?.get(index & 1)
    }

    /// Goes to the next entry (1) or the one before (-1) of the same table; `false` where there is none.
    pub(super) fn go<'e>(&'e self, place: &mut Place<'e>, offset: isize) -> bool {
        let level = place.level;
        let index = level.index(place.address).wrapping_add_signed(offset);
        if index >> level.bits != 0 {
            return false;
        }
        let Some(word) = self.table_word(place.table, index) else {
            return false;
        };
        let bytes = (offset as i64) << level.shift;
        place.live.word = word;
        place.live.address = place.live.address.wrapping_add_signed(bytes);
        true
    }

    /// Returns what an entry says.
    #[inline(always)]
    pub(crate) fn found(&self, entry: &LiveEntry<'_>) -> TableEntry {
        let bits = entry.word.load(Ordering::Relaxed);
        self.arch.decode(entry.stage, bits, entry.level)
    }

    /// Makes an empty table where there is none, and returns its address.
    pub(crate) fn make_table(&self, space: &AddressSpace, place: &Place<'_>) -> Result<u64, Error> {
        if self.found(place) != TableEntry::Empty {
            return Err(Error::AlreadyMapped);
        }
        let next = self.arch.levels(place.stage).get(place.depth + 1);
        let table = self.allocate_table(space, next.ok_or(Error::OutOfRange)?);
        let table = table.ok_or(Error::NeedsMemory)?;
        self.arch
            .replace(place, self.arch.table(place.stage, place.level, table));
        Ok(table)
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
        self.arch
            .replace(&place, self.arch.table(stage, place.level, table));
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
            let level = place.level;
            let is_enough = self.spend(FILLED << level.bits);
            let words = self.entry.words(place.table, level.table_bytes());
            if !words.is_some_and(|words| self.arch.is_empty(place.stage, level, words)) {
                return true;
            }
            let upper = self.arch.levels(place.stage).get(place.depth - 1);
            let Some(upper) = upper else { return true };
            let entry = LiveEntry {
                word: above,
                level: upper,
                ..*place
            };
            self.arch
                .replace(&entry, self.arch.empty(place.stage, upper));
            self.free_table(space, place.table, level);
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
            space.leaves[1].set(0);
            first.store(list.get(), Ordering::Relaxed);
            list.set(table);
        }
    }
}
