//! How a guest begins: which protocol its kernel follows, what is in memory, and the registers.
//!
//! | kernel | begins | told by |
//! |---|---|---|
//! | multiboot 1 (a header in its first 8 KiB) | 32-bit protected mode, EAX magic | EBX: multiboot information |
//! | PVH (a note of type 18 by Xen) | 32-bit protected mode at the note's entry | EBX: `hvm_start_info` |
//! | anything else | as multiboot | as multiboot |

use super::acpi;
use super::registers::write;
use super::{Trouble, X86};
use crate::machine::Boot;
use crate::{Effects, VcpuId};
use alloc::vec::Vec;
use x86_regs::msr;
use x86_regs::one_reg::{Register, SegmentField};

/// Where what the loader tells the kernel begins; [`LOADER_END`] is where it has to end.
const LOADER: u64 = 0x9_0000;
/// Where the low memory of the guest ends.
const LOADER_END: u64 = 0x9_f000;
/// Where the tables of ACPI are.
pub const TABLES: u64 = 0xf_0000;
/// Where the memory above the holes of a PC begins.
const HIGH: u64 = 0x10_0000;
/// The most memory: above are the interrupt controllers.
pub const MOST_MEMORY: u64 = 0xc000_0000;
/// EAX for a multiboot kernel.
const MULTIBOOT: u64 = 0x2bad_b002;

/// How a kernel wants to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Multiboot, or none that is known.
    Multiboot,
    /// PVH, at this entry.
    Pvh(u64),
}

/// What is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The kernel's bytes, as they are in memory.
    pub kernel: &'a [u8],
    /// Their address.
    pub load: u64,
    /// Bytes of the kernel in memory.
    pub kernel_memory: u64,
    /// Its entry, by its file.
    pub entry: u64,
    /// Bytes of the module, if there is one.
    pub module_bytes: Option<u64>,
    /// The command line.
    pub command_line: &'a str,
    /// Bytes of the guest's memory.
    pub memory: u64,
    /// vCPUs.
    pub processors: usize,
}

/// What goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Pieces of memory beside kernel and module.
    pub pieces: Vec<(u64, Vec<u8>)>,
    /// Where the module goes.
    pub module: Option<u64>,
    /// Where the guest begins.
    pub boot: Boot,
}

/// Why a guest cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The kernel does not lie between 1 MiB and the end of memory.
    Kernel,
    /// The module does not fit behind the kernel.
    Module,
    /// The command line is too long.
    CommandLine,
    /// The guest has more than 3 GiB of memory, or less than 2 MiB.
    Memory,
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::Kernel => "its kernel does not lie in its memory, above 1 MiB",
            Self::Module => "its initial RAM disk does not fit behind its kernel",
            Self::CommandLine => "its command line is too long",
            Self::Memory => "it has more than 3 GiB of memory, or less than 2 MiB",
        })
    }
}

/// Returns four little-endian bytes.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

/// Returns how a kernel wants to be started.
#[must_use]
pub fn protocol(kernel: &[u8]) -> Protocol {
    const HEADER: u32 = 0x1bad_b002;
    const ENTRY: u32 = 18;
    let is_header = |at: &usize| {
        let words = [0, 4, 8].map(|offset| word(kernel, at + offset));
        let [Some(HEADER), Some(flags), Some(checksum)] = words else {
            return false;
        };
        HEADER.wrapping_add(flags).wrapping_add(checksum) == 0
    };
    if (0..8192).step_by(4).any(|at| is_header(&at)) {
        return Protocol::Multiboot;
    }
    let entry = |at: usize| {
        let [name, size, kind] = [0, 4, 8].map(|offset| word(kernel, at + offset));
        let is_note = name == Some(4) && matches!(size, Some(4 | 8)) && kind == Some(ENTRY);
        (is_note && kernel.get(at + 12..at + 16) == Some(b"Xen\0"))
            .then(|| word(kernel, at + 16))
            .flatten()
    };
    let note = (0..kernel.len()).step_by(4).find_map(entry);
    note.map_or(Protocol::Multiboot, |entry| Protocol::Pvh(u64::from(entry)))
}

/// Returns what goes where.
///
/// # Errors
///
/// A [`LoadError`] where something does not fit.
pub fn plan(files: &Files<'_>) -> Result<Plan, LoadError> {
    if !(2 << 20..=MOST_MEMORY).contains(&files.memory) {
        return Err(LoadError::Memory);
    }
    let end = files.load.checked_add(files.kernel_memory);
    let end = end.filter(|end| files.load >= HIGH && *end <= files.memory);
    let end = end.ok_or(LoadError::Kernel)?;
    let place = |bytes: u64| {
        let place = files.memory.checked_sub(bytes)? & !0xfff;
        (place >= end).then_some(place)
    };
    let module = match files.module_bytes {
        None => None,
        Some(bytes) => Some((place(bytes).ok_or(LoadError::Module)?, bytes)),
    };
    let mut loader = Loader::default();
    let line = loader.text(files.command_line);
    let (information, entry) = match protocol(files.kernel) {
        Protocol::Multiboot => (loader.multiboot(files, line, module), files.entry),
        Protocol::Pvh(entry) => (loader.start_info(files, line, module), entry),
    };
    if loader.bytes.len() as u64 > LOADER_END - LOADER {
        return Err(LoadError::CommandLine);
    }
    let tables = acpi::tables(files.processors);
    Ok(Plan {
        pieces: alloc::vec![(LOADER, loader.bytes), (TABLES, tables)],
        module: module.map(|(place, _)| place),
        boot: Boot {
            entry,
            device_tree: information,
        },
    })
}

/// The ranges of memory: usable, or reserved.
fn ranges(memory: u64) -> [(u64, u64, u32); 3] {
    const USABLE: u32 = 1;
    const RESERVED: u32 = 2;
    [
        (0, LOADER_END, USABLE),
        (LOADER_END, HIGH - LOADER_END, RESERVED),
        (HIGH, memory - HIGH, USABLE),
    ]
}

/// What the loader tells the kernel, in the making.
#[derive(Default)]
struct Loader {
    bytes: Vec<u8>,
}

impl Loader {
    /// Returns where the next piece goes, aligned.
    fn next(&mut self) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        LOADER + self.bytes.len() as u64
    }

    /// Adds words of four bytes; returns where they are.
    fn words(&mut self, words: &[u32]) -> u64 {
        let place = self.next();
        self.bytes
            .extend(words.iter().flat_map(|word| word.to_le_bytes()));
        place
    }

    /// Adds a text, ended by a zero.
    fn text(&mut self, text: &str) -> u64 {
        let place = self.next();
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
        place
    }

    /// Adds the information of multiboot (Multiboot 0.6.96, 3.3).
    fn multiboot(&mut self, files: &Files<'_>, line: u64, module: Option<(u64, u64)>) -> u64 {
        const MEMORY: u32 = 1;
        const LINE: u32 = 1 << 2;
        const MODULES: u32 = 1 << 3;
        const MAP: u32 = 1 << 6;
        const NAME: u32 = 1 << 9;
        let mut map = Vec::new();
        for (base, length, kind) in ranges(files.memory) {
            let [base, length] = [base, length].map(|value| [value as u32, (value >> 32) as u32]);
            map.extend([20, base[0], base[1], length[0], length[1], kind]);
        }
        let map_bytes = map.len() as u32 * 4;
        let map = self.words(&map) as u32;
        let empty = self.text("") as u32;
        let (modules, count) = match module {
            None => (0, 0),
            Some((place, bytes)) => {
                let row = [place as u32, (place + bytes) as u32, empty, 0];
                (self.words(&row) as u32, 1)
            }
        };
        let name = self.text("Skerry") as u32;
        let mut words = [0; 29];
        for (index, value) in [
            (0, MEMORY | LINE | MODULES | MAP | NAME),
            (1, (LOADER_END >> 10) as u32),
            (2, ((files.memory - HIGH) >> 10) as u32),
            (4, line as u32),
            (5, count),
            (6, modules),
            (11, map_bytes),
            (12, map),
            (16, name),
        ] {
            if let Some(word) = words.get_mut(index) {
                *word = value;
            }
        }
        self.words(&words)
    }

    /// Adds the start information of PVH (Xen's `start_info.h`, version 1).
    fn start_info(&mut self, files: &Files<'_>, line: u64, module: Option<(u64, u64)>) -> u64 {
        const MAGIC: u32 = 0x336e_c578;
        let split = |value: u64| [value as u32, (value >> 32) as u32];
        let mut map = Vec::new();
        for (base, length, kind) in ranges(files.memory) {
            map.extend(split(base));
            map.extend(split(length));
            map.extend([kind, 0]);
        }
        let map = self.words(&map);
        let (modules, count) = match module {
            None => (0, 0),
            Some((place, bytes)) => {
                let mut row = Vec::new();
                for value in [place, bytes, 0, 0] {
                    row.extend(split(value));
                }
                (self.words(&row), 1)
            }
        };
        let mut words = alloc::vec![MAGIC, 1, 0, count];
        for value in [modules, line, TABLES, map] {
            words.extend(split(value));
        }
        words.extend([3, 0]);
        self.words(&words)
    }
}

/// A segment's index, selector, attributes, limit and base.
type Segment = (u8, u64, u64, u64, u64);

/// Segments behind a reset that starts at a page: real mode.
fn real_segments(page: u8) -> [Segment; 10] {
    let data = |index| (index, 0, 0x93, 0xffff, 0);
    let base = u64::from(page) << 12;
    [
        data(0),
        (1, base >> 4, 0x9b, 0xffff, base),
        data(2),
        data(3),
        data(4),
        data(5),
        (6, 0, 0, 0xffff, 0),
        (7, 0, 0x82, 0xffff, 0),
        (8, 0, 0, 0xffff, 0),
        (9, 0, 0x8b, 0xffff, 0),
    ]
}

/// Segments of a boot: flat, 32 bits.
fn flat_segments() -> [Segment; 10] {
    let data = |index| (index, 0x18, 0xc93, 0xffff_ffff, 0);
    [
        data(0),
        (1, 0x10, 0xc9b, 0xffff_ffff, 0),
        data(2),
        data(3),
        data(4),
        data(5),
        (6, 0, 0, 0, 0),
        (7, 0, 0x82, 0xffff, 0),
        (8, 0, 0, 0, 0),
        (9, 0, 0x8b, 0x67, 0),
    ]
}

impl X86 {
    /// Brings a processor into the state in which it waits to be started, but for its segments.
    fn clear<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<(), Trouble> {
        const WRITE_PROTECTABLE: u64 = 0x10;
        const PAGE_ATTRIBUTES: u64 = 0x0007_0406_0007_0406;
        for (register, value) in [
            (Register::Cr0, WRITE_PROTECTABLE),
            (Register::Cr2, 0),
            (Register::Cr8, 0),
            (Register::Cr3, 0),
            (Register::Cr4, 0),
            (Register::ModelSpecific(msr::EFER), 0),
            (Register::ModelSpecific(msr::PAT), PAGE_ATTRIBUTES),
            (Register::Rflags, 2),
            (Register::Dr6, 0xffff_0ff0),
            (Register::Dr7, 0x400),
            (Register::Event, 0),
            (Register::General(4), 0),
        ] {
            write(vcpu, (register, value), effects)?;
        }
        let never = (abi::register::TIMER_DEADLINE, u64::MAX);
        effects
            .write_register(vcpu, never.0, never.1)
            .map_err(|_| Trouble::Register(never.0))?;
        for register in 0..16 {
            if register != 4 {
                effects.set_general(vcpu, register, 0);
            }
        }
        Ok(())
    }

    /// Sets all segments.
    fn set_segments<E: Effects>(
        vcpu: VcpuId,
        segments: &[Segment],
        effects: &mut E,
    ) -> Result<(), Trouble> {
        for (index, selector, attributes, limit, base) in segments {
            for (field, value) in [
                (SegmentField::Selector, *selector),
                (SegmentField::Attributes, *attributes),
                (SegmentField::Limit, *limit),
                (SegmentField::Base, *base),
            ] {
                write(vcpu, (Register::Segment(*index, field), value), effects)?;
            }
        }
        Ok(())
    }

    /// Sets the registers with which a processor starts at a page, in real mode.
    pub(super) fn prepare_start<E: Effects>(
        vcpu: VcpuId,
        page: u8,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        Self::clear(vcpu, effects)?;
        Self::set_segments(vcpu, &real_segments(page), effects)?;
        write(vcpu, (Register::Rip, 0), effects)
    }

    /// Sets the registers with which the first processor begins.
    pub(super) fn prepare_boot<E: Effects>(
        vcpu: VcpuId,
        boot: Boot,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        const PROTECTED: u64 = 0x11;
        const RAX: u8 = 0;
        const RBX: u8 = 3;
        Self::clear(vcpu, effects)?;
        Self::set_segments(vcpu, &flat_segments(), effects)?;
        write(vcpu, (Register::Cr0, PROTECTED), effects)?;
        write(vcpu, (Register::Rip, boot.entry), effects)?;
        effects.set_general(vcpu, RAX, MULTIBOOT);
        effects.set_general(vcpu, RBX, boot.device_tree);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(at: usize, words: &[u32]) -> Vec<u8> {
        let mut bytes = alloc::vec![0; at];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    fn files(kernel: &[u8]) -> Files<'_> {
        Files {
            kernel,
            load: HIGH,
            kernel_memory: 0x2000,
            entry: HIGH + 4,
            module_bytes: Some(0x1001),
            command_line: "a b",
            memory: 16 << 20,
            processors: 2,
        }
    }

    #[test]
    fn protocols_are_told_by_header_and_note() {
        let magic = 0x1bad_b002_u32;
        let header = [magic, 3, 0_u32.wrapping_sub(magic + 3)];
        assert_eq!(protocol(&kernel(64, &header)), Protocol::Multiboot);
        let note = [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), 0x10_0040];
        assert_eq!(protocol(&kernel(64, &note)), Protocol::Pvh(0x10_0040));
        // A header goes first, but only where it is one.
        let both: Vec<u32> = note.iter().chain(&header).copied().collect();
        assert_eq!(protocol(&kernel(0, &both)), Protocol::Multiboot);
        let wrong: Vec<u32> = note.iter().chain(&[magic, 3, 3]).copied().collect();
        assert_eq!(protocol(&kernel(0, &wrong)), Protocol::Pvh(0x10_0040));
        for length in 0..32 {
            let _ = protocol(&kernel(0, &note)[..length.min(20)]);
        }
    }

    #[test]
    fn what_is_told_lies_where_it_says() {
        let plan = plan(&files(&[])).unwrap();
        let module = plan.module.unwrap();
        assert_eq!(module, (16 << 20) - 0x2000);
        let (base, bytes) = &plan.pieces[0];
        let at = |address: u64| (address - base) as usize;
        let information = at(plan.boot.device_tree);
        let field = |index: usize| word(bytes, information + index * 4).unwrap();
        assert_eq!(field(0) & 0x4d, 0x4d);
        let line = at(u64::from(field(4)));
        assert_eq!(&bytes[line..line + 4], b"a b\0");
        let modules = at(u64::from(field(6)));
        assert_eq!(word(bytes, modules), Some(module as u32));
        assert_eq!(word(bytes, modules + 4), Some(module as u32 + 0x1001));
        assert_eq!(field(11), 72);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let good = files(&[]);
        let refused = |files: Files<'_>| plan(&files).unwrap_err();
        assert_eq!(
            refused(Files {
                load: 0x1000,
                ..good
            }),
            LoadError::Kernel
        );
        assert_eq!(
            refused(Files {
                kernel_memory: u64::MAX,
                ..good
            }),
            LoadError::Kernel
        );
        assert_eq!(
            refused(Files {
                module_bytes: Some(16 << 20),
                ..good
            }),
            LoadError::Module
        );
        assert_eq!(
            refused(Files {
                memory: 1 << 32,
                ..good
            }),
            LoadError::Memory
        );
        let long = alloc::string::String::from_utf8(alloc::vec![b'x'; 0x1_0000]).unwrap();
        let long = Files {
            command_line: &long,
            ..good
        };
        assert_eq!(refused(long), LoadError::CommandLine);
    }
}
