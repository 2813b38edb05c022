//! Slots, untyped memory and the objects that are made of it.

use crate::system::Failure;
use abi::boot::{self, BootInfo};
use abi::{Error, ObjectKind, SlotAddress};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use rt::capability::Capability;
use rt::{Frame, Untyped};

/// First slot of the own table that is not a boot capability.
const FIRST_SLOT: u32 = 128;
/// Slot of the frame that init sees through its window.
pub const WINDOW_SLOT: u32 = FIRST_SLOT - 1;
/// Objects that are made in one go, so that they share pages.
const BATCH: u64 = 16;
/// Untyped blocks of at least this order go to the memory server.
const GUEST_ORDER: u8 = 25;

/// A block of untyped memory.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its capability.
    pub untyped: Untyped,
    /// First physical address.
    pub base: u64,
    /// Base-two logarithm of the bytes.
    pub order: u8,
    /// The NUMA node that it belongs to.
    pub node: u64,
}

/// Slots and memory of init.
pub struct Pool {
    next_slot: u32,
    blocks: Vec<Block>,
    /// Blocks for the memory server.
    pub guests: Vec<Block>,
    /// Device memory.
    pub devices: Vec<Block>,
    /// Memory that holds the boot bundle.
    pub bundle: Vec<Block>,
    ready: BTreeMap<(u64, u64), Vec<Capability>>,
}

/// Returns the node that an address belongs to: 0 where the machine does not say.
fn node_at(info: &BootInfo, address: u64) -> u64 {
    let mut nodes = info.nodes.iter();
    let found = nodes.find(|range| address.wrapping_sub(range.base) < range.length);
    found.map_or(0, |range| range.node)
}

/// Returns whether memory of one node ends, or that of another begins, inside a block.
fn has_border(info: &BootInfo, block: &Block) -> bool {
    let is_inside = |address: u64| {
        let offset = address.wrapping_sub(block.base);
        let is_in = offset > 0 && offset < 1 << block.order;
        is_in && node_at(info, address) != node_at(info, address - 1)
    };
    let nodes = info.nodes.iter();
    nodes
        .flat_map(|range| [range.base, range.base.wrapping_add(range.length)])
        .any(is_inside)
}

impl Pool {
    /// Sorts the untyped memory of the machine.
    pub fn new(info: &BootInfo) -> Self {
        let mut pool = Self {
            next_slot: FIRST_SLOT,
            blocks: Vec::new(),
            guests: Vec::new(),
            devices: Vec::new(),
            bundle: Vec::new(),
            ready: BTreeMap::new(),
        };
        let count = usize::try_from(info.untyped_count).unwrap_or(0);
        for (index, range) in info.untyped.iter().take(count).enumerate() {
            let slot = boot::SLOT_FIRST_UNTYPED + u32::try_from(index).unwrap_or(0);
            let order = u8::try_from(range.length.ilog2()).unwrap_or(0);
            let block = Block {
                untyped: Untyped::own(slot),
                base: range.base,
                order,
                node: node_at(info, range.base),
            };
            match range.kind {
                boot::DEVICE => pool.devices.push(block),
                boot::BUNDLE_MEMORY => pool.bundle.push(block),
                _ => pool.add_memory(info, block),
            }
        }
        pool.guests.sort_by_key(|block| block.order);
        // Init's own needs come out of the smaller blocks, and out of the smallest large one.
        if !pool.guests.is_empty() {
            let smallest = pool.guests.remove(0);
            pool.blocks.push(smallest);
        }
        pool.blocks.sort_by_key(|block| block.order);
        pool
    }

    /// Sorts a block of memory in; one of several nodes is halved until each part is of one.
    fn add_memory(&mut self, info: &BootInfo, block: Block) {
        if block.order < GUEST_ORDER {
            self.blocks.push(block);
            return;
        }
        if !has_border(info, &block) {
            self.guests.push(block);
            return;
        }
        for half in 0..2 {
            let order = block.order - 1;
            let base = block.base + (half << order);
            let made = self.slots(1).and_then(|slot| {
                let made = block
                    .untyped
                    .retype(ObjectKind::Untyped, u64::from(order), 1, slot);
                made.map(|_| slot).map_err(Failure::Kernel)
            });
            // Memory for which there are no slots is not used.
            if let Ok(slot) = made {
                let node = node_at(info, base);
                let untyped = Untyped::own(slot.index);
                self.add_memory(
                    info,
                    Block {
                        untyped,
                        base,
                        order,
                        node,
                    },
                );
            }
        }
    }

    /// Returns an unused slot of the own table.
    pub fn slot(&mut self) -> Result<SlotAddress, Failure> {
        self.slots(1)
    }

    /// Returns the slot of the frame that init sees through its window.
    pub const fn window_slot(&self) -> SlotAddress {
        SlotAddress::own(WINDOW_SLOT)
    }

    /// Returns the first of `count` unused slots in a row.
    fn slots(&mut self, count: u32) -> Result<SlotAddress, Failure> {
        let first = self.next_slot;
        self.next_slot += count;
        if self.next_slot as usize > boot::SLOTS {
            return Err(Failure::OutOfSlots);
        }
        Ok(SlotAddress::own(first))
    }

    /// Makes `count` objects in a row of slots; returns the first slot.
    fn retype(&mut self, kind: ObjectKind, size: u64, count: u64) -> Result<SlotAddress, Failure> {
        let first = self.slots(u32::try_from(count).unwrap_or(u32::MAX))?;
        for block in &self.blocks {
            match block.untyped.retype(kind, size, count, first) {
                Err(Error::OutOfMemory) => {}
                other => return other.map(|_| first).map_err(Failure::Kernel),
            }
        }
        Err(Failure::OutOfMemory)
    }

    /// Makes one object that has memory of its own: a Frame, an Untyped, a CapTable, a space.
    pub fn make(&mut self, kind: ObjectKind, size: u64) -> Result<Capability, Failure> {
        Ok(Capability::at(self.retype(kind, size, 1)?))
    }

    /// Makes one small object that is bound to a core; several share a page.
    pub fn make_on(&mut self, kind: ObjectKind, core: u64) -> Result<Capability, Failure> {
        if let Some(ready) = self.ready.get_mut(&(kind.number(), core))
            && let Some(capability) = ready.pop()
        {
            return Ok(capability);
        }
        let count = if kind == ObjectKind::Vcpu { 1 } else { BATCH };
        let first = self.retype(kind, core, count)?;
        let slots = (0..u32::try_from(count).unwrap_or(0)).rev();
        let mut made: Vec<Capability> = slots
            .map(|index| Capability::own(first.index + index))
            .collect();
        let one = made.pop().ok_or(Failure::OutOfSlots)?;
        self.ready
            .entry((kind.number(), core))
            .or_default()
            .extend(made);
        Ok(one)
    }

    /// Makes a row of objects that are bound to a core; returns the first slot.
    pub fn row_on(&mut self, kind: ObjectKind, core: u64, count: u32) -> Result<u32, Failure> {
        Ok(self.retype(kind, core, u64::from(count))?.index)
    }

    /// Makes a frame with at least `bytes` bytes.
    pub fn frame(&mut self, bytes: u64) -> Result<Frame, Failure> {
        let order = u64::from(bytes.max(abi::PAGE_SIZE).next_power_of_two().ilog2());
        Ok(Frame::at(self.make(ObjectKind::Frame, order)?.slot()))
    }
}
