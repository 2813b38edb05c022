//! Ranges of physical memory while the kernel starts.

use heapless::Vec;
use kernel::boot::Range;

/// The most ranges that are kept.
const MAX: usize = 32;

/// A set of page-aligned ranges that do not overlap.
#[derive(Clone, Default)]
pub struct Ranges(Vec<Range, MAX>);

/// Returns the whole pages that a range touches.
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
    pub fn add(&mut self, range: Range) {
        let base = range.base.next_multiple_of(abi::PAGE_SIZE);
        let end = (range.base + range.length) & !(abi::PAGE_SIZE - 1);
        if end > base {
            let full = self.0.push(Range {
                base,
                length: end - base,
            });
            debug_assert!(
                full.is_ok(),
                "a machine with more ranges of memory than expected"
            );
        }
    }

    /// Takes a range out of all of them.
    pub fn remove(&mut self, hole: Range) {
        let hole = whole_pages(hole);
        let hole_end = hole.base + hole.length;
        let before = core::mem::take(&mut self.0);
        for range in before {
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
        let largest = self.0.iter_mut().max_by_key(|range| range.length)?;
        largest.length = largest.length.checked_sub(bytes)?;
        Some(largest.base + largest.length)
    }

    /// Returns the ranges.
    pub fn as_slice(&self) -> &[Range] {
        &self.0
    }
}
