//! Free frames as a tree of bit maps: what a buddy system knows, without its lists of single
//! blocks.
//!
//! ```text
//!  level 3   a bit is 1 GiB free           orders 18 to 23
//!  level 2   a bit is 16 MiB free          orders 12 to 17
//!  level 1   a bit is 256 KiB free         orders  6 to 11
//!  level 0   a bit is a frame of 4 KiB     orders  0 to  5
//! ```
//! A word of 64 bits whose bits are all set is one bit of the level above instead, so every free
//! frame is in one level exactly. Dividing and coalescing blocks inside a word costs nothing. Of the
//! words that have a sufficient run the one at the lowest address is taken: so what is in use gathers
//! at low addresses, and the high ones stay whole.

mod index;
mod level;
mod word;

use level::Level;
pub use word::WORD_ORDER;

/// Levels of the tree.
const LEVELS: usize = 4;
/// Orders that the tree knows.
pub const ORDERS: usize = LEVELS * WORD_ORDER as usize;

/// The free frames of a range of frame numbers.
#[derive(Clone, Debug)]
pub struct Radix {
    levels: [Level; LEVELS],
    free: u64,
}

impl Radix {
    /// Makes a tree for the frames `first..end`, none of them free.
    ///
    /// # Panics
    ///
    /// Where the range is empty.
    #[must_use]
    pub fn new(first: u64, end: u64) -> Self {
        assert!(first < end, "a tree has frames");
        let level = |number: usize| {
            let shift = (number + 1) * usize::from(WORD_ORDER);
            Level::new(first >> shift, (end - 1) >> shift, number == LEVELS - 1)
        };
        Self {
            levels: core::array::from_fn(level),
            free: 0,
        }
    }

    /// Returns how many frames are free.
    #[must_use]
    pub const fn free(&self) -> u64 {
        self.free
    }

    /// Returns the bytes that the tree takes for itself.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.levels.iter().map(Level::footprint).sum()
    }

    /// Takes 2^`order` frames that begin at a multiple of 2^`order`; returns the first.
    #[inline]
    pub fn take(&mut self, order: u8) -> Option<u64> {
        let (level, order_in_level) = split(order);
        let unit = self.take_unit(level, order_in_level)?;
        self.free -= 1 << order;
        Some(unit << (level * usize::from(WORD_ORDER)))
    }

    /// Takes some blocks of an order below [`WORD_ORDER`], at most `limit`, which lie near each other,
    /// and names the first frame of each. Returns how many.
    pub fn take_some(&mut self, order: u8, limit: usize, mut name: impl FnMut(u64)) -> usize {
        let [lowest, ..] = &mut self.levels;
        let mut count = 0;
        let found = lowest.take_some(order, limit, |first| {
            count += 1;
            name(first);
        });
        self.free -= (count as u64) << order;
        if found {
            return count;
        }
        let first = self.take(order);
        usize::from(first.map(name).is_some())
    }

    /// Takes a run of units of a level.
    fn take_unit(&mut self, level: usize, order: u8) -> Option<u64> {
        if let Some(unit) = self.levels.get_mut(level)?.take(order) {
            return Some(unit);
        }
        let word = self.take_unit(level + 1, 0)?;
        self.levels[level].open(word, order);
        Some(word * 64)
    }

    /// Frees 2^`order` frames from `first` on, a multiple of 2^`order`, none of which is free.
    #[inline]
    pub fn give(&mut self, first: u64, order: u8) {
        self.free += 1 << order;
        if order >= WORD_ORDER {
            let (level, order) = split(order);
            let unit = first >> (level * usize::from(WORD_ORDER));
            self.give_units(level, unit, order);
            return;
        }
        let [lowest, ..] = &mut self.levels;
        if let Some(word) = lowest.give(first, order) {
            self.give_units(1, word, 0);
        }
    }

    /// Frees a run of units of a level, and what becomes whole by that in those above.
    fn give_units(&mut self, level: usize, mut unit: u64, mut order: u8) {
        for level in &mut self.levels[level..] {
            match level.give(unit, order) {
                Some(word) => unit = word,
                None => return,
            }
            order = 0;
        }
    }

    /// Returns whether a frame is free.
    #[must_use]
    pub fn is_free(&self, frame: u64) -> bool {
        let units = (0..).map(|level| frame >> (level * u32::from(WORD_ORDER)));
        let mut levels = self.levels.iter().zip(units);
        levels.any(|(level, unit)| level.is_free(unit))
    }

    /// Takes this frame, if it is free.
    pub fn take_at(&mut self, frame: u64) -> bool {
        let unit_of = |level: usize| frame >> (level * usize::from(WORD_ORDER));
        let holds = |&level: &usize| self.levels[level].take_at(unit_of(level));
        let Some(found) = (0..LEVELS).find(holds) else {
            return false;
        };
        // What was one unit becomes a word of which all but one unit is free, level by level.
        for level in (0..found).rev() {
            let word = unit_of(level + 1);
            self.levels[level].open(word, 0);
            let unit = unit_of(level);
            if unit != word * 64 {
                // `open` keeps back the first unit: the wanted one goes, that one comes.
                self.levels[level].take_at(unit);
                self.levels[level].give(word * 64, 0);
            }
        }
        self.free -= 1;
        true
    }

    /// Returns how many free blocks there are of each order, every free frame counted in the
    /// largest block that it lies in.
    #[must_use]
    pub fn count_blocks(&self) -> [u64; ORDERS] {
        let mut counts = [0; ORDERS];
        for (number, level) in self.levels.iter().enumerate() {
            let base = number * usize::from(WORD_ORDER);
            for (order, &count) in level.count_runs().iter().enumerate() {
                // Only the top level has whole words: each is two of its halves.
                let (order, factor) = if order == usize::from(WORD_ORDER) {
                    (order - 1, 2)
                } else {
                    (order, 1)
                };
                counts[base + order] += count * factor;
            }
        }
        counts
    }
}

/// Returns the level that has blocks of an order, and the order in it.
#[inline]
const fn split(order: u8) -> (usize, u8) {
    ((order / WORD_ORDER) as usize, order % WORD_ORDER)
}

#[cfg(test)]
mod tests;
