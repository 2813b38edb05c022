//! Foreign guest images: what format a file has, and its flat form.

use anyhow::{Context, Result, bail, ensure};
use elf::ElfBytes;
use elf::abi::PT_LOAD;
use elf::endian::AnyEndian;
use elf::segment::ProgramHeader;
use manifest::Machine;

use crate::build::elf::file_bytes;

/// A guest image, ready to be copied to guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    /// Guest-physical address of the first byte.
    pub load: u64,
    /// Guest-physical address of the first instruction.
    pub entry_point: u64,
    /// Bytes that it uses from `load` on.
    pub memory_size: u64,
    /// The bytes, or `None` where they are those of the file.
    pub bytes: Option<Vec<u8>>,
}

/// The largest flat form that is made of an ELF file.
const MAX_FLAT: u64 = 1 << 30;
/// The machines of ELF headers by folder of board support, and whether 32-bit files are guests too:
/// multiboot kernels of x86 are.
const FAMILIES: [(&str, &[u16], bool); 3] = [
    ("riscv", &[elf::abi::EM_RISCV], false),
    ("x86", &[elf::abi::EM_X86_64, elf::abi::EM_386], true),
    ("s390", &[elf::abi::EM_S390], false),
];

/// Returns the flat form of the guest image `bytes`, which was read from a file called `name`.
pub fn unpack(name: &str, bytes: &[u8], machine: &Machine) -> Result<Flat> {
    ensure!(!bytes.is_empty(), "the file is empty");
    if bytes.starts_with(b"\x7fELF") {
        return from_elf(bytes, machine);
    }
    if bytes.get(0x30..0x36) == Some(b"RISCV\0") && bytes.get(0x38..0x3c) == Some(b"RSC\x05") {
        return from_linux(bytes, machine);
    }
    let base = machine.guest_memory_base + machine.flat_image_offset;
    if [".bin", ".flat", ".img"]
        .iter()
        .any(|ending| name.ends_with(ending))
    {
        let memory_size = bytes.len() as u64;
        return Ok(Flat {
            load: base,
            entry_point: base,
            memory_size,
            bytes: None,
        });
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        bail!("it is compressed with gzip: unpack it first");
    }
    if bytes.get(0x30..0x34) == Some(b"RISC") || b"\x7fELF".starts_with(bytes) {
        bail!("truncated: the header is cut");
    }
    bail!(
        "unknown format: neither ELF nor a Linux Image (a flat image is recognised by the ending \
         .bin, .flat or .img)"
    )
}

/// Returns where a Linux `Image` wants to be (Documentation/arch/riscv/boot-image-header.rst).
fn from_linux(bytes: &[u8], machine: &Machine) -> Result<Flat> {
    let text_offset = u64_at(bytes, 8).context("truncated: the header is cut")?;
    let image_size = u64_at(bytes, 16).context("truncated: the header is cut")?;
    let length = bytes.len() as u64;
    if let Some(end) = pe_end(bytes) {
        ensure!(length >= end, "truncated: {length} bytes of at least {end}");
    }
    let load = machine.guest_memory_base.checked_add(text_offset);
    let load = load.context("its text offset is past the address space")?;
    let memory_size = image_size.max(length);
    Ok(Flat {
        load,
        entry_point: load,
        memory_size,
        bytes: None,
    })
}

/// Returns where the last section of the EFI stub's PE image ends in the file.
fn pe_end(bytes: &[u8]) -> Option<u64> {
    let pe = usize::try_from(u32_at(bytes, 0x3c)?).ok()?;
    if bytes.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let sections = u16_at(bytes, pe + 6)?;
    let table = pe + 24 + usize::from(u16_at(bytes, pe + 20)?);
    let end = |index: u16| {
        let row = table + usize::from(index) * 40;
        match (u32_at(bytes, row + 16), u32_at(bytes, row + 20)) {
            (Some(size), Some(start)) => u64::from(size) + u64::from(start),
            _ => u64::MAX, // the table itself is cut
        }
    };
    (0..sections).map(end).max()
}

/// Returns the flat form of an ELF executable, by the physical addresses of its segments.
fn from_elf(bytes: &[u8], machine: &Machine) -> Result<Flat> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes)
        .context("truncated or damaged: its ELF header cannot be read")?;
    let known = FAMILIES
        .iter()
        .find(|(bsp, ..)| *bsp == machine.bsp)
        .map(|(_, numbers, is_narrow)| (*numbers, *is_narrow));
    let (numbers, is_narrow) = known.unwrap_or_default();
    ensure!(
        numbers.contains(&file.ehdr.e_machine),
        "an ELF file for another machine"
    );
    ensure!(
        is_narrow || file.ehdr.class == elf::file::Class::ELF64,
        "a 32-bit ELF file"
    );
    let table = file.segments().context("truncated: no program headers")?;
    let is_loaded = |header: &ProgramHeader| header.p_type == PT_LOAD && header.p_memsz != 0;
    let headers: Vec<_> = table.iter().filter(is_loaded).collect();
    let load = headers
        .iter()
        .map(|header| header.p_paddr)
        .min()
        .context("it loads nothing")?;
    ensure!(
        load >= machine.guest_memory_base,
        "it is linked at {load:#x}, a guest's memory begins at {:#x}",
        machine.guest_memory_base
    );
    let end = headers
        .iter()
        .map(|header| header.p_paddr.saturating_add(header.p_memsz))
        .max();
    let memory_size = end.unwrap_or(load) - load;
    ensure!(
        memory_size <= MAX_FLAT,
        "its segments span {memory_size} bytes"
    );
    let mut flat = Vec::new();
    for header in &headers {
        let start = usize::try_from(header.p_paddr - load)?;
        let content = file_bytes(bytes, header)?;
        if flat.len() < start + content.len() {
            flat.resize(start + content.len(), 0);
        }
        flat[start..start + content.len()].copy_from_slice(content);
    }
    let entry_point = physical(file.ehdr.e_entry, &headers).context("its entry is not loaded")?;
    Ok(Flat {
        load,
        entry_point,
        memory_size,
        bytes: Some(flat),
    })
}

/// Returns the physical address of `entry`, which may be given as a virtual one.
fn physical(entry: u64, headers: &[ProgramHeader]) -> Option<u64> {
    let inside =
        |start: u64, header: &ProgramHeader| entry >= start && entry - start < header.p_memsz;
    if headers.iter().any(|header| inside(header.p_paddr, header)) {
        return Some(entry);
    }
    let header = headers
        .iter()
        .find(|header| inside(header.p_vaddr, header))?;
    Some(entry - header.p_vaddr + header.p_paddr)
}

/// Returns the little-endian number at `at`.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

/// Returns the little-endian number at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// Returns the little-endian number at `at`.
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the machine of the tests.
    fn machine() -> &'static Machine {
        Machine::find("qemu-virt").expect("is known")
    }

    /// Returns the reason for which a file is refused.
    fn refused(name: &str, bytes: &[u8]) -> String {
        unpack(name, bytes, machine())
            .expect_err("must be refused")
            .to_string()
    }

    /// Returns a Linux image with one PE section that ends after `end` bytes.
    fn linux(end: u32) -> Vec<u8> {
        let mut bytes = vec![0; 0x200];
        bytes[8..16].copy_from_slice(&0x20_0000_u64.to_le_bytes());
        bytes[16..24].copy_from_slice(&0x50_0000_u64.to_le_bytes());
        bytes[0x30..0x36].copy_from_slice(b"RISCV\0");
        bytes[0x38..0x3c].copy_from_slice(b"RSC\x05");
        bytes[0x3c..0x40].copy_from_slice(&0x40_u32.to_le_bytes());
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x46] = 1;
        bytes[0x58 + 16..0x58 + 20].copy_from_slice(&(end - 0x100).to_le_bytes());
        bytes[0x58 + 20..0x58 + 24].copy_from_slice(&0x100_u32.to_le_bytes());
        bytes
    }

    /// Returns an ELF file whose one segment holds `content` and is `memory` bytes long.
    fn elf(address: u64, content: &[u8], memory: u64) -> Vec<u8> {
        let mut bytes = vec![0; 0x78];
        bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
        for (at, number) in [
            (0x10, 2_u16),
            (0x12, elf::abi::EM_RISCV),
            (0x34, 64),
            (0x36, 56),
            (0x38, 1),
        ] {
            bytes[at..at + 2].copy_from_slice(&number.to_le_bytes());
        }
        bytes[0x14] = 1;
        let length = content.len() as u64;
        let numbers = [
            (0x18, address + 4),
            (0x20, 0x40),
            (0x48, 0x78),
            (0x50, address),
            (0x58, address),
            (0x60, length),
            (0x68, memory),
        ];
        for (at, number) in numbers {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[0x40] = 1;
        bytes.extend(content);
        bytes
    }

    #[test]
    fn a_linux_image_goes_to_its_text_offset() {
        let flat = unpack("vmlinux", &linux(0x200), machine()).expect("whole");
        assert_eq!((flat.load, flat.entry_point), (0x8020_0000, 0x8020_0000));
        assert_eq!((flat.memory_size, flat.bytes), (0x50_0000, None));
    }

    #[test]
    fn a_truncated_linux_image_is_refused() {
        assert!(refused("vmlinux", &linux(0x201)).starts_with("truncated"));
        assert!(refused("Image", &linux(0x200)[..0x36]).starts_with("truncated"));
    }

    #[test]
    fn an_elf_file_is_laid_out_by_physical_address() {
        let flat = unpack("kernel", &elf(0x8000_0000, b"12345678", 0x100), machine());
        let flat = flat.expect("whole");
        assert_eq!((flat.load, flat.entry_point), (0x8000_0000, 0x8000_0004));
        assert_eq!(
            (flat.memory_size, flat.bytes),
            (0x100, Some(b"12345678".to_vec()))
        );
    }

    #[test]
    fn an_elf_file_is_its_machines() {
        let x86 = Machine::find("qemu-q35").expect("is known");
        let refused = unpack("kernel", &elf(0x10_0000, b"12345678", 8), x86);
        let reason = refused.expect_err("must be refused").to_string();
        assert!(reason.contains("another machine"), "{reason}");
        let mut file = elf(0x10_0000, b"12345678", 8);
        file[0x12..0x14].copy_from_slice(&elf::abi::EM_X86_64.to_le_bytes());
        let flat = unpack("kernel", &file, x86).expect("whole");
        assert_eq!((flat.load, flat.entry_point), (0x10_0000, 0x10_0004));
    }

    #[test]
    fn a_truncated_elf_file_is_refused() {
        let whole = elf(0x8000_0000, b"12345678", 8);
        for length in 1..whole.len() {
            assert!(
                refused("kernel", &whole[..length]).starts_with("truncated"),
                "{length}"
            );
        }
    }

    #[test]
    fn an_elf_file_outside_the_guests_memory_is_refused() {
        assert!(refused("kernel", &elf(0x1000, b"12345678", 8)).contains("linked at 0x1000"));
    }

    #[test]
    fn a_flat_image_is_recognised_by_its_name() {
        let flat = unpack("selftest.flat", &[0x13, 0, 0, 0], machine()).expect("flat");
        assert_eq!((flat.load, flat.bytes), (0x8020_0000, None));
        assert!(refused("selftest", &[0x13, 0, 0, 0]).starts_with("unknown format"));
    }

    #[test]
    fn an_empty_or_compressed_file_is_refused() {
        assert_eq!(refused("a.bin", &[]), "the file is empty");
        assert!(refused("vmlinuz", &[0x1f, 0x8b, 8, 0]).contains("gzip"));
    }
}
