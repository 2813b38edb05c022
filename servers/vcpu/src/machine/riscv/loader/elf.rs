//! ELF files (System V ABI, chapters 4 and 5; RISC-V ELF psABI, chapter 8).

use super::{Bytes, LoadError, Segment};
use alloc::vec::Vec;

/// Class byte: 64-bit.
const CLASS_64: u8 = 2;
/// Data byte: little-endian.
const LITTLE_ENDIAN: u8 = 1;
/// Machine number of RISC-V.
const RISCV: u16 = 243;
/// Segment type: to be loaded.
const LOAD: u32 = 1;
/// Bytes of a program header.
const HEADER_BYTES: usize = 56;
/// The most program headers that are looked at.
const MAX_HEADERS: u16 = 64;

/// Returns entry and parts of an ELF file, at their physical addresses.
pub(super) fn segments(image: &[u8]) -> Result<(u64, Vec<Segment>), LoadError> {
    let file = Bytes(image);
    match (image.get(4), image.get(5)) {
        (Some(&CLASS_64), Some(&LITTLE_ENDIAN)) => {}
        (Some(_), Some(_)) => return Err(LoadError::WrongFormat),
        _ => return Err(LoadError::Truncated),
    }
    if file.u16(18)? != RISCV {
        return Err(LoadError::WrongMachine);
    }
    let (entry, table) = (file.u64(24)?, file.u64(32)?);
    let (stride, count) = (usize::from(file.u16(54)?), file.u16(56)?);
    if count > MAX_HEADERS || stride < HEADER_BYTES {
        return Err(LoadError::BadHeader);
    }
    let table = usize::try_from(table).map_err(|_| LoadError::BadHeader)?;
    let mut segments = Vec::new();
    let mut start = None;
    for index in 0..usize::from(count) {
        let offset = table
            .checked_add(index * stride)
            .ok_or(LoadError::BadHeader)?;
        let Some((segment, virtual_address)) = load_segment(&file, offset)? else {
            continue;
        };
        let inside = entry.checked_sub(virtual_address);
        if let Some(inside) = inside.filter(|&inside| inside < segment.memory_bytes) {
            start = segment.address.checked_add(inside);
        }
        segments.push(segment);
    }
    Ok((start.ok_or(LoadError::NothingToRun)?, segments))
}

/// Decodes the program header at `offset`: a part to load and its virtual address, or `None` where
/// there is nothing to load.
fn load_segment(file: &Bytes<'_>, offset: usize) -> Result<Option<(Segment, u64)>, LoadError> {
    let field = |at: usize| offset.checked_add(at).ok_or(LoadError::BadHeader);
    if file.u32(offset)? != LOAD {
        return Ok(None);
    }
    let number = |at: usize| field(at).and_then(|at| file.u64(at));
    let [file_offset, virtual_address, address] = [number(8)?, number(16)?, number(24)?];
    let [bytes, memory_bytes] = [number(32)?, number(40)?];
    if memory_bytes == 0 {
        return Ok(None);
    }
    if bytes > memory_bytes {
        return Err(LoadError::BadHeader);
    }
    let offset = usize::try_from(file_offset).map_err(|_| LoadError::BadHeader)?;
    let bytes = usize::try_from(bytes).map_err(|_| LoadError::BadHeader)?;
    let end = offset.checked_add(bytes).ok_or(LoadError::BadHeader)?;
    if end > file.0.len() {
        return Err(LoadError::Truncated);
    }
    Ok(Some((
        Segment {
            offset,
            bytes,
            address,
            memory_bytes,
        },
        virtual_address,
    )))
}
