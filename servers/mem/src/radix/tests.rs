//! The tree against a set of free frames.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec::Vec;

/// First frame of the tree in these tests: no multiple of a large block.
const FIRST: u64 = 0x1_2345;
const END: u64 = FIRST + (3 << 12) + 77;

/// A tree and what it should know.
struct Pair {
    tree: Radix,
    free: BTreeSet<u64>,
    taken: Vec<(u64, u8)>,
}

impl Pair {
    fn new() -> Self {
        let mut tree = Radix::new(FIRST, END);
        (FIRST..END).for_each(|frame| tree.give(frame, 0));
        Self {
            tree,
            free: (FIRST..END).collect(),
            taken: Vec::new(),
        }
    }

    /// Whether a free block of the order exists, by the definition.
    fn has_block(&self, order: u8) -> bool {
        let size = 1 << order;
        let mut starts = self.free.iter().filter(|frame| frame.is_multiple_of(size));
        starts.any(|&start| (start..start + size).all(|frame| self.free.contains(&frame)))
    }

    fn take(&mut self, order: u8) {
        match self.tree.take(order) {
            Some(first) => {
                assert!(first.is_multiple_of(1 << order));
                for frame in first..first + (1 << order) {
                    assert!(self.free.remove(&frame), "{frame:#x} was not free");
                }
                self.taken.push((first, order));
            }
            None => assert!(!self.has_block(order), "order {order} was there"),
        }
    }

    fn give(&mut self, pick: usize) {
        if self.taken.is_empty() {
            return;
        }
        let (first, order) = self.taken.swap_remove(pick % self.taken.len());
        self.tree.give(first, order);
        self.free.extend(first..first + (1 << order));
    }

    fn take_at(&mut self, frame: u64) {
        let was_free = self.free.remove(&frame);
        assert_eq!(self.tree.take_at(frame), was_free);
        if was_free {
            self.taken.push((frame, 0));
        }
    }

    fn check(&self) {
        assert_eq!(self.tree.free(), self.free.len() as u64);
        for frame in FIRST - 2..END + 2 {
            let free = self.free.contains(&frame);
            assert_eq!(self.tree.is_free(frame), free, "{frame:#x}");
        }
        let blocks = self.tree.count_blocks();
        let frames: u64 = blocks
            .iter()
            .enumerate()
            .map(|(order, count)| count << order)
            .sum();
        assert_eq!(frames, self.tree.free());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Take(u8),
    Give(usize),
    TakeAt(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..14).prop_map(Step::Take),
        3 => any::<usize>().prop_map(Step::Give),
        1 => (FIRST - 2..END + 2).prop_map(Step::TakeAt),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_tree_knows_what_is_free(steps in prop::collection::vec(step(), 1..200)) {
        let mut pair = Pair::new();
        for step in steps {
            match step {
                Step::Take(order) => pair.take(order),
                Step::Give(pick) => pair.give(pick),
                Step::TakeAt(frame) => pair.take_at(frame),
            }
        }
        pair.check();
    }
}

#[test]
fn what_came_back_is_whole_again() {
    let mut pair = Pair::new();
    let before = pair.tree.count_blocks();
    for frame in (FIRST..END).step_by(3) {
        pair.take_at(frame);
    }
    pair.check();
    while !pair.taken.is_empty() {
        pair.give(0);
    }
    pair.check();
    assert_eq!(pair.tree.count_blocks(), before);
}

#[test]
fn a_frame_in_the_middle_of_a_large_block_can_be_taken() {
    let mut pair = Pair::new();
    let frame = (FIRST + (1 << 12)).next_multiple_of(1 << 12) + 0x7a5;
    pair.take_at(frame);
    pair.check();
    pair.take_at(frame);
    pair.give(0);
    pair.check();
}
