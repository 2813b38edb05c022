//! What the server begins with: the memory, the guests and the clients that it was granted.

use super::capabilities::{Capabilities, MAX_ORDER};
use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;
use mem::{
    Block, Client, Descriptor, FRAME_SHIFT, FrameNumber, Geometry, Gigantic, Memory, Refusal, Slot,
    Steward,
};
use rt::GuestSpace;
use rt::sys::Machine;

/// Slots of the own table for memory: those behind the grants.
pub const SLOTS: Range<Slot> = 128..1024;
/// Bytes of the heap that are kept for all but descriptors.
const HEAP_KEPT: u64 = 512 << 10;

/// Returns how the memory of this machine is described: in sections of 128 or 256 MiB, whose
/// descriptors follow one another, and with what the second stage maps by one entry.
const fn geometry() -> Geometry {
    let (section_shift, gigantic) = match rt::sys::MACHINE {
        Machine::Riscv | Machine::X86 => (15, Gigantic::OneGib),
        // Segments of 1 MiB are the largest leaves here.
        Machine::S390 => (16, Gigantic::No),
    };
    Geometry {
        section_shift,
        vmemmap: true,
        gigantic,
    }
}

/// Returns the steward of all memory that was granted.
pub fn steward() -> Steward<Capabilities> {
    let geometry = geometry();
    let blocks = described(blocks(), geometry.section_shift);
    let memory: Vec<Memory> = blocks.iter().map(Block::memory).collect();
    let capabilities = Capabilities { guests: guests() };
    let mut steward = Steward::new(capabilities, geometry, MAX_ORDER, SLOTS);
    steward.reserve(&memory);
    for block in &blocks {
        if let Err(refusal) = steward.grant(block) {
            rt::log!("mem: memory at {:#x}: {refusal:?}", block.base.address());
        }
    }
    for client in clients() {
        if let Err(refusal) = steward.add_client(client) {
            rt::log!("mem: process {}: {refusal:?}", client.process);
        }
    }
    declare_areas(&mut steward, &blocks);
    let largest = blocks.iter().map(|block| block.order).max().unwrap_or(0);
    rt::info!(
        "{=u64} MiB for guests, largest block of order {=u8}, {} KiB of descriptors",
        steward.folios().free() >> (20 - FRAME_SHIFT),
        largest.min(MAX_ORDER) + FRAME_SHIFT as u8,
        steward.folios().footprint() >> 10
    );
    steward
}

/// Sets the areas of the manifest apart; those without a base are the end of the largest block.
fn declare_areas(steward: &mut Steward<Capabilities>, blocks: &[Block]) {
    let mut end = blocks
        .first()
        .map_or(0, |block| block.base.number() + (1 << block.order));
    for index in 0.. {
        let grants = ["area", "area-base"].map(|stem| rt::grant::indexed(stem, index));
        let [Some(bytes), Some(base)] = grants else {
            return;
        };
        let frames = bytes.value >> FRAME_SHIFT;
        let first = match base.value {
            u64::MAX => {
                end = end.saturating_sub(frames);
                FrameNumber::new(end)
            }
            address => FrameNumber::of_address(address),
        };
        let first = first.ok_or(Refusal::Misaligned);
        let declared = first.and_then(|first| steward.declare_area(first, frames));
        if let Err(refusal) = declared {
            rt::log!("mem: area {index} is refused: {refusal:?}");
            steward.skip_area();
        }
    }
}

/// Returns the blocks that were granted, the largest first.
fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for index in 0.. {
        let memory = rt::grant(&format!("memory.{index}"));
        let base = rt::grant(&format!("memory-base.{index}"));
        let (Some(memory), Some(base)) = (memory, base) else {
            break;
        };
        let node = rt::grant(&format!("memory-node.{index}")).map_or(0, |grant| grant.value);
        let order = u8::try_from(memory.value.saturating_sub(FRAME_SHIFT.into())).unwrap_or(0);
        if let Some(base) = FrameNumber::of_address(base.value) {
            blocks.push(Block {
                base,
                order,
                // Nodes with larger numbers are no memory server's to prefer.
                node: u8::try_from(node).unwrap_or(u8::MAX),
                slot: memory.index(),
            });
        }
    }
    blocks.sort_by_key(|block| core::cmp::Reverse(block.order));
    blocks
}

/// Returns those blocks for whose descriptors the heap has room; says which are left out.
fn described(blocks: Vec<Block>, section_shift: u8) -> Vec<Block> {
    let heap = rt::grant::value("heap-bytes").unwrap_or(0);
    let mut room = heap.saturating_sub(HEAP_KEPT) / size_of::<Descriptor>() as u64;
    let mut kept = Vec::new();
    for block in blocks {
        // Whole sections, and an eighth of that for the trees.
        let frames = (1_u64 << block.order).max(1 << section_shift);
        let needed = frames + frames / 8;
        if needed > room {
            rt::log!(
                "mem: {} MiB at {:#x} are left out: the heap has no room for their descriptors",
                1_u64 << block.order >> (20 - FRAME_SHIFT),
                block.base.address()
            );
            continue;
        }
        room -= needed;
        kept.push(block);
    }
    kept
}

/// Returns the guests' spaces.
fn guests() -> Vec<(u64, GuestSpace)> {
    let grants = rt::grant::grants().iter();
    grants
        .filter_map(|grant| Some((grant.index_of("guest")?, GuestSpace::own(grant.index()))))
        .collect()
}

/// Returns the clients: whoever has a quota.
fn clients() -> Vec<Client> {
    let of = |stem: &str, process: u64| rt::grant::indexed(stem, process);
    let client = |process: u64, quota: u64| {
        let guest = of("client", process).and_then(|grant| u16::try_from(grant.value).ok());
        Some(Client {
            process: u16::try_from(process).ok()?,
            guest,
            limit: quota >> FRAME_SHIFT,
            pins: of("pins", process).map_or(0, |grant| grant.value) >> FRAME_SHIFT,
            is_lazy: of("lazy", process).is_some(),
        })
    };
    let grants = rt::grant::grants().iter();
    grants
        .filter_map(|grant| client(grant.index_of("quota")?, grant.value))
        .collect()
}
