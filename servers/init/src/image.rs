//! Executables: one frame for the whole image, each segment with its own access.

use crate::pool::Pool;
use crate::process::Process;
use crate::system::Failure;
use abi::Rights;
use alloc::string::String;
use elf::ElfBytes;
use elf::abi::{PF_R, PF_W, PF_X, PT_LOAD};
use elf::endian::AnyEndian;
use elf::segment::ProgramHeader;

/// Most bytes of an image in memory.
const MAX_IMAGE: u64 = 16 << 20;

/// Loads an executable into a process; returns the address of its first instruction.
pub fn load(
    pool: &mut Pool,
    process: &Process,
    name: &str,
    bytes: &'static [u8],
) -> Result<u64, Failure> {
    let bad = || Failure::BadFile(String::from(name));
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(|_| bad())?;
    let headers = file.segments().ok_or_else(bad)?;
    let loaded = || headers.iter().filter(|header| header.p_type == PT_LOAD);
    let start = loaded()
        .map(|header| header.p_vaddr)
        .min()
        .ok_or_else(bad)?;
    let end = loaded()
        .map(|header| header.p_vaddr.saturating_add(header.p_memsz))
        .max();
    let length = end
        .unwrap_or(start)
        .saturating_sub(start)
        .next_multiple_of(abi::PAGE_SIZE);
    if start % abi::PAGE_SIZE != 0 || length > MAX_IMAGE {
        return Err(bad());
    }
    let frame = pool.frame(length)?;
    let window = process.window(pool, frame)?;
    window.clear();
    for header in loaded() {
        let data = file.segment_data(&header).map_err(|_| bad())?;
        write(window, header.p_vaddr - start, data);
    }
    process.close_window(window)?;
    let all = Rights::new()
        .with_read(true)
        .with_write(true)
        .with_execute(true);
    frame.map(process.space.capability(), start, all)?;
    let size = 1_u64 << frame.capability().identify()?.size;
    let mut done = 0;
    for header in loaded() {
        let offset = header.p_vaddr - start;
        let segment = header.p_memsz.next_multiple_of(abi::PAGE_SIZE);
        if offset < done || segment == 0 {
            return Err(bad());
        }
        hide(frame, done, offset)?;
        frame.protect(offset, segment, access_of(&header))?;
        done = offset + segment;
    }
    hide(frame, done, size)?;
    Ok(file.ehdr.e_entry)
}

/// Makes a part of an image inaccessible.
fn hide(frame: rt::Frame, from: u64, to: u64) -> Result<(), Failure> {
    if to > from {
        frame.protect(from, to - from, Rights::new())?;
    }
    Ok(())
}

/// Returns the access of a segment.
fn access_of(header: &ProgramHeader) -> Rights {
    Rights::new()
        .with_read(header.p_flags & PF_R != 0)
        .with_write(header.p_flags & PF_W != 0)
        .with_execute(header.p_flags & PF_X != 0)
}

/// Writes bytes into a window, at a multiple of eight.
pub fn write(window: rt::window::Window, offset: u64, bytes: &[u8]) {
    let first = usize::try_from(offset / 8).unwrap_or(usize::MAX);
    for (index, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        word.iter_mut()
            .zip(chunk)
            .for_each(|(to, from)| *to = *from);
        window.store(first.saturating_add(index), u64::from_ne_bytes(word));
    }
}
