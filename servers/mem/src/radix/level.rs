//! One level of the tree: words of 64 units, in lists by the largest run that each has.

use super::word::{WORD_ORDER, largest, runs, units};
use alloc::vec::Vec;

/// Lists of a level: one for each order of a largest run.
pub const LISTS: usize = WORD_ORDER as usize + 1;
/// No word, in a link; and no list.
const NONE: u32 = u32::MAX;

/// 64 units, and its place in a list.
#[derive(Clone, Copy, Debug)]
struct Word {
    /// The units that are free in this level. A word whose units are all free is one free unit of
    /// the level above instead, and has none here.
    free: u64,
    next: u32,
    previous: u32,
    /// The list that it is in, or [`NONE`].
    list: u32,
}

/// The units of one size.
#[derive(Clone, Debug)]
pub struct Level {
    words: Vec<Word>,
    /// Number of the first word, counted from frame 0.
    first: u64,
    heads: [u32; LISTS],
    /// Bit *k*: list *k* has a word.
    filled: u32,
    /// Whether no level is above, so that full words stay here.
    is_top: bool,
}

impl Level {
    /// Makes a level of the words from `first` to `last`, without free units.
    pub fn new(first: u64, last: u64, is_top: bool) -> Self {
        let word = Word {
            free: 0,
            next: NONE,
            previous: NONE,
            list: NONE,
        };
        let count = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        Self {
            words: alloc::vec![word; count],
            first,
            heads: [NONE; LISTS],
            filled: 0,
            is_top,
        }
    }

    /// Returns the bytes that the level takes for itself.
    pub fn footprint(&self) -> usize {
        self.words.len() * size_of::<Word>()
    }

    /// Takes a run of this order out of the word that has the smallest sufficient one. Returns the
    /// number of its first unit.
    #[inline]
    pub fn take(&mut self, order: u8) -> Option<u64> {
        let sufficient = self.filled >> order;
        if sufficient == 0 {
            return None;
        }
        let list = usize::from(order) + sufficient.trailing_zeros() as usize;
        let index = self.heads[list];
        let word = &mut self.words[index as usize];
        let bit = runs(word.free, order).trailing_zeros();
        word.free &= !(units(order) << bit);
        self.file(index);
        Some((self.first + u64::from(index)) * 64 + u64::from(bit))
    }

    /// Fills word `number` with free units, all but the first run of this order, which is taken.
    pub fn open(&mut self, number: u64, order: u8) {
        let index = self.index(number);
        self.words[index as usize].free = !units(order);
        self.file(index);
    }

    /// Frees the run of this order that begins at `unit`. Returns the number of its word if all of
    /// that is free now: it has left this level.
    #[inline]
    pub fn give(&mut self, unit: u64, order: u8) -> Option<u64> {
        let number = unit / 64;
        let index = self.index(number);
        let word = &mut self.words[index as usize];
        word.free |= units(order) << (unit % 64);
        let is_full = word.free == u64::MAX && !self.is_top;
        if is_full {
            word.free = 0;
        }
        self.file(index);
        is_full.then_some(number)
    }

    /// Takes `unit`, if it is free in this level.
    pub fn take_at(&mut self, unit: u64) -> bool {
        if !self.is_free(unit) {
            return false;
        }
        let index = self.index(unit / 64);
        self.words[index as usize].free &= !(1 << (unit % 64));
        self.file(index);
        true
    }

    /// Returns whether `unit` is free in this level.
    pub fn is_free(&self, unit: u64) -> bool {
        let index = (unit / 64).checked_sub(self.first);
        let word = index.and_then(|index| self.words.get(usize::try_from(index).ok()?));
        word.is_some_and(|word| word.free >> (unit % 64) & 1 == 1)
    }

    /// Returns the free runs of the largest orders: how many of each, no unit counted twice.
    pub fn count_runs(&self) -> [u64; LISTS] {
        let mut counts = [0; LISTS];
        for word in &self.words {
            let mut rest = word.free;
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
    fn index(&self, number: u64) -> u32 {
        // A level has fewer than 2^32 words: 2^38 frames are 1 PiB.
        (number - self.first) as u32
    }

    /// Puts a word into the list that its free units say.
    #[inline]
    fn file(&mut self, index: u32) {
        let word = self.words[index as usize];
        let list = largest(word.free).map_or(NONE, u32::from);
        if list == word.list {
            return;
        }
        if word.list != NONE {
            self.unlink(word);
        }
        self.link(index, list);
    }

    /// Takes a word out of its list.
    #[inline]
    fn unlink(&mut self, word: Word) {
        if word.next != NONE {
            self.words[word.next as usize].previous = word.previous;
        }
        if word.previous != NONE {
            self.words[word.previous as usize].next = word.next;
        } else {
            self.heads[word.list as usize] = word.next;
            if word.next == NONE {
                self.filled &= !(1 << word.list);
            }
        }
    }

    /// Puts a word at the head of a list, or into none.
    #[inline]
    fn link(&mut self, index: u32, list: u32) {
        let next = if list == NONE {
            NONE
        } else {
            self.filled |= 1 << list;
            core::mem::replace(&mut self.heads[list as usize], index)
        };
        if next != NONE {
            self.words[next as usize].previous = index;
        }
        let word = &mut self.words[index as usize];
        word.list = list;
        word.next = next;
        word.previous = NONE;
    }
}
