//! A mixed load of allocations and frees, the same for every allocator that it is given.
//!
//! Orders 0 to 9, each half as probable as the one below; lifetimes are random: whatever is live is
//! as likely to go next. The load keeps some four fifths of the memory in use.

pub mod buddy;

use alloc::vec::Vec;
use core::hint::black_box;

/// The largest order of the load.
const MAX_ORDER: u32 = 9;

/// What the load needs of an allocator.
pub trait Allocator {
    /// What names a block in use.
    type Block: Copy;
    /// What it answers to a request for a block.
    type Answer;
    /// Takes a block, if there is one.
    fn allocate(&mut self, order: u8) -> Self::Answer;
    /// Returns the block of an answer.
    fn block(answer: Self::Answer) -> Option<Self::Block>;
    /// Gives a block back.
    fn free(&mut self, block: Self::Block);
}

/// One operation of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Takes a block of this order.
    Allocate(u8),
    /// Gives a block of this order back.
    Free(u8),
}

/// Operations from one look at the free memory to the next: what is in fragments is another part of it
/// at any moment, so that one says little.
pub const MOMENT: u64 = 1_000_000;

/// Which part of the free memory was in fragments at several moments, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragments {
    sum: u64,
    moments: u64,
    /// The least of them.
    pub least: u64,
    /// The most of them.
    pub most: u64,
}

impl Fragments {
    /// Adds what it was at a moment.
    pub fn add(&mut self, share: u64) {
        self.least = match self.moments {
            0 => share,
            _ => self.least.min(share),
        };
        self.most = self.most.max(share);
        self.sum += share;
        self.moments += 1;
    }

    /// Adds all of another load.
    pub fn join(&mut self, other: &Self) {
        self.least = match self.moments {
            0 => other.least,
            _ => self.least.min(other.least),
        };
        self.most = self.most.max(other.most);
        self.sum += other.sum;
        self.moments += other.moments;
    }

    /// Returns the mean.
    #[must_use]
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.moments).unwrap_or(0)
    }

    /// Returns how many moments there were.
    #[must_use]
    pub const fn moments(&self) -> u64 {
        self.moments
    }
}

/// The load, and what it has in use.
#[derive(Debug)]
pub struct Load<B> {
    random: u64,
    live: Vec<(B, u8)>,
    used: u64,
    /// Frames that it wants to have in use.
    target: u64,
}

impl<B: Copy> Load<B> {
    /// Makes the load for a memory of so many frames.
    #[must_use]
    pub fn new(seed: u64, frames: u64) -> Self {
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            // Room for all of it, so that nothing grows while somebody counts: the mean block of
            // the load has some 5 frames.
            live: Vec::with_capacity(usize::try_from(frames / 2).unwrap_or(0)),
            used: 0,
            target: frames / 5 * 4,
        }
    }

    /// Returns the next number (xorshift64*).
    fn next(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Makes one operation, with `watch` around the allocator's part of it.
    pub fn step<A: Allocator<Block = B>>(
        &mut self,
        allocator: &mut A,
        watch: &mut impl FnMut(Operation, &mut dyn FnMut()),
    ) {
        let drawn = self.next();
        // Below the target three of four operations allocate, above it one of four.
        let allocates = (drawn >> 62 != 0) == (self.used < self.target);
        if allocates || self.live.is_empty() {
            // It is drawn before somebody watches, whatever the compiler would rather do.
            let order = black_box((drawn as u32).trailing_zeros().min(MAX_ORDER) as u8);
            let mut answer = None;
            watch(Operation::Allocate(order), &mut || {
                answer = Some(allocator.allocate(order));
            });
            if let Some(block) = answer.and_then(A::block) {
                self.live.push((block, order));
                self.used += 1 << order;
            }
        } else {
            let place = (drawn >> 20) % self.live.len() as u64;
            let (block, order) = self.live.swap_remove(place as usize);
            watch(Operation::Free(order), &mut || allocator.free(block));
            self.used -= 1 << order;
        }
    }

    /// Returns the frames that it has in use.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }
}
