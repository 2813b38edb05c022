//! Ranges of physical memory while a machine starts.

use crate::boot::Range;

/// The most ranges that are kept.
const MAX: usize = 32;

/// A set of page-aligned ranges that do not overlap.
#[derive(Clone, Debug)]
pub struct Ranges {
    all: [Range; MAX],
    count: usize,
}

impl Default for Ranges {
    fn default() -> Self {
        Self {
            all: [Range { base: 0, length: 0 }; MAX],
            count: 0,
        }
    }
}

/// Returns the whole pages that a range touches.
#[must_use]
pub fn whole_pages(range: Range) -> Range {
    let base = range.base & !(abi::PAGE_SIZE - 1);
    let end = (range.base + range.length).next_multiple_of(abi::PAGE_SIZE);
    Range {
        base,
        length: end - base,
    }
}

impl Ranges {
    /// Adds a range; what is not a whole page at its ends is left out, and so is a range too many.
    #[inline(never)]
    pub fn add(&mut self, range: Range) {
        let base = range.base.next_multiple_of(abi::PAGE_SIZE);
        let end = (range.base + range.length) & !(abi::PAGE_SIZE - 1);
        if end > base {
            let length = end - base;
            match self.all.get_mut(self.count) {
                Some(place) => {
                    *place = Range { base, length };
                    self.count += 1;
                }
                None => debug_assert!(false, "a machine with more ranges than expected"),
            }
        }
    }

    /// Takes a range out of all of them.
    pub fn remove(&mut self, hole: Range) {
        let hole = whole_pages(hole);
        let hole_end = hole.base + hole.length;
        let before = core::mem::take(self);
        for range in before.as_slice() {
            let end = range.base + range.length;
            let left = hole.base.clamp(range.base, end);
            let right = hole_end.clamp(range.base, end).max(left);
            self.add(Range {
                base: range.base,
                length: left - range.base,
            });
            self.add(Range {
                base: right,
                length: end - right,
            });
        }
    }

    /// Takes `bytes`, a whole number of pages, from the end of the largest range.
    pub fn take(&mut self, bytes: u64) -> Option<u64> {
        let all = self.all.get_mut(..self.count)?;
        let largest = all.iter_mut().max_by_key(|range| range.length)?;
        largest.length = largest.length.checked_sub(bytes)?;
        Some(largest.base + largest.length)
    }

    /// Returns the ranges.
    #[must_use]
    pub fn as_slice(&self) -> &[Range] {
        self.all.get(..self.count).unwrap_or(&[])
    }

    /// Returns the first address and the end of all ranges together.
    #[must_use]
    pub fn span(&self) -> (u64, u64) {
        let all = self.as_slice().iter();
        let base = all.clone().map(|range| range.base).min();
        let end = all.map(|range| range.base + range.length).max();
        (base.unwrap_or(0), end.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(base: u64, end: u64) -> Range {
        Range {
            base,
            length: end - base,
        }
    }

    #[test]
    fn only_whole_pages_are_kept_and_holes_are_rounded_up() {
        let mut free = Ranges::default();
        free.add(range(0x1800, 0x9800));
        assert_eq!(free.as_slice(), [range(0x2000, 0x9000)]);
        free.remove(range(0x4fff, 0x5001));
        assert_eq!(
            free.as_slice(),
            [range(0x2000, 0x4000), range(0x6000, 0x9000)]
        );
        assert_eq!(free.span(), (0x2000, 0x9000));
        free.remove(range(0, 0x10_0000));
        assert!(free.as_slice().is_empty());
    }

    #[test]
    fn memory_is_taken_from_the_end_of_the_largest_range() {
        let mut free = Ranges::default();
        free.add(range(0x1000, 0x2000));
        free.add(range(0x8000, 0xc000));
        assert_eq!(free.take(0x1000), Some(0xb000));
        assert_eq!(free.take(0x4000), None);
        assert_eq!(
            free.as_slice(),
            [range(0x1000, 0x2000), range(0x8000, 0xb000)]
        );
    }
}
