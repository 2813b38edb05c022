//! ELF files that we built: page-aligned segments for the bundle, and copies without symbols.

use abi::bundle::{EXECUTE, READ, WRITE};
use anyhow::{Context, Result, ensure};
use elf::ElfBytes;
use elf::abi::{PF_R, PF_W, PF_X, PT_LOAD};
use elf::endian::AnyEndian;
use elf::segment::ProgramHeader;

use super::bundle::Segment;

/// Returns the loadable program headers of an ELF file, and its entry point.
fn loadable(bytes: &[u8]) -> Result<(u64, Vec<ProgramHeader>)> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).context("not an ELF file")?;
    let table = file
        .segments()
        .context("an ELF file without program headers")?;
    let is_loaded = |header: &ProgramHeader| header.p_type == PT_LOAD && header.p_memsz != 0;
    Ok((file.ehdr.e_entry, table.iter().filter(is_loaded).collect()))
}

/// Returns entry point and page-aligned segments of an executable.
///
/// A linker may begin a segment inside a page; then the segment begins with zeros here.
pub fn segments(bytes: &[u8]) -> Result<(u64, Vec<Segment>)> {
    let (entry_point, mut headers) = loadable(bytes)?;
    headers.sort_by_key(|header| header.p_vaddr);
    let segments: Vec<_> = headers
        .iter()
        .map(|header| segment(bytes, header))
        .collect::<Result<_>>()?;
    for pair in segments.windows(2) {
        ensure!(
            pair[0].address + pair[0].memory_size <= pair[1].address,
            "two segments share the page at {:#x}: link with a page per segment",
            pair[1].address
        );
    }
    Ok((entry_point, segments))
}

/// Returns one segment.
fn segment(bytes: &[u8], header: &ProgramHeader) -> Result<Segment> {
    let page = abi::PAGE_SIZE;
    let address = header.p_vaddr / page * page;
    let lead = header.p_vaddr - address;
    let content = file_bytes(bytes, header)?;
    let mut padded = vec![0; usize::try_from(lead)?];
    padded.extend(content);
    let end = header
        .p_memsz
        .checked_add(lead)
        .context("a segment past the address space")?;
    let mut flags = 0;
    for (theirs, ours) in [(PF_R, READ), (PF_W, WRITE), (PF_X, EXECUTE)] {
        if header.p_flags & theirs != 0 {
            flags |= ours;
        }
    }
    ensure!(
        flags & WRITE == 0 || flags & EXECUTE == 0,
        "a segment is writable and executable"
    );
    Ok(Segment {
        address,
        memory_size: end.next_multiple_of(page),
        flags,
        bytes: padded,
    })
}

/// Returns a segment's bytes of the file.
pub fn file_bytes<'a>(bytes: &'a [u8], header: &ProgramHeader) -> Result<&'a [u8]> {
    let start = usize::try_from(header.p_offset)?;
    let end = start.checked_add(usize::try_from(header.p_filesz)?);
    end.and_then(|end| bytes.get(start..end))
        .context("truncated: a segment ends past the file")
}

/// Returns the memory from address 0 on that an executable is loaded into, and where what it uses
/// ends: zeros at the end of its last segment are not part of the image.
pub fn flat(bytes: &[u8]) -> Result<(Vec<u8>, u64)> {
    let (_, headers) = loadable(bytes)?;
    let mut image = Vec::new();
    let mut end = 0;
    for header in &headers {
        let content = file_bytes(bytes, header)?;
        let start = usize::try_from(header.p_paddr)?;
        let stop = start + content.len();
        image.resize(image.len().max(stop), 0);
        image[start..stop].copy_from_slice(content);
        end = end.max(header.p_paddr + header.p_memsz);
    }
    Ok((image, end))
}

/// Returns a copy that ends after the last loadable byte: no sections, symbols or debug data.
pub fn stripped(bytes: &[u8]) -> Result<Vec<u8>> {
    let (_, headers) = loadable(bytes)?;
    let mut end = 0;
    for header in &headers {
        file_bytes(bytes, header)?;
        end = end.max(header.p_offset + header.p_filesz);
    }
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).context("not an ELF file")?;
    let header = &file.ehdr;
    let table = header.e_phoff + u64::from(header.e_phnum) * u64::from(header.e_phentsize);
    let mut copy = bytes[..usize::try_from(end.max(table))?].to_vec();
    copy[0x28..0x30].fill(0); // e_shoff
    copy[0x3c..0x40].fill(0); // e_shnum, e_shstrndx
    Ok(copy)
}

/// Returns the bytes of code, constants and data of an executable: what is zero at the start is not
/// in the file.
pub fn loaded_size(bytes: &[u8]) -> Result<u64> {
    let (_, headers) = loadable(bytes)?;
    Ok(headers.iter().map(|header| header.p_filesz).sum())
}
