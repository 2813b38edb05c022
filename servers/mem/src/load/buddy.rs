//! A plain binary buddy, to compare with: a list of free blocks for each order, of which the last
//! that was freed is taken first.

use super::Allocator;
use alloc::vec;
use alloc::vec::Vec;

/// Orders that it has: blocks of up to 1 GiB.
const ORDERS: usize = 19;
/// No block.
const NONE: u32 = u32::MAX;
/// The order of a frame that begins no free block.
const IN_USE: u8 = u8::MAX;

/// What is known of a frame that begins a free block.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    behind: u32,
}

/// The allocator.
#[derive(Debug)]
pub struct Buddy {
    /// The first free block of each order.
    heads: [u32; ORDERS],
    links: Vec<Link>,
    orders: Vec<u8>,
}

impl Buddy {
    /// Makes an allocator of so many frames.
    #[must_use]
    pub fn new(frames: u32) -> Self {
        let none = Link {
            before: NONE,
            behind: NONE,
        };
        let mut buddy = Self {
            heads: [NONE; ORDERS],
            links: vec![none; frames as usize],
            orders: vec![IN_USE; frames as usize],
        };
        let mut first = 0;
        while first < frames {
            let order = (frames - first).ilog2().min(first.trailing_zeros());
            let order = order.min(ORDERS as u32 - 1);
            buddy.push(first, order as u8);
            first += 1 << order;
        }
        buddy
    }

    /// Puts a block before those of its order.
    fn push(&mut self, first: u32, order: u8) {
        let head = &mut self.heads[usize::from(order)];
        let behind = core::mem::replace(head, first);
        self.links[first as usize] = Link {
            before: NONE,
            behind,
        };
        self.orders[first as usize] = order;
        if behind != NONE {
            self.links[behind as usize].before = first;
        }
    }

    /// Takes a block out of its list.
    fn remove(&mut self, first: u32, order: u8) {
        let Link { before, behind } = self.links[first as usize];
        match before {
            NONE => self.heads[usize::from(order)] = behind,
            _ => self.links[before as usize].behind = behind,
        }
        if behind != NONE {
            self.links[behind as usize].before = before;
        }
        self.orders[first as usize] = IN_USE;
    }

    /// Returns the share of the free memory in blocks below an order, in thousandths.
    #[must_use]
    pub fn fragmentation(&self, order: u8) -> u64 {
        let (mut small, mut all) = (0_u64, 0_u64);
        for &at in self.orders.iter().filter(|at| **at != IN_USE) {
            all += 1 << at;
            small += u64::from(at < order) << at;
        }
        (small * 1000).checked_div(all).unwrap_or(0)
    }
}

impl Allocator for Buddy {
    type Block = (u32, u8);
    type Answer = Option<(u32, u8)>;

    fn block(answer: Self::Answer) -> Option<(u32, u8)> {
        answer
    }

    fn allocate(&mut self, order: u8) -> Option<(u32, u8)> {
        let orders = usize::from(order)..ORDERS;
        let found = orders.into_iter().find(|at| self.heads[*at] != NONE)?;
        let first = self.heads[found];
        self.remove(first, found as u8);
        for half in (order..found as u8).rev() {
            self.push(first + (1 << half), half);
        }
        Some((first, order))
    }

    fn free(&mut self, (mut first, mut order): (u32, u8)) {
        while usize::from(order) + 1 < ORDERS {
            let other = first ^ 1 << order;
            if self.orders.get(other as usize) != Some(&order) {
                break;
            }
            self.remove(other, order);
            first &= !(1 << order);
            order += 1;
        }
        self.push(first, order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_is_whole_again() {
        let mut buddy = Buddy::new(1 << 12);
        let blocks: Vec<_> = (0..10).filter_map(|order| buddy.allocate(order)).collect();
        assert_eq!(blocks.len(), 10);
        assert!(buddy.fragmentation(12) == 1000);
        blocks.into_iter().for_each(|block| buddy.free(block));
        assert_eq!(buddy.fragmentation(12), 0);
        assert_eq!(buddy.allocate(12), Some((0, 12)));
        assert_eq!(buddy.allocate(0), None);
    }
}
