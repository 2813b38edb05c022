//! A plain binary buddy: a list of free blocks for each order, the last freed is taken first.

use mem::load::Allocator;
use std::collections::HashMap;

const MAX_ORDER: u8 = 18;

pub struct Buddy {
    /// Blocks of each order, with holes where a block left from the middle.
    lists: Vec<Vec<u64>>,
    /// Where each free block is in its list.
    places: HashMap<(u64, u8), usize>,
}

impl Buddy {
    pub fn new(frames: u64) -> Self {
        let mut buddy = Self {
            lists: vec![Vec::new(); usize::from(MAX_ORDER) + 1],
            places: HashMap::new(),
        };
        for first in (0..frames).step_by(1 << MAX_ORDER) {
            buddy.push(first, MAX_ORDER);
        }
        buddy
    }

    fn push(&mut self, first: u64, order: u8) {
        let list = &mut self.lists[usize::from(order)];
        self.places.insert((first, order), list.len());
        list.push(first);
    }

    /// Takes a block out of the middle of its list, in which order matters.
    fn remove(&mut self, first: u64, order: u8) -> bool {
        let Some(place) = self.places.remove(&(first, order)) else {
            return false;
        };
        self.lists[usize::from(order)][place] = u64::MAX;
        true
    }

    fn pop(&mut self, order: u8) -> Option<u64> {
        while let Some(first) = self.lists[usize::from(order)].pop() {
            if first != u64::MAX {
                self.places.remove(&(first, order));
                return Some(first);
            }
        }
        None
    }

    /// Returns the share of the free memory in blocks below an order, in thousandths.
    pub fn fragmentation(&self, order: u8) -> u64 {
        let frames = |below: u8| -> u64 {
            let blocks = self.places.keys().filter(|(_, order)| *order < below);
            blocks.map(|(_, order)| 1_u64 << order).sum()
        };
        frames(order) * 1000 / frames(MAX_ORDER + 1)
    }
}

impl Allocator for Buddy {
    type Block = (u64, u8);

    fn allocate(&mut self, order: u8) -> Option<(u64, u8)> {
        let (found, first) = (order..=MAX_ORDER).find_map(|at| Some((at, self.pop(at)?)))?;
        for half in (order..found).rev() {
            self.push(first + (1 << half), half);
        }
        Some((first, order))
    }

    fn free(&mut self, (first, order): (u64, u8)) {
        let (mut first, mut order) = (first, order);
        while order < MAX_ORDER && self.remove(first ^ (1 << order), order) {
            first &= !(1 << order);
            order += 1;
        }
        self.push(first, order);
    }
}
