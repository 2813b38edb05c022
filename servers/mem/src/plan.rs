//! Covering a guest's RAM with the largest fitting folios.
//!
//! From the guest's first byte on, each step takes the largest folio that the guest's alignment,
//! what is left to cover, and free host memory allow; of several places it takes one in the smallest
//! free range, so that large ranges stay whole for who needs them.

use alloc::vec::Vec;

/// Order of the smallest folio: 4 KiB.
pub const MIN_ORDER: u8 = 12;
/// Order of the largest folio: 1 GiB.
pub const MAX_ORDER: u8 = 30;
/// Bytes of the smallest folio.
const PAGE: u64 = 1 << MIN_ORDER;

/// A range of host-physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// First address; a multiple of 4 KiB.
    pub base: u64,
    /// Bytes; a multiple of 4 KiB.
    pub bytes: u64,
}

/// One block of a guest's RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folio {
    /// Host-physical address, a multiple of the size.
    pub base: u64,
    /// Base-two logarithm of the size, [`MIN_ORDER`] to [`MAX_ORDER`].
    pub order: u8,
    /// Bytes from the start of the guest's RAM.
    pub offset: u64,
}

impl Folio {
    /// Returns the size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.order
    }
}

/// How a guest's RAM is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The folios, by rising offset and without gaps.
    pub folios: Vec<Folio>,
    /// What is left of the host's memory, by rising address.
    pub rest: Vec<Range>,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// Size or start of the guest's RAM is no multiple of 4 KiB, or the size is 0; the client is
    /// to blame.
    NotPages,
    /// A range of host memory is no multiple of 4 KiB, wraps around or overlaps another; the
    /// caller is to blame.
    BadRange(Range),
    /// Host memory has too little left.
    TooLittle {
        /// Bytes that are free.
        free: u64,
    },
}

/// Returns the folios for `bytes` of a guest's RAM that starts at guest-physical `start`.
///
/// # Errors
///
/// A [`PlanError`]; nothing is taken then.
pub fn plan(ranges: &[Range], start: u64, bytes: u64) -> Result<Plan, PlanError> {
    if bytes == 0 || !(start | bytes).is_multiple_of(PAGE) {
        return Err(PlanError::NotPages);
    }
    let mut free = Free::new(ranges)?;
    if free.bytes() < bytes.into() {
        return Err(PlanError::TooLittle {
            free: free.bytes().try_into().unwrap_or(u64::MAX),
        });
    }
    let mut folios = Vec::new();
    let mut offset = 0;
    while offset < bytes {
        let aligned = start.wrapping_add(offset).trailing_zeros() as u8;
        let remaining = (bytes - offset).ilog2() as u8;
        let largest = aligned.min(remaining).min(MAX_ORDER);
        // There are as many pages as are missing, so a page at least is found.
        let found = (MIN_ORDER..=largest)
            .rev()
            .find_map(|order| free.take(order));
        let Some((base, order)) = found else {
            return Err(PlanError::TooLittle {
                free: free.bytes().try_into().unwrap_or(u64::MAX),
            });
        };
        folios.push(Folio {
            base,
            order,
            offset,
        });
        offset += 1 << order;
    }
    Ok(Plan {
        folios,
        rest: free.ranges,
    })
}

/// Free host memory, by rising address, without overlaps.
struct Free {
    ranges: Vec<Range>,
}

impl Free {
    /// Checks and sorts ranges.
    fn new(ranges: &[Range]) -> Result<Self, PlanError> {
        let mut sorted: Vec<Range> = ranges
            .iter()
            .copied()
            .filter(|range| range.bytes > 0)
            .collect();
        sorted.sort_unstable();
        let mut end = 0;
        for &range in &sorted {
            let pages = (range.base | range.bytes).is_multiple_of(PAGE);
            let range_end = range.base.checked_add(range.bytes);
            match range_end.filter(|_| pages && range.base >= end) {
                Some(next) => end = next,
                None => return Err(PlanError::BadRange(range)),
            }
        }
        Ok(Self { ranges: sorted })
    }

    /// Returns how much is free.
    fn bytes(&self) -> u128 {
        self.ranges
            .iter()
            .map(|range| u128::from(range.bytes))
            .sum()
    }

    /// Takes a block of this order out of the smallest range that has one; returns its address and
    /// order.
    fn take(&mut self, order: u8) -> Option<(u64, u8)> {
        let blocks = self.ranges.iter().enumerate();
        let fitting = blocks.filter_map(|(index, &range)| {
            first_block(range, order).map(|base| (range.bytes, index, base))
        });
        let (_, index, base) = fitting.min()?;
        let range = self.ranges.get(index).copied()?;
        let below = Range {
            base: range.base,
            bytes: base - range.base,
        };
        let end = base + (1 << order);
        let above = Range {
            base: end,
            bytes: range.base + range.bytes - end,
        };
        let kept = [below, above].into_iter().filter(|range| range.bytes > 0);
        self.ranges.splice(index..=index, kept);
        Some((base, order))
    }
}

/// Returns the lowest aligned block of an order inside a range.
fn first_block(range: Range, order: u8) -> Option<u64> {
    let size = 1u64 << order;
    let base = range.base.checked_next_multiple_of(size)?;
    let end = base.checked_add(size)?;
    (end <= range.base + range.bytes).then_some(base)
}
