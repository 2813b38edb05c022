//! The free frames of a range of memory: a tree, and before it *magazines* of small blocks that are
//! taken next.
//!
//! Most requests are for a few frames: a magazine gets some at once, those of the lowest addresses. What
//! is freed below these is what the next request should get, and goes into the magazine, too; what is freed
//! above goes back to the tree. Would that go into a magazine as well, the next request would get it, wherever
//! it lies, and what is in use would no longer gather at low addresses (`tests/fragmentation.rs`). What lies
//! in a magazine is free; whoever looks at certain frames empties the magazines first.

use crate::geometry::FrameNumber;
use crate::map::Memory;
use crate::radix::Radix;
use crate::refusal::Refusal;
use alloc::boxed::Box;

/// What is wanted of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Base-two logarithm of the frames.
    pub order: u8,
    /// The node to prefer, where one is preferred; others serve where it has nothing.
    pub node: Option<u8>,
    /// Whether the contents may be moved to other frames later. Only then the folio may come from
    /// an area.
    pub movable: bool,
}

/// What a pool is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// For everything.
    Ordinary,
    /// Lent to what is movable until a contiguous request comes.
    Area(Memory),
}

/// Largest order of a block that an area lends: what lies there has to be moved in short steps.
const MAX_LENT_ORDER: u8 = 9;
/// Orders that have a magazine: below this.
const ORDERS: usize = 4;
/// Blocks of a magazine. With four times as many it has to be filled a third as often, but what lies at
/// the lowest addresses is then no longer taken first.
const BLOCKS: usize = 128;
/// Frames that an empty magazine gets at once.
const REFILL: usize = 32;

/// First frames of blocks of one order.
#[derive(Clone, Debug)]
struct Magazine {
    count: usize,
    /// The last one that it got out of the tree, where no block of its order was free below.
    mark: FrameNumber,
    blocks: Box<[FrameNumber; BLOCKS]>,
}

impl Magazine {
    fn new() -> Self {
        Self {
            count: 0,
            mark: FrameNumber::FIRST,
            blocks: Box::new([FrameNumber::FIRST; BLOCKS]),
        }
    }

    /// Returns the blocks.
    fn as_slice(&self) -> &[FrameNumber] {
        &self.blocks[..self.count]
    }

    /// Takes the block that came last.
    #[inline]
    fn pop(&mut self) -> Option<FrameNumber> {
        let count = self.count.checked_sub(1)?;
        self.count = count;
        self.blocks.get(count).copied()
    }

    /// Adds a block; returns whether there was room.
    #[inline]
    fn push(&mut self, first: FrameNumber) -> bool {
        let Some(place) = self.blocks.get_mut(self.count) else {
            return false;
        };
        *place = first;
        self.count += 1;
        true
    }
}

/// Free frames of a kind.
#[derive(Clone, Debug)]
pub struct Pool {
    tree: Radix,
    magazines: [Magazine; ORDERS],
    /// The node that it belongs to.
    pub node: u8,
    /// What it is for.
    pub purpose: Use,
}

impl Pool {
    /// Makes a pool of memory, all of it free; blocks up to an order are given at once.
    pub fn new(memory: Memory, end: u64, max_order: u8, purpose: Use) -> Self {
        let first = memory.first.number();
        let mut tree = Radix::new(first, end);
        let mut at = first;
        while at < end {
            let aligned = at.trailing_zeros().min((end - at).ilog2());
            let order = u8::try_from(aligned).unwrap_or(0).min(max_order);
            tree.give(at, order);
            at += 1 << order;
        }
        Self {
            tree,
            magazines: core::array::from_fn(|_| Magazine::new()),
            node: memory.node,
            purpose,
        }
    }

    /// Returns whether it is kept for contiguous requests.
    #[must_use]
    pub const fn is_area(&self) -> bool {
        matches!(self.purpose, Use::Area(_))
    }

    /// Takes a block; returns its first frame.
    pub fn take(&mut self, order: u8) -> Option<FrameNumber> {
        match self.magazines.get_mut(usize::from(order)) {
            Some(magazine) => match magazine.pop() {
                Some(first) => Some(first),
                None => self.refill(order),
            },
            None => self.take_whole(order),
        }
    }

    /// Takes a block whose magazine is empty, and others for that.
    #[inline(never)]
    fn refill(&mut self, order: u8) -> Option<FrameNumber> {
        let magazine = self.magazines.get_mut(usize::from(order))?;
        let mut left = REFILL >> order;
        // In used memory a word has few free frames.
        while left > 0 {
            let found = self.tree.take_some(order, left, |first| {
                magazine.mark = FrameNumber::of_tree(first);
                magazine.push(magazine.mark);
            });
            if found == 0 {
                break;
            }
            left = left.saturating_sub(found);
        }
        match magazine.pop() {
            Some(first) => Some(first),
            None => self.take_whole(order),
        }
    }

    /// Takes a block out of the tree, if need be with what is in the magazines.
    #[inline(never)]
    fn take_whole(&mut self, order: u8) -> Option<FrameNumber> {
        let mut found = self.tree.take(order);
        if found.is_none() && self.held() != 0 {
            self.empty_magazines();
            found = self.tree.take(order);
        }
        found.map(FrameNumber::of_tree)
    }

    /// Frees a block.
    #[inline]
    pub fn give(&mut self, first: FrameNumber, order: u8) {
        let magazine = self.magazines.get_mut(usize::from(order));
        if !magazine.is_some_and(|magazine| first <= magazine.mark && magazine.push(first)) {
            self.give_to_tree(first, order);
        }
    }

    /// Frees a block that is not the next to be taken.
    #[inline(never)]
    fn give_to_tree(&mut self, first: FrameNumber, order: u8) {
        self.tree.give(first.number(), order);
    }

    /// Gives what is in the magazines to the tree.
    pub fn empty_magazines(&mut self) {
        for (order, magazine) in (0..).zip(&mut self.magazines) {
            while let Some(first) = magazine.pop() {
                self.tree.give(first.number(), order);
            }
        }
    }

    /// Takes this frame, if it is free.
    pub fn take_at(&mut self, frame: u64) -> bool {
        self.empty_magazines();
        self.tree.take_at(frame)
    }

    /// Returns whether a frame is free.
    #[must_use]
    pub fn is_free(&self, frame: u64) -> bool {
        let is_held = |(order, magazine): (usize, &Magazine)| {
            let first = frame >> order << order;
            magazine.as_slice().contains(&FrameNumber::of_tree(first))
        };
        self.tree.is_free(frame) || self.magazines.iter().enumerate().any(is_held)
    }

    /// Returns how many frames are in the magazines.
    fn held(&self) -> u64 {
        let magazines = self.magazines.iter().enumerate();
        magazines
            .map(|(order, magazine)| (magazine.count as u64) << order)
            .sum()
    }

    /// Returns how many frames are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.tree.free() + self.held()
    }

    /// Returns the tree, in which all that is free is.
    pub fn whole_tree(&mut self) -> &Radix {
        self.empty_magazines();
        &self.tree
    }

    /// Returns the bytes that the pool takes for itself.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let magazines = ORDERS * BLOCKS * size_of::<u64>();
        self.tree.footprint() + magazines + size_of::<Self>()
    }
}

/// A block that was taken out of one of several pools.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Index of the pool.
    pub pool: u8,
    /// Its node.
    pub node: u8,
    /// The first frame.
    pub first: FrameNumber,
}

/// The pools that small blocks come from: for each order, and for what is movable and what is not,
/// the one that was found last. As long as its magazine has something, nobody looks for a better one.
#[derive(Clone, Debug)]
pub struct Hands {
    pools: [[u8; ORDERS]; 2],
}

impl Hands {
    /// Begins with the first pool, which is no area.
    pub const fn new() -> Self {
        Self {
            pools: [[0; ORDERS]; 2],
        }
    }

    /// Takes what lies in the magazine of the pool that served last, if that is of the wanted node.
    #[inline]
    pub fn take(&self, pools: &mut [Pool], want: Want) -> Option<Taken> {
        let [fixed, movable] = &self.pools;
        let hands = if want.movable { movable } else { fixed };
        let number = *hands.get(usize::from(want.order))?;
        let pool = pools.get_mut(usize::from(number))?;
        if want.node.is_some_and(|node| node != pool.node) {
            return None;
        }
        let magazine = pool.magazines.get_mut(usize::from(want.order))?;
        Some(Taken {
            pool: number,
            node: pool.node,
            first: magazine.pop()?,
        })
    }

    /// Notes where a block was found.
    pub fn note(&mut self, want: Want, taken: Taken) {
        let hands = &mut self.pools[usize::from(want.movable)];
        if let Some(number) = hands.get_mut(usize::from(want.order)) {
            *number = taken.pool;
        }
    }
}

/// Takes a block out of the best pool that has one: those of the wanted node first, and of these the
/// areas first where something is movable and most of what is free lies in areas.
///
/// # Errors
///
/// [`Refusal::OutOfMemory`], [`Refusal::Unknown`] (node).
pub fn take(pools: &mut [Pool], want: Want) -> Result<Taken, Refusal> {
    let is_near = |pool: &Pool| want.node.is_none_or(|node| node == pool.node);
    if !pools.iter().any(is_near) {
        return Err(if pools.is_empty() {
            Refusal::OutOfMemory
        } else {
            Refusal::Unknown
        });
    }
    let areas_first = want.movable && most_is_in_areas(pools);
    let kinds = [(true, areas_first), (true, !areas_first)];
    let kinds = kinds
        .into_iter()
        .chain(kinds.map(|(_, area)| (false, area)));
    let may_lend = want.movable && want.order <= MAX_LENT_ORDER;
    for (near, area) in kinds.filter(|(_, area)| may_lend || !area) {
        for (number, pool) in (0..=u8::MAX).zip(pools.iter_mut()) {
            if is_near(pool) == near
                && pool.is_area() == area
                && let Some(first) = pool.take(want.order)
            {
                return Ok(Taken {
                    pool: number,
                    node: pool.node,
                    first,
                });
            }
        }
    }
    Err(Refusal::OutOfMemory)
}

/// Returns the frames that are free.
pub fn free(pools: &[Pool]) -> u64 {
    pools.iter().map(Pool::free).sum()
}

/// Returns whether most of what is free lies in areas.
fn most_is_in_areas(pools: &[Pool]) -> bool {
    pools.iter().any(Pool::is_area) && free_in_areas(pools) > free(pools) / 2
}

/// Returns the frames that are free in areas.
pub fn free_in_areas(pools: &[Pool]) -> u64 {
    let areas = pools.iter().filter(|pool| pool.is_area());
    areas.map(Pool::free).sum()
}
