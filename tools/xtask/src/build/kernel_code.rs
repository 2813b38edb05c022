//! The code of a kernel that only runs before the first process (`.boot`): its pages are given away,
//! so nothing that stays may refer to it.
//!
//! The kernels are linked with `--emit-relocs`, so that every reference is in the file.

use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::abi::{EM_S390, EM_X86_64, SHF_ALLOC, SHF_EXECINSTR, SHT_RELA, STT_FUNC};
use elf::endian::AnyEndian;
use elf::relocation::Rela;
use elf::section::SectionHeader;
use elf::symbol::Symbol;

/// The section.
const BOOT: &str = ".boot";
/// Sections outside it that a machine begins with, once: they may name it.
const ENTRIES: [&str; 2] = [".head", ".note.pvh"];
/// Symbols that say where the boot code is: to name them is not to use it.
const BOUNDS: [&str; 1] = ["_image_start"];
/// The formatting of `core`, of which a panic's arguments name functions that nobody calls behind
/// boot: `report` prints none of them. In both manners of mangling.
const FORMATTING: [&str; 2] = ["4core3fmt", "core..fmt"];
/// What makes such arguments, of the functions of `core`.
const PANICS: [&str; 4] = [
    "4core9panicking",
    "16slice_index_fail",
    "13expect_failed",
    "13unwrap_failed",
];
/// Where such arguments are that are constants, and the tables of functions of what is formatted.
const CONSTANTS: &str = ".rodata";
/// Relocations whose addend is the distance from the instruction's end (x86-64 psABI, "Relocation
/// Types": `R_X86_64_PC32`, `R_X86_64_PLT32`).
const X86_RELATIVE: [u32; 2] = [2, 4];
/// The same, from its start, where the field is 2 bytes into it (s390x ELF ABI: `R_390_PC32DBL`,
/// `R_390_PLT32DBL`).
const S390_RELATIVE: [u32; 2] = [19, 20];

/// Bytes of code of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeSizes {
    /// What stays.
    pub resident: u64,
    /// What is given to the first process.
    pub boot: u64,
}

/// A kernel's file, parsed.
pub struct Image<'a> {
    pub(super) file: ElfBytes<'a, AnyEndian>,
    pub(super) sections: Vec<(SectionHeader, &'a str)>,
    pub(super) symbols: Vec<(Symbol, &'a str)>,
}

impl<'a> Image<'a> {
    /// Reads sections and symbols.
    ///
    /// # Errors
    ///
    /// When the bytes are no ELF file with both.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).context("not an ELF file")?;
        let (headers, names) = file.section_headers_with_strtab()?;
        let (headers, names) = headers.zip(names).context("an ELF file without sections")?;
        let sections = headers
            .iter()
            .map(|header| Ok((header, names.get(header.sh_name as usize)?)))
            .collect::<Result<_>>()?;
        let (table, names) = file
            .symbol_table()?
            .context("an ELF file without symbols")?;
        let symbols = table
            .iter()
            .map(|symbol| {
                let name = names.get(symbol.st_name as usize)?;
                Ok((symbol, name))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            file,
            sections,
            symbols,
        })
    }

    /// Returns how much code there is.
    pub fn code(&self) -> CodeSizes {
        let code =
            |(header, _): &&(SectionHeader, &str)| header.sh_flags & u64::from(SHF_EXECINSTR) != 0;
        let (boot, resident): (Vec<_>, Vec<_>) = (self.sections.iter())
            .filter(code)
            .partition(|(_, name)| *name == BOOT);
        let sum = |all: Vec<&(SectionHeader, &str)>| all.iter().map(|(it, _)| it.sh_size).sum();
        CodeSizes {
            resident: sum(resident),
            boot: sum(boot),
        }
    }

    /// Returns the references to the boot code from what stays, in words. Of constants and data
    /// those to the first byte of a function count: what leads into the middle of one is its own
    /// table of jumps.
    ///
    /// # Errors
    ///
    /// When the file has no boot code, or no relocations to look at.
    pub fn references_to_boot(&self) -> Result<Vec<String>> {
        let (boot, _) = (self.sections.iter())
            .find(|(_, name)| *name == BOOT)
            .context("a kernel without .boot")?;
        let range = boot.sh_addr..boot.sh_addr + boot.sh_size;
        let (mut found, mut seen) = (Vec::new(), 0);
        for (header, _) in &self.sections {
            let Some((about, place)) = self.stays(header) else {
                continue;
            };
            let is_code = about.sh_flags & u64::from(SHF_EXECINSTR) != 0;
            for relocation in self.file.section_data_as_relas(header)? {
                seen += 1;
                let (symbol, name) = self.symbol(&relocation)?;
                let target = self.target(&relocation)?;
                if symbol.st_shndx == 0 || !range.contains(&target) || BOUNDS.contains(name) {
                    continue;
                }
                let Some((function, to)) = self.function_at(target) else {
                    found.push(format!("{place} refers to boot code: {target:#x}"));
                    continue;
                };
                if is_code || function.st_value == target {
                    let from = self.function_at(relocation.r_offset);
                    let from = from.map_or(*place, |(_, name)| name);
                    if is_named_for_a_panic(from, to) {
                        continue;
                    }
                    found.push(format!("{from} refers to boot code: {to}"));
                }
            }
        }
        anyhow::ensure!(seen > 0, "no relocations: link with --emit-relocs");
        Ok(found)
    }

    /// Returns the section that a section of relocations is about, if it is loaded and stays.
    fn stays(&self, header: &SectionHeader) -> Option<&(SectionHeader, &'a str)> {
        let about = self.sections.get(header.sh_info as usize)?;
        let is_loaded = about.0.sh_flags & u64::from(SHF_ALLOC) != 0;
        let is_exempt = about.1 == BOOT || ENTRIES.contains(&about.1);
        (header.sh_type == SHT_RELA && is_loaded && !is_exempt).then_some(about)
    }

    /// Returns the symbol that a relocation names.
    fn symbol(&self, relocation: &Rela) -> Result<&(Symbol, &'a str)> {
        let symbol = usize::try_from(relocation.r_sym)?;
        self.symbols.get(symbol).context("a cut symbol table")
    }

    /// Returns what a relocation refers to.
    pub(super) fn target(&self, relocation: &Rela) -> Result<u64> {
        let (symbol, _) = self.symbol(relocation)?;
        let addend = relocation.r_addend + self.correction(relocation.r_type);
        Ok(symbol.st_value.wrapping_add_signed(addend))
    }

    /// Returns what to add to the addend of a relocation for the place that it means.
    fn correction(&self, kind: u32) -> i64 {
        match self.file.ehdr.e_machine {
            EM_X86_64 if X86_RELATIVE.contains(&kind) => 4,
            EM_S390 if S390_RELATIVE.contains(&kind) => -2,
            _ => 0,
        }
    }

    /// Returns the function at an address.
    fn function_at(&self, address: u64) -> Option<&(Symbol, &'a str)> {
        self.symbols.iter().find(|(symbol, _)| {
            let range = symbol.st_value..symbol.st_value + symbol.st_size;
            symbol.st_symtype() == STT_FUNC && range.contains(&address)
        })
    }
}

/// Returns whether a reference is that of a panic to the formatting of what it says.
fn is_named_for_a_panic(from: &str, to: &str) -> bool {
    let names = from == CONSTANTS || PANICS.iter().any(|panic| from.contains(panic));
    names && FORMATTING.iter().any(|of| to.contains(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the boot code is.
    const BOOT_AT: u64 = 0x1000;

    /// The names in the file.
    const NAMES: &[u8] = b"\0.boot\0.text\0.rela.text\0.symtab\0.strtab\0boot\0main\0";

    /// Returns where a name is.
    fn name(name: &str) -> u32 {
        let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
        let found = NAMES.windows(wanted.len()).position(|part| part == wanted);
        u32::try_from(found.expect("a name of the file") + 1).expect("small")
    }

    /// Returns words as bytes.
    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Returns a word of two halves.
    fn halves(low: u32, high: u32) -> u64 {
        u64::from(low) | u64::from(high) << 32
    }

    /// Returns the words of a function's symbol.
    fn function(named: &str, section: u32, at: u64, size: u64) -> [u64; 3] {
        let info = u32::from(STT_FUNC) | section << 16;
        [halves(name(named), info), at, size]
    }

    /// Returns an ELF file for RISC-V with 0x20 bytes of boot code and 0x40 of other code, `main`,
    /// or of data, which refers to each of `targets`.
    fn kernel(targets: &[u64], is_code: bool) -> Vec<u8> {
        let mut symbols = vec![0; 3];
        symbols.extend(function("boot", 1, BOOT_AT, 0x20));
        symbols.extend(function("main", 2, 0x2000, 0x40));
        let relocations: Vec<_> = (targets.iter())
            .flat_map(|target| [0x2010, halves(18, 1), target.wrapping_sub(BOOT_AT)])
            .collect();
        let mut file = vec![0; 64];
        let [relas, symtab, strtab] =
            [bytes(&relocations), bytes(&symbols), NAMES.to_vec()].map(|content| {
                file.extend(&content);
                let length = content.len() as u64;
                (0, file.len() as u64 - length, length)
            });
        let table = file.len() as u64;
        let code = u64::from(SHF_ALLOC | SHF_EXECINSTR);
        let main = if is_code { code } else { u64::from(SHF_ALLOC) };
        let rela = (SHT_RELA, 0);
        let sections = [
            [0; 8],
            section(".boot", (1, code), (BOOT_AT, 64, 0x20), (0, 0)),
            section(".text", (1, main), (0x2000, 64, 0x40), (0, 0)),
            section(".rela.text", rela, relas, (halves(4, 2), 24)),
            section(".symtab", (2, 0), symtab, (halves(5, 1), 24)),
            section(".strtab", (3, 0), strtab, (0, 0)),
        ];
        file.extend(sections.iter().flat_map(|words| bytes(words)));
        let class = 0x0001_0102_464c_457f;
        let machine = halves(2 | 243 << 16, 1);
        let sizes = [halves(0, 64), 64 << 16 | 6 << 32 | 5 << 48];
        let header = [class, 0, machine, BOOT_AT, 0, table, sizes[0], sizes[1]];
        file[..64].copy_from_slice(&bytes(&header));
        file
    }

    /// Returns the words of a section header.
    fn section(
        named: &str,
        (kind, flags): (u32, u64),
        (address, offset, size): (u64, u64, u64),
        (link, entry): (u64, u64),
    ) -> [u64; 8] {
        let first = halves(name(named), kind);
        [first, flags, address, offset, size, link, 1, entry]
    }

    #[test]
    fn boot_code_is_told_apart() {
        let bytes = kernel(&[0x2000], true);
        let image = Image::parse(&bytes).expect("an ELF file");
        let (resident, boot) = (0x40, 0x20);
        assert_eq!(image.code(), CodeSizes { resident, boot });
    }

    #[test]
    fn what_stays_may_not_refer_to_boot_code() {
        for (targets, found) in [
            (&[0x2000, 0x1020, 0xfff][..], &[][..]),
            (&[0x2000, 0x1000], &["main refers to boot code: boot"]),
            (&[0x101f], &["main refers to boot code: boot"]),
        ] {
            let bytes = kernel(targets, true);
            let image = Image::parse(&bytes).expect("an ELF file");
            assert_eq!(image.references_to_boot().expect("relocations"), found);
        }
    }

    #[test]
    fn constants_may_have_tables_of_jumps_but_no_pointers_to_boot_code() {
        let bytes = kernel(&[0x1004, 0x1010], false);
        let image = Image::parse(&bytes).expect("an ELF file");
        let found = image.references_to_boot().expect("relocations");
        assert_eq!(found, [] as [&str; 0]);
        let bytes = kernel(&[0x1004, 0x1000], false);
        let image = Image::parse(&bytes).expect("an ELF file");
        assert_eq!(image.references_to_boot().expect("relocations").len(), 1);
    }

    #[test]
    fn only_a_panic_may_name_the_formatting_of_core_and_nothing_else_of_boot() {
        let number = "_RNvXsd_NtNtNtC_4core3fmt3num3impyNtB9_7Display3fmt";
        let index = "_RNvNtC_4core9panicking18panic_bounds_check";
        for (from, to, allowed) in [
            (index, number, true),
            (CONSTANTS, number, true),
            (
                CONSTANTS,
                "_ZN44_$LT$RF$u20$as$u20$core..fmt..Display$GT$3fmt17hE",
                true,
            ),
            ("_RNvNtC_8bsp_s3904trap4wake", number, false),
            (index, "_RNvNtC_8bsp_s3904boot5start", false),
            (CONSTANTS, "_RNvNtC_8bsp_s3904boot5start", false),
        ] {
            assert_eq!(is_named_for_a_panic(from, to), allowed, "{from} {to}");
        }
    }

    #[test]
    fn a_kernel_without_relocations_is_not_taken_for_a_good_one() {
        let bytes = kernel(&[], true);
        let image = Image::parse(&bytes).expect("an ELF file");
        assert!(image.references_to_boot().is_err());
    }

    #[test]
    fn what_a_function_refers_to_is_reached_but_for_the_ends() {
        let bytes = kernel(&[BOOT_AT, 0x2000], true);
        let image = Image::parse(&bytes).expect("an ELF file");
        let names = |roots: &[&str], ends: &[&str]| {
            let reached = image.reached(roots, ends).expect("relocations");
            let name = |function: crate::build::reach::Function<'_>| function.name;
            reached.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["main"], &[]), ["boot", "main"]);
        assert_eq!(names(&["main"], &["boot"]), ["main"]);
        assert_eq!(names(&["boot"], &[]), ["boot"]);
        assert!(image.reached(&["call"], &[]).is_err());
        let bytes = kernel(&[], true);
        let image = Image::parse(&bytes).expect("an ELF file");
        assert!(image.reached(&["main"], &[]).is_err());
    }
}
