//! Which capabilities stand for which extents.
//!
//! ```text
//!  root (granted)  Untyped of order 18
//!                   ├─ Untyped 17 ── Frame of a folio of order 17
//!                   └─ Untyped 17
//!                       ├─ Untyped 16 (unused)
//!                       └─ Untyped 16 ── Frame of a folio of order 16
//! ```
//! A folio's Frame is made of an Untyped of just its size, halved out of what was granted; so it can
//! be deleted, and its memory used otherwise, whatever lies beside it. Halves stay when they are not
//! used any more, until a larger folio needs the place or slots are short: then they are deleted, and
//! the memory is whole again. Slots are bounded: a request for which there are too few is refused
//! before anything is made.

use crate::extent::Extent;
use crate::geometry::FrameNumber;
use crate::kernel::{Kernel, Made, Slot};
use alloc::vec::Vec;
use core::ops::Range;

/// Why there is no Frame of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeedRefusal {
    /// The own table has no empty slots.
    NoSlots,
    /// Not memory that was granted, no aligned block of it, or part of a folio already.
    NotGranted,
    /// The kernel refused what the rules above allow.
    Kernel,
}

/// What is made of an Untyped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    Unused,
    /// Its halves, which are nodes with these two numbers in a row.
    Halved(usize),
    /// The Frame of a folio.
    Frame(Slot),
}

/// One Untyped.
#[derive(Clone, Copy, Debug)]
struct Node {
    slot: Slot,
    state: State,
}

/// Memory that was granted: the node with its number.
#[derive(Clone, Copy, Debug)]
struct Root {
    base: FrameNumber,
    order: u8,
    node: usize,
}

/// All capabilities to memory.
#[derive(Clone, Debug)]
pub struct Deeds {
    roots: Vec<Root>,
    nodes: Vec<Node>,
    /// First numbers of pairs of nodes that are not used.
    free_pairs: Vec<usize>,
    free_slots: Vec<Slot>,
}

impl Deeds {
    /// Makes capabilities in these slots, all of them empty.
    #[must_use]
    pub fn new(slots: Range<Slot>) -> Self {
        Self {
            roots: Vec::new(),
            nodes: Vec::new(),
            free_pairs: Vec::new(),
            free_slots: slots.rev().collect(),
        }
    }

    /// Takes over the Untyped in `slot`, of which nothing was made. Whoever grants it vouches for
    /// base and order.
    pub fn add_root(&mut self, base: FrameNumber, order: u8, slot: Slot) {
        let state = State::Unused;
        self.nodes.push(Node { slot, state });
        let node = self.nodes.len() - 1;
        self.roots.push(Root { base, order, node });
    }

    /// Returns whether these frames lie in one block that was granted.
    #[must_use]
    pub fn has_granted(&self, base: FrameNumber, frames: u64) -> bool {
        self.roots.iter().any(|root| {
            let first = base.number().wrapping_sub(root.base.number());
            first < 1 << root.order && frames <= (1 << root.order) - first
        })
    }

    /// Returns how many slots are empty, or would be if unused halves were deleted.
    #[must_use]
    pub fn slots_left(&self) -> usize {
        let unused = |root: &Root| self.reclaimable(root.node);
        self.free_slots.len() + self.roots.iter().map(unused).sum::<usize>()
    }

    /// Returns the slot of a folio's Frame.
    #[must_use]
    pub fn frame(&self, block: Extent) -> Option<Slot> {
        let mut node = self.root_of(block)?;
        loop {
            match self.nodes.get(node.number)?.state {
                State::Frame(slot) if node.order == block.order() => return Some(slot),
                State::Halved(pair) if node.order > block.order() => {
                    node = node.half_with(pair, block.base());
                }
                _ => return None,
            }
        }
    }

    /// Makes the Frame of a folio, and returns its slot.
    ///
    /// # Errors
    ///
    /// [`DeedRefusal`]; nothing was made that anybody could notice.
    pub fn make(&mut self, kernel: &mut impl Kernel, block: Extent) -> Result<Slot, DeedRefusal> {
        let place = self.descend(block)?;
        let halvings = usize::from(place.order - block.order());
        let needed = 2 * halvings + 1;
        if self.free_slots.len() < needed {
            self.collapse_all(kernel);
            // What was halved on the way here may be whole again.
            let place = self.descend(block)?;
            let needed = 2 * usize::from(place.order - block.order()) + 1;
            if self.free_slots.len() < needed {
                return Err(DeedRefusal::NoSlots);
            }
        }
        let mut place = self.descend(block)?;
        self.collapse(kernel, place.number);
        while place.order > block.order() {
            let pair = self.halve(kernel, place)?;
            place = place.half_with(pair, block.base());
        }
        let slot = self.free_slots.pop().ok_or(DeedRefusal::NoSlots)?;
        let from = self.nodes[place.number].slot;
        if kernel.make(from, Made::Frame, place.order, slot).is_err() {
            self.free_slots.push(slot);
            return Err(DeedRefusal::Kernel);
        }
        self.nodes[place.number].state = State::Frame(slot);
        Ok(slot)
    }

    /// Deletes the Frame of a folio, with all its copies and mappings. Returns whether there was
    /// one.
    pub fn delete(&mut self, kernel: &mut impl Kernel, block: Extent) -> bool {
        let (Some(slot), Ok(place)) = (self.frame(block), self.node_of(block)) else {
            return false;
        };
        kernel.delete(slot);
        self.free_slots.push(slot);
        self.nodes[place].state = State::Unused;
        true
    }

    /// Makes Frames of the parts of a folio instead of the one that it has; what is in the folio
    /// stays.
    ///
    /// # Errors
    ///
    /// [`DeedRefusal`]; the folio has its one Frame then, without copies.
    pub fn divide(
        &mut self,
        kernel: &mut impl Kernel,
        block: Extent,
        parts: &[Extent],
    ) -> Result<(), DeedRefusal> {
        let is_inside = |part: &Extent| block.index_of(part.base()).is_some();
        if self.frame(block).is_none() || !parts.iter().all(is_inside) {
            return Err(DeedRefusal::NotGranted);
        }
        let halvings = |part: &Extent| usize::from(block.order() - part.order());
        let needed: usize = parts.iter().map(|part| 2 * halvings(part) + 1).sum();
        if self.free_slots.len() + 1 < needed {
            self.collapse_all(kernel);
        }
        if self.free_slots.len() + 1 < needed {
            return Err(DeedRefusal::NoSlots);
        }
        self.delete(kernel, block);
        for (count, part) in parts.iter().enumerate() {
            if let Err(refusal) = self.make(kernel, *part) {
                for made in &parts[..count] {
                    self.delete(kernel, *made);
                }
                self.make(kernel, block)?;
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Returns the root that a block lies in.
    fn root_of(&self, block: Extent) -> Option<Place> {
        let holds = |root: &&Root| {
            let offset = block.base().number().wrapping_sub(root.base.number());
            offset < 1 << root.order && root.order >= block.order()
        };
        let root = self.roots.iter().find(holds)?;
        Some(Place {
            number: root.node,
            order: root.order,
        })
    }

    /// Returns the smallest node around a block that is not halved, or halved and of its size.
    fn descend(&self, block: Extent) -> Result<Place, DeedRefusal> {
        let is_block = block.frames() == 1 << block.order();
        let is_aligned = block.base().number().is_multiple_of(block.frames());
        let mut place = self
            .root_of(block)
            .filter(|_| is_block && is_aligned)
            .ok_or(DeedRefusal::NotGranted)?;
        loop {
            match self.nodes[place.number].state {
                State::Unused => return Ok(place),
                State::Halved(pair) if place.order > block.order() => {
                    place = place.half_with(pair, block.base());
                }
                State::Halved(_) if !self.has_frames(place.number) => return Ok(place),
                State::Halved(_) | State::Frame(_) => return Err(DeedRefusal::NotGranted),
            }
        }
    }

    /// Returns the node that is a block.
    fn node_of(&self, block: Extent) -> Result<usize, DeedRefusal> {
        let mut place = self.root_of(block).ok_or(DeedRefusal::NotGranted)?;
        while place.order > block.order() {
            let State::Halved(pair) = self.nodes[place.number].state else {
                return Err(DeedRefusal::NotGranted);
            };
            place = place.half_with(pair, block.base());
        }
        Ok(place.number)
    }

    /// Makes the halves of an unused node, and returns their first number.
    fn halve(&mut self, kernel: &mut impl Kernel, place: Place) -> Result<usize, DeedRefusal> {
        let from = self.nodes[place.number].slot;
        let mut slots = [0; 2];
        for (count, place_of) in slots.iter_mut().enumerate() {
            let slot = self.free_slots.pop().ok_or(DeedRefusal::NoSlots)?;
            *place_of = slot;
            let made = kernel.make(from, Made::Untyped, place.order - 1, slot);
            if made.is_err() {
                self.free_slots.push(slot);
                if count == 1 {
                    kernel.delete(slots[0]);
                    self.free_slots.push(slots[0]);
                }
                return Err(DeedRefusal::Kernel);
            }
        }
        let nodes = slots.map(|slot| Node {
            slot,
            state: State::Unused,
        });
        let pair = match self.free_pairs.pop() {
            Some(pair) => pair,
            None => {
                self.nodes.extend(nodes);
                self.nodes.len() - 2
            }
        };
        self.nodes[pair..pair + 2].copy_from_slice(&nodes);
        self.nodes[place.number].state = State::Halved(pair);
        Ok(pair)
    }

    /// Returns whether a folio lies in a node.
    fn has_frames(&self, number: usize) -> bool {
        match self.nodes[number].state {
            State::Unused => false,
            State::Frame(_) => true,
            State::Halved(pair) => self.has_frames(pair) || self.has_frames(pair + 1),
        }
    }

    /// Returns how many slots the unused halves below a node have.
    fn reclaimable(&self, number: usize) -> usize {
        match self.nodes[number].state {
            State::Unused | State::Frame(_) => 0,
            State::Halved(pair) => {
                let own = if self.has_frames(number) { 0 } else { 2 };
                own + self.reclaimable(pair) + self.reclaimable(pair + 1)
            }
        }
    }

    /// Deletes the halves of a node in which there is no folio.
    fn collapse(&mut self, kernel: &mut impl Kernel, number: usize) {
        let State::Halved(pair) = self.nodes[number].state else {
            return;
        };
        for half in [pair, pair + 1] {
            self.collapse(kernel, half);
            let slot = self.nodes[half].slot;
            kernel.delete(slot);
            self.free_slots.push(slot);
        }
        self.free_pairs.push(pair);
        self.nodes[number].state = State::Unused;
    }

    /// Deletes all halves that are not used.
    fn collapse_all(&mut self, kernel: &mut impl Kernel) {
        for index in 0..self.roots.len() {
            self.collapse_unused(kernel, self.roots[index].node);
        }
    }

    /// Deletes the halves below a node that are not used.
    fn collapse_unused(&mut self, kernel: &mut impl Kernel, number: usize) {
        let State::Halved(pair) = self.nodes[number].state else {
            return;
        };
        if self.has_frames(number) {
            self.collapse_unused(kernel, pair);
            self.collapse_unused(kernel, pair + 1);
        } else {
            self.collapse(kernel, number);
        }
    }
}

/// A node and its size.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: usize,
    order: u8,
}

impl Place {
    /// Returns the one of the two halves that a frame lies in; a node is aligned to its size.
    const fn half_with(self, pair: usize, frame: FrameNumber) -> Self {
        let order = self.order - 1;
        let upper = frame.number() >> order & 1;
        Self {
            number: pair + upper as usize,
            order,
        }
    }
}
