//! Free memory as untyped blocks, divided in halves down to the folio that is wanted.

use abi::{Error, ObjectKind, SlotAddress};
use alloc::vec::Vec;
use mem::{Folio, Range};
use rt::{Frame, Untyped};

/// First slot of the own table for blocks and folios.
const FIRST_SLOT: u32 = 128;
/// End of those slots.
const END_SLOT: u32 = 1024;
/// Largest order of a folio: what the window for clearing takes.
pub const MAX_ORDER: u8 = 28;

/// A free block.
#[derive(Clone, Copy, Debug)]
struct Block {
    untyped: Untyped,
    base: u64,
    order: u8,
}

/// A folio in use.
pub struct Taken {
    /// Its frame.
    pub frame: Frame,
    block: Block,
}

/// All free blocks.
pub struct Blocks {
    free: Vec<Block>,
    next_slot: u32,
}

impl Blocks {
    /// Takes the blocks that the process was granted.
    pub fn granted() -> Self {
        let mut blocks = Self {
            free: Vec::new(),
            next_slot: FIRST_SLOT,
        };
        for index in 0.. {
            let memory = rt::grant(&alloc::format!("memory.{index}"));
            let base = rt::grant(&alloc::format!("memory-base.{index}"));
            let (Some(memory), Some(base)) = (memory, base) else {
                break;
            };
            blocks.free.push(Block {
                untyped: Untyped::own(memory.index()),
                base: base.value,
                order: u8::try_from(memory.value).unwrap_or(0),
            });
        }
        blocks
    }

    /// Returns the free memory as ranges in which folios may be planned.
    pub fn ranges(&self) -> Vec<Range> {
        let parts = self.free.iter().flat_map(|block| {
            let order = block.order.min(MAX_ORDER);
            let count = 1_u64 << (block.order - order);
            (0..count).map(move |index| Range {
                base: block.base + (index << order),
                bytes: 1 << order,
            })
        });
        parts.collect()
    }

    /// Returns the free bytes.
    pub fn bytes(&self) -> u64 {
        self.free.iter().map(|block| 1_u64 << block.order).sum()
    }

    /// Returns the order of the largest free block.
    pub fn largest(&self) -> u8 {
        self.free.iter().map(|block| block.order).max().unwrap_or(0)
    }

    /// Returns two unused slots in a row.
    fn slots(&mut self, count: u32) -> Result<SlotAddress, Error> {
        let first = self.next_slot;
        if first + count > END_SLOT {
            return Err(Error::TableFull);
        }
        self.next_slot += count;
        Ok(SlotAddress::own(first))
    }

    /// Makes the frame of a planned folio.
    pub fn take(&mut self, folio: &Folio) -> Result<Taken, Error> {
        let has = |block: &Block| folio.base.wrapping_sub(block.base) < 1 << block.order;
        let position = self.free.iter().position(has).ok_or(Error::OutOfMemory)?;
        let mut block = self.free.swap_remove(position);
        while block.order > folio.order {
            block = self.halve(block, folio.base)?;
        }
        let slot = self.slots(1)?;
        block
            .untyped
            .retype(ObjectKind::Frame, u64::from(block.order), 1, slot)?;
        Ok(Taken {
            frame: Frame::at(slot),
            block,
        })
    }

    /// Deletes the frame of a folio, and with it all copies; its memory is free again.
    pub fn put_back(&mut self, taken: Taken) {
        match taken.frame.capability().delete() {
            Ok(()) => self.free.push(taken.block),
            Err(error) => rt::error!("a folio did not come back: {}", error),
        }
    }

    /// Divides a block; keeps the half that `wanted` is not in and returns the other.
    fn halve(&mut self, block: Block, wanted: u64) -> Result<Block, Error> {
        let order = block.order - 1;
        let first = self.slots(2)?;
        block
            .untyped
            .retype(ObjectKind::Untyped, u64::from(order), 2, first)?;
        let half = |index: u32| Block {
            untyped: Untyped::own(first.index + index),
            base: block.base + (u64::from(index) << order),
            order,
        };
        let upper = half(1);
        let (taken, kept) = if wanted >= upper.base {
            (upper, half(0))
        } else {
            (half(0), upper)
        };
        self.free.push(kept);
        Ok(taken)
    }
}
