//! One level of the tree: words of 64 units, and for each order the words that have a run of it.

use super::index::Index;
use super::word::{WORD_ORDER, best, has_buddy, orders, runs, smallest, units};
use alloc::vec::Vec;

/// Orders of runs in a word: those below a whole word, and whole words, which only the top level
/// has.
pub const RUN_ORDERS: usize = WORD_ORDER as usize + 1;

/// The units of one size.
#[derive(Clone, Debug)]
pub struct Level {
    /// Bit *i*: unit *i* of the word is free in this level. A word whose units are all free is one
    /// free unit of the level above instead, and has none here.
    words: Vec<u64>,
    /// Of how many orders, from 0 on, each word has runs.
    orders: Vec<u8>,
    /// Number of the first word, counted from frame 0.
    first: u64,
    /// The words that have a run of each order.
    with_run: [Index; RUN_ORDERS],
    /// Whether no level is above, so that full words stay here.
    is_top: bool,
}

impl Level {
    /// Makes a level of the words from `first` to `last`, without free units.
    pub fn new(first: u64, last: u64, is_top: bool) -> Self {
        let count = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        Self {
            words: alloc::vec![0; count],
            orders: alloc::vec![0; count],
            first,
            with_run: core::array::from_fn(|_| Index::new(count)),
            is_top,
        }
    }

    /// Returns the bytes that the level takes for itself.
    pub fn footprint(&self) -> usize {
        let indexes = self.with_run.iter().map(Index::footprint);
        self.words.len() * (size_of::<u64>() + size_of::<u8>()) + indexes.sum::<usize>()
    }

    /// Takes a run of this order out of the first word that has one. Returns the number of its
    /// first unit.
    #[inline]
    pub fn take(&mut self, order: u8) -> Option<u64> {
        let index = self.with_run[usize::from(order)].first()?;
        let free = self.words[index];
        let bit = best(free, order);
        self.write(index, free & !(units(order) << bit));
        Some((self.first + index as u64) * 64 + u64::from(bit))
    }

    /// Takes up to `limit` runs of this order out of the first word that has one, and names the
    /// first unit of each.
    pub fn take_some(&mut self, order: u8, limit: usize, mut name: impl FnMut(u64)) -> bool {
        let Some(index) = self.with_run[usize::from(order)].first() else {
            return false;
        };
        let mut free = self.words[index];
        let base = (self.first + index as u64) * 64;
        let mut left = limit;
        let (taken, length) = (units(order), 1 << order);
        while left > 0 {
            let (mut starts, run) = smallest(free, order);
            if starts == 0 {
                break;
            }
            // All of the smallest runs are as good, and a run that is begun is used up.
            while left > 0 && starts != 0 {
                let start = starts & starts.wrapping_neg();
                starts ^= start;
                let mut at = base + u64::from(start.trailing_zeros());
                let mut block = taken.wrapping_mul(start);
                let end = at + (1 << run);
                while left > 0 && at < end {
                    free ^= block;
                    name(at);
                    at += length;
                    block = block.wrapping_shl(length as u32);
                    left -= 1;
                }
            }
        }
        self.write(index, free);
        true
    }

    /// Fills word `number` with free units, all but the first run of this order, which is taken.
    pub fn open(&mut self, number: u64, order: u8) {
        self.write(self.index(number), !units(order));
    }

    /// Frees the run of this order that begins at `unit`. Returns the number of its word if all of
    /// that is free now: it has left this level.
    #[inline]
    pub fn give(&mut self, unit: u64, order: u8) -> Option<u64> {
        let number = unit / 64;
        let index = self.index(number);
        let before = self.words[index];
        let bit = (unit % 64) as u32;
        let free = before | units(order) << bit;
        if !has_buddy(before, bit, order) && self.orders[index] > order {
            // No larger run came to be, and runs of this order were there before.
            self.words[index] = free;
            return None;
        }
        if free == u64::MAX && !self.is_top {
            self.write(index, 0);
            return Some(number);
        }
        self.write(index, free);
        None
    }

    /// Takes `unit`, if it is free in this level.
    pub fn take_at(&mut self, unit: u64) -> bool {
        if !self.is_free(unit) {
            return false;
        }
        let index = self.index(unit / 64);
        self.write(index, self.words[index] & !(1 << (unit % 64)));
        true
    }

    /// Returns whether `unit` is free in this level.
    pub fn is_free(&self, unit: u64) -> bool {
        let index = (unit / 64).checked_sub(self.first);
        let word = index.and_then(|index| self.words.get(usize::try_from(index).ok()?));
        word.is_some_and(|free| free >> (unit % 64) & 1 == 1)
    }

    /// Returns how many free runs there are of each order, every free unit counted in the largest
    /// run that it lies in.
    pub fn count_runs(&self) -> [u64; RUN_ORDERS] {
        let mut counts = [0; RUN_ORDERS];
        for &free in &self.words {
            let mut rest = free;
            for order in (0..=WORD_ORDER).rev() {
                let mut starts = runs(rest, order);
                counts[usize::from(order)] += u64::from(starts.count_ones());
                while starts != 0 {
                    rest &= !(units(order) << starts.trailing_zeros());
                    starts &= starts - 1;
                }
            }
        }
        counts
    }

    /// Returns the index of a word.
    #[inline]
    const fn index(&self, number: u64) -> usize {
        (number - self.first) as usize
    }

    /// Writes the free units of a word, and notes where that changes which runs it has.
    #[inline(always)]
    fn write(&mut self, index: usize, free: u64) {
        self.words[index] = free;
        let after = orders(free);
        let before = core::mem::replace(&mut self.orders[index], after);
        if before != after {
            self.note(index, before, after);
        }
    }

    /// Notes that a word has runs of another number of orders.
    fn note(&mut self, index: usize, before: u8, after: u8) {
        for with_run in self.with_run[..usize::from(after)]
            .iter_mut()
            .skip(before.into())
        {
            with_run.insert(index);
        }
        for with_run in self.with_run[..usize::from(before)]
            .iter_mut()
            .skip(after.into())
        {
            with_run.remove(index);
        }
    }
}
