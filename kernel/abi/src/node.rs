//! Collecting which NUMA node memory belongs to, while a machine starts.

use crate::boot::{MAX_NODE_RANGES, NodeRange};
use core::fmt;

/// Words of a [`NodeRange`].
const WORDS: usize = size_of::<NodeRange>() / size_of::<u64>();

/// Ranges of memory and their nodes, at most [`MAX_NODE_RANGES`]; how many more there are is counted.
#[derive(Clone, Debug)]
pub struct NodeRanges {
    words: [u64; WORDS * MAX_NODE_RANGES],
    count: usize,
    left_out: usize,
}

impl Default for NodeRanges {
    fn default() -> Self {
        Self {
            words: [0; WORDS * MAX_NODE_RANGES],
            count: 0,
            left_out: 0,
        }
    }
}

impl NodeRanges {
    /// Adds a range; one that goes on where the last one ends, on the same node, is one with it.
    pub fn add(&mut self, range: NodeRange) {
        let (rows, _) = self.words.as_chunks_mut::<WORDS>();
        let last = self
            .count
            .checked_sub(1)
            .and_then(|last| rows.get_mut(last));
        if let Some([base, length, node]) = last
            && *node == range.node
            && base.checked_add(*length) == Some(range.base)
            && let Some(sum) = length.checked_add(range.length)
        {
            *length = sum;
        } else if let Some(row) = rows.get_mut(self.count) {
            *row = [range.base, range.length, range.node];
            self.count += 1;
        } else {
            self.left_out += 1;
        }
    }

    /// Returns the words of [`BootInfo::nodes`](crate::boot::BootInfo::nodes).
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words[..self.count * WORDS]
    }

    /// Returns what there is to say about ranges that did not fit, if there are any.
    #[must_use]
    pub fn warning(&self) -> Option<TooManyRanges> {
        (self.left_out > 0).then_some(TooManyRanges(self.left_out))
    }
}

/// So many more ranges than [`MAX_NODE_RANGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRanges(usize);

impl fmt::Display for TooManyRanges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = self.0;
        write!(
            formatter,
            "MAX_NODE_RANGES: {more} ranges of memory above {MAX_NODE_RANGES} count as node 0's"
        )
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    fn ranges(count: u64) -> NodeRanges {
        let mut ranges = NodeRanges::default();
        for node in 0..count {
            ranges.add(NodeRange {
                base: node << 30,
                length: 1 << 30,
                node,
            });
        }
        ranges
    }

    #[test]
    fn ranges_too_many_are_left_out_and_told_by_the_name_of_the_limit() {
        let most = MAX_NODE_RANGES as u64;
        let full = ranges(most);
        assert_eq!(full.warning(), None);
        let over = ranges(most + 3);
        assert_eq!(over.words(), full.words());
        let warning = over.warning().map(|warning| warning.to_string());
        let expected = "MAX_NODE_RANGES: 3 ranges of memory above 16 count as node 0's";
        assert_eq!(warning.as_deref(), Some(expected));
    }

    #[test]
    fn what_goes_on_on_the_same_node_is_one_range() {
        let mut ranges = NodeRanges::default();
        for (base, node) in [(0, 1), (8, 1), (16, 2), (32, 2), (40, 1)] {
            let length = 8;
            ranges.add(NodeRange { base, length, node });
        }
        assert_eq!(ranges.words(), [0, 16, 1, 16, 8, 2, 32, 8, 2, 40, 8, 1]);
        let last = NodeRange {
            base: u64::MAX - 7,
            length: 8,
            node: 1,
        };
        ranges.add(last);
        ranges.add(NodeRange { base: 0, ..last });
        assert_eq!(ranges.words().len(), 6 * 3, "no range wraps around");
    }
}
