//! The boot bundle: files in it, and frames over its memory for processes that read them.

use crate::pool::{Block, Pool};
use crate::system::Failure;
use abi::bundle::{Bundle, Entry, crc32};
use abi::{ObjectKind, Rights};
use alloc::string::String;
use alloc::vec::Vec;
use rt::{Frame, Space};

/// Order of the frames over the bundle's memory, where a block is large enough.
const FRAME_ORDER: u8 = 21;
/// Where a process sees its guest's kernel.
pub const KERNEL: u64 = 0x4000_0000;
/// Where a process sees its guest's initial file system.
pub const INITRD: u64 = 0x6000_0000;

/// The boot bundle.
pub struct Files {
    bundle: Bundle<'static>,
    base: u64,
    frames: Vec<(u64, u8, Frame)>,
}

impl Files {
    /// Opens the bundle.
    pub fn open(pool: &mut Pool) -> Result<Self, Failure> {
        let bundle = Bundle::parse(rt::boot::bundle()).map_err(Failure::Bundle)?;
        let blocks = core::mem::take(&mut pool.bundle);
        let base = blocks.iter().map(|block| block.base).min().unwrap_or(0);
        let mut frames = Vec::new();
        for block in &blocks {
            cover(pool, block, &mut frames)?;
        }
        Ok(Self {
            bundle,
            base,
            frames,
        })
    }

    /// Returns the entry called `name`, its checksum not checked.
    fn entry(&self, name: &str) -> Result<Entry<'static>, Failure> {
        self.bundle
            .find(name)
            .ok_or_else(|| Failure::NoFile(String::from(name)))
    }

    /// Returns whether there is a file with this name.
    pub fn has(&self, name: &str) -> bool {
        self.bundle.find(name).is_some()
    }

    /// Returns the bytes of a file, after checking them.
    pub fn read(&self, name: &str) -> Result<&'static [u8], Failure> {
        let entry = self.entry(name)?;
        let bytes = self.bundle.data(&entry).map_err(Failure::Bundle)?;
        if crc32(&[bytes]) == entry.checksum {
            Ok(bytes)
        } else {
            Err(Failure::BadFile(String::from(name)))
        }
    }

    /// Maps a file into an area of a process, read-only; returns its address there and its bytes.
    pub fn map(
        &self,
        pool: &mut Pool,
        (space, area): (Space, u64),
        name: &str,
    ) -> Result<(u64, u64), Failure> {
        self.read(name)?;
        let entry = self.entry(name)?;
        let physical = self.base + entry.offset;
        let end = physical + entry.length.next_multiple_of(abi::PAGE_SIZE);
        let start = self.base & !((1 << FRAME_ORDER) - 1);
        let mut covered = 0;
        for (base, order, frame) in &self.frames {
            let frame_end = base + (1 << order);
            if *base >= end || frame_end <= physical {
                continue;
            }
            covered += frame_end.min(end) - physical.max(*base);
            let rights = Rights::new().with_read(true);
            let copy = Frame::at(frame.capability().mint(pool.slot()?, rights, 0)?.slot());
            copy.map(space.capability(), area + (base - start), rights)?;
            // Other files in the same frame are none of this process's business.
            if *base < physical {
                copy.protect(0, physical - base, Rights::new())?;
            }
            if frame_end > end {
                copy.protect(end - base, frame_end - end, Rights::new())?;
            }
        }
        if covered < end - physical {
            // The kernel had no room to tell of all of the bundle's memory.
            return Err(Failure::BadFile(String::from(name)));
        }
        Ok((area + (physical - start), entry.length))
    }
}

/// Makes frames over a block of the bundle's memory.
fn cover(
    pool: &mut Pool,
    block: &Block,
    frames: &mut Vec<(u64, u8, Frame)>,
) -> Result<(), Failure> {
    let order = block.order.min(FRAME_ORDER);
    for index in 0..1_u64 << (block.order - order) {
        let slot = pool.slot()?;
        block
            .untyped
            .retype(ObjectKind::Frame, u64::from(order), 1, slot)?;
        frames.push((block.base + (index << order), order, Frame::at(slot)));
    }
    Ok(())
}
