//! The header of a Linux `Image` (Documentation/arch/riscv/boot-image-header.rst).

use super::{Bytes, HUGE_PAGE, LoadError, Memory, Segment};
use alloc::vec::Vec;

/// Offset of the field `text_offset`.
const TEXT_OFFSET: usize = 8;
/// Offset of the field `image_size`.
const IMAGE_SIZE: usize = 16;
/// Offset of the field `flags`.
const FLAGS: usize = 24;
/// Offset of the field `magic2`.
const MAGIC2: usize = 56;
/// Bytes of the header.
const HEADER_BYTES: usize = 64;

/// Returns whether a file has the header.
pub(super) fn is_linux(image: &[u8]) -> bool {
    image.get(MAGIC2..MAGIC2 + 4) == Some(b"RSC\x05")
}

/// Returns entry and place of a Linux image: 2 MiB-aligned, `text_offset` behind the start of
/// memory, with room for all of `image_size`.
pub(super) fn segments(image: &[u8], memory: Memory) -> Result<(u64, Vec<Segment>), LoadError> {
    if image.len() < HEADER_BYTES {
        return Err(LoadError::Truncated);
    }
    let header = Bytes(image);
    if header.u64(FLAGS)? & 1 != 0 {
        return Err(LoadError::WrongFormat);
    }
    let text_offset = header.u64(TEXT_OFFSET)?;
    let address = memory
        .base()
        .checked_add(text_offset)
        .ok_or(LoadError::BadHeader)?;
    if !address.is_multiple_of(HUGE_PAGE) {
        return Err(LoadError::BadHeader);
    }
    // Old kernels leave the size 0: then it is the file's.
    let memory_bytes = header.u64(IMAGE_SIZE)?.max(image.len() as u64);
    let segment = Segment {
        offset: 0,
        bytes: image.len(),
        address,
        memory_bytes,
    };
    Ok((address, alloc::vec![segment]))
}
