//! Which words have a free run of an order: the lowest is found by its bits.

use alloc::vec::Vec;

/// A set of word indexes.
#[derive(Clone, Debug)]
pub struct Index {
    /// Bit *i* of word *w*: 64 *w* + *i* is in the set.
    bits: Vec<u64>,
    /// Bit *i* of word *w*: word 64 *w* + *i* of `bits` is not zero.
    summary: Vec<u64>,
    /// No word of the summary below this one has a bit.
    lowest: usize,
}

impl Index {
    /// Makes an empty set of indexes below `end`.
    pub fn new(end: usize) -> Self {
        let words = end.div_ceil(64);
        Self {
            bits: alloc::vec![0; words],
            summary: alloc::vec![0; words.div_ceil(64)],
            lowest: 0,
        }
    }

    /// Returns the bytes that the set takes.
    pub fn footprint(&self) -> usize {
        size_of_val(self.bits.as_slice()) + size_of_val(self.summary.as_slice())
    }

    /// Adds an index.
    #[inline]
    pub fn insert(&mut self, index: usize) {
        let word = index / 64;
        let bits = &mut self.bits[word];
        if *bits == 0 {
            self.summary[word / 64] |= 1 << (word % 64);
            self.lowest = self.lowest.min(word / 64);
        }
        *bits |= 1 << (index % 64);
    }

    /// Takes an index away.
    #[inline]
    pub fn remove(&mut self, index: usize) {
        let word = index / 64;
        let bits = &mut self.bits[word];
        *bits &= !(1 << (index % 64));
        if *bits == 0 {
            self.summary[word / 64] &= !(1 << (word % 64));
        }
    }

    /// Returns the lowest index.
    #[inline]
    pub fn first(&mut self) -> Option<usize> {
        let mut lowest = self.lowest;
        let summary = loop {
            match *self.summary.get(lowest)? {
                0 => lowest += 1,
                summary => break summary,
            }
        };
        self.lowest = lowest;
        let word = lowest * 64 + summary.trailing_zeros() as usize;
        Some(word * 64 + self.bits[word].trailing_zeros() as usize)
    }
}
