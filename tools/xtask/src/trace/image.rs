//! Executables of a traced system: which instructions are whose, and in which function.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use ::trace::record::Instruction;
use addr2line::gimli::{Dwarf, EndianSlice, RunTimeEndian, SectionId};
use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::abi::{PF_X, PT_LOAD, STT_FILE, STT_SECTION};
use elf::endian::AnyEndian;

use crate::build::elf::file_bytes;

/// Code at its addresses.
#[derive(Debug)]
struct Segment {
    address: u64,
    physical: u64,
    bytes: Vec<u8>,
}

/// The code of an executable.
#[derive(Debug)]
pub struct Image {
    /// What it is called.
    pub name: String,
    segments: Vec<Segment>,
    file: Vec<u8>,
}

impl Image {
    /// Returns an image of this code, in the low 4 GiB of memory.
    #[cfg(test)]
    pub fn of_code(name: &str, address: u64, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self {
            name: name.to_owned(),
            segments: vec![Segment {
                address,
                physical: address & 0xffff_ffff,
                bytes,
            }],
            file: Vec::new(),
        }
    }

    /// Reads an executable.
    pub fn read(name: &str, path: &Path) -> Result<Self> {
        let file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parsed = ElfBytes::<AnyEndian>::minimal_parse(&file).context("not an ELF file")?;
        let headers = parsed.segments().context("no program headers")?;
        let is_code = |header: &elf::segment::ProgramHeader| {
            header.p_type == PT_LOAD && header.p_flags & PF_X != 0
        };
        let segments = headers.iter().filter(is_code).map(|header| {
            Ok(Segment {
                address: header.p_vaddr,
                physical: header.p_paddr,
                bytes: file_bytes(&file, &header)?.to_vec(),
            })
        });
        Ok(Self {
            name: name.to_owned(),
            segments: segments.collect::<Result<_>>()?,
            file,
        })
    }

    /// Tells whether an instruction is at its address in this image.
    pub fn has(&self, instruction: &Instruction) -> bool {
        self.physical(instruction).is_some()
    }

    /// Returns the physical address that the image asks for, of an instruction that is in it.
    pub fn physical(&self, instruction: &Instruction) -> Option<u64> {
        let code = instruction.code();
        self.segments.iter().find_map(|segment| {
            let offset = instruction.address.wrapping_sub(segment.address);
            let start = usize::try_from(offset).ok()?;
            let found = segment.bytes.get(start..)?.get(..code.len())?;
            (found == code).then(|| segment.physical.wrapping_add(offset))
        })
    }

    /// Returns what tells functions apart.
    pub fn functions(&self) -> Result<Functions<'_>> {
        Functions::new(&self.file)
    }
}

/// Bytes of debugging information.
type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// The functions of an image.
pub struct Functions<'a> {
    lines: addr2line::Context<Reader<'a>>,
    symbols: Vec<(u64, String)>,
}

/// Where an instruction is: functions from the innermost that was inlined to the outermost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The functions.
    pub functions: Vec<String>,
    /// File and line, in the innermost.
    pub line: String,
}

impl<'a> Functions<'a> {
    /// Reads symbols and debugging information.
    fn new(file: &'a [u8]) -> Result<Self> {
        let parsed = ElfBytes::<AnyEndian>::minimal_parse(file).context("not an ELF file")?;
        let endian = match parsed.ehdr.endianness {
            AnyEndian::Little => RunTimeEndian::Little,
            AnyEndian::Big => RunTimeEndian::Big,
        };
        let load = |section: SectionId| -> Result<Reader<'a>> {
            let header = parsed.section_header_by_name(section.name())?;
            let data = match &header {
                Some(header) => parsed.section_data(header)?.0,
                None => &[],
            };
            Ok(EndianSlice::new(data, endian))
        };
        let mut symbols = Vec::new();
        if let Some((table, names)) = parsed.symbol_table()? {
            for symbol in table.iter() {
                let kind = symbol.st_symtype();
                let name = names.get(symbol.st_name as usize).unwrap_or_default();
                if !name.is_empty() && kind != STT_FILE && kind != STT_SECTION {
                    symbols.push((symbol.st_value, short(name)));
                }
            }
        }
        symbols.sort();
        Ok(Self {
            lines: addr2line::Context::from_dwarf(Dwarf::load(load)?)?,
            symbols,
        })
    }

    /// Returns where an address is.
    pub fn place(&self, address: u64) -> Place {
        let mut place = self.debugged(address).unwrap_or_default();
        if place.functions.is_empty() {
            let after = self.symbols.partition_point(|(start, _)| *start <= address);
            let symbol = after
                .checked_sub(1)
                .and_then(|index| self.symbols.get(index));
            let name = symbol.map_or("?".to_owned(), |(_, name)| name.clone());
            place.functions.push(name);
        }
        place
    }

    /// Returns what the debugging information says.
    fn debugged(&self, address: u64) -> Option<Place> {
        let mut frames = self.lines.find_frames(address).skip_all_loads().ok()?;
        let mut place = Place::default();
        while let Ok(Some(frame)) = frames.next() {
            if let Some(location) = frame.location.filter(|_| place.line.is_empty()) {
                let file = location.file.unwrap_or_default();
                place.line = format!("{file}:{}", location.line.unwrap_or(0));
            }
            if let Some(name) = frame.function {
                let raw = name.raw_name().unwrap_or(Cow::Borrowed("?"));
                place.functions.push(short(&raw));
            }
        }
        Some(place)
    }
}

impl fmt::Debug for Functions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} symbols", self.symbols.len())
    }
}

/// Returns a function's name as a person reads it: demangled, without its hash.
pub fn short(name: &str) -> String {
    addr2line::demangle_auto(Cow::Borrowed(name), None)
        .rsplit_once("::h")
        .filter(|(_, hash)| hash.len() == 16)
        .map_or_else(
            || addr2line::demangle_auto(Cow::Borrowed(name), None).into_owned(),
            |(name, _)| name.to_owned(),
        )
}

/// Tells instructions' places: whose page an instruction is on decides which image it is of, for
/// programs are linked to the same addresses.
#[derive(Debug)]
pub struct Attribution<'a> {
    images: Vec<(&'a Image, Functions<'a>)>,
    pages: HashMap<u64, Option<usize>>,
}

/// Bits of an address within a page.
const PAGE: u32 = 12;

impl<'a> Attribution<'a> {
    /// Finds out which pages are whose; all instructions of a page have to be in the image.
    pub fn new<'b>(
        images: impl Iterator<Item = &'a Image>,
        instructions: impl Iterator<Item = &'b Instruction>,
    ) -> Result<Self> {
        let images = images
            .map(|image| Ok((image, image.functions()?)))
            .collect::<Result<Vec<_>>>()?;
        let mut pages: HashMap<u64, Vec<&Instruction>> = HashMap::new();
        for one in instructions {
            pages.entry(one.host >> PAGE).or_default().push(one);
        }
        let owner = |page: &[&Instruction]| {
            let owns = |image: &Image| page.iter().filter(|one| image.has(one)).count();
            let best = images
                .iter()
                .enumerate()
                .max_by_key(|(_, image)| owns(image.0))?;
            // A page that had other contents before is that of its later owner.
            (owns(best.1.0) * 2 > page.len()).then_some(best.0)
        };
        let pages = pages.iter().map(|(page, all)| (*page, owner(all)));
        let pages = pages.collect();
        Ok(Self { images, pages })
    }

    /// Returns image and place of an instruction.
    pub fn place(&self, instruction: &Instruction) -> (&str, Place) {
        let owner = self
            .pages
            .get(&(instruction.host >> PAGE))
            .copied()
            .flatten();
        let found = owner.and_then(|index| self.images.get(index));
        match found.filter(|(image, _)| image.has(instruction)) {
            Some((image, functions)) => (&image.name, functions.place(instruction.address)),
            None => ("?", Place::default()),
        }
    }
}
