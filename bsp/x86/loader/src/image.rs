//! The kernel's ELF file.

use crate::load::{PAGE, Pages, Refusal};
use elf::ElfBytes;
use elf::abi::{PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::note::Note;
use elf::segment::ProgramHeader;

/// What is refused as the kernel's file.
const BAD: Refusal = "\\skerry\\kernel is no kernel for this machine";

/// The kernel's file.
pub struct Image<'a> {
    file: ElfBytes<'a, LittleEndian>,
}

impl<'a> Image<'a> {
    /// Reads the headers of a file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let file = ElfBytes::minimal_parse(bytes).map_err(|_| BAD)?;
        Ok(Self { file })
    }

    /// Returns the program headers of a kind.
    fn headers(&self, kind: u32) -> Result<impl Iterator<Item = ProgramHeader>, Refusal> {
        let all = self.file.segments().ok_or(BAD)?.iter();
        Ok(all.filter(move |header| header.p_type == kind && header.p_memsz != 0))
    }

    /// Copies the image to where it is linked for; returns its PVH entry.
    pub fn load(&self) -> Result<u32, Refusal> {
        let (mut base, mut end) = (u64::MAX, 0);
        for header in self.headers(PT_LOAD)? {
            base = base.min(header.p_paddr / PAGE * PAGE);
            end = end.max(header.p_paddr.checked_add(header.p_memsz).ok_or(BAD)?);
        }
        let length = end.checked_sub(base).ok_or(BAD)?;
        let mut pages = Pages::at(base, length)?;
        let memory = pages.bytes();
        for header in self.headers(PT_LOAD)? {
            let content = self.file.segment_data(&header).map_err(|_| BAD)?;
            let offset = usize::try_from(header.p_paddr - base).map_err(|_| BAD)?;
            let place = memory
                .get_mut(offset..)
                .and_then(|rest| rest.get_mut(..content.len()));
            place.ok_or(BAD)?.copy_from_slice(content);
        }
        let entry_point = self.entry_point()?;
        let inside = (base..end).contains(&u64::from(entry_point));
        inside.then_some(entry_point).ok_or(BAD)
    }

    /// Returns the entry of the PVH note (Xen, "x86/HVM direct boot ABI").
    fn entry_point(&self) -> Result<u32, Refusal> {
        const PHYS32_ENTRY: u64 = 18;
        for header in self.headers(PT_NOTE)? {
            let notes = self.file.segment_data_as_notes(&header).map_err(|_| BAD)?;
            for note in notes {
                if let Note::Unknown(note) = note
                    && note.n_type == PHYS32_ENTRY
                    && note.name_str().is_ok_and(|name| name == "Xen")
                {
                    let bytes = note.desc.first_chunk().ok_or(BAD)?;
                    return Ok(u32::from_le_bytes(*bytes));
                }
            }
        }
        Err(BAD)
    }
}
