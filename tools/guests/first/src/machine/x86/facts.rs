//! What the loader and the processor say of the machine.

use core::ptr::{addr_of, with_exposed_provenance};
use core::slice;
use core::sync::atomic::AtomicU64;

use spin::Once;

use super::processor::{identify, input, output, time};
use super::{apic, processor};
use crate::interrupts::PROCESSORS;

/// What a PVH loader passes begins with it.
const MAGIC: u32 = 0x336e_c578;
/// Type of memory that is free to use.
const FREE: u32 = 1;
/// Rows of the memory map that are looked at.
const RANGES: usize = 16;
/// Bytes of the command line that are kept.
const COMMAND_LINE: usize = 256;
/// The second channel of the PIT counts as often in 10 ms.
const PIT_COUNT: u16 = 11_932;
/// Ticks after which there is no PIT.
const PATIENCE: u64 = 20_000_000_000;

/// What is known of the machine.
pub struct Facts {
    /// Processors, [`PROCESSORS`] at most.
    pub processors: usize,
    /// The numbers of their APICs, the one that booted first.
    pub numbers: [u32; PROCESSORS],
    /// How fast the time-stamp counter goes.
    pub ticks_per_millisecond: u64,
    /// How fast the APIC's timer goes.
    pub counts_per_millisecond: u64,
    /// Whether it is a virtual machine of ours.
    pub is_virtual: bool,
    memory: [(u64, u64); RANGES],
    command_line: [u8; COMMAND_LINE],
    command_line_length: usize,
}

/// The machine.
static FACTS: Once<Facts> = Once::new();

/// Returns what is known.
///
/// # Panics
///
/// Before [`read`].
pub fn facts() -> &'static Facts {
    FACTS.get().expect("the start information was read first")
}

/// Returns bytes at an address.
fn bytes(address: u64, length: usize) -> &'static [u8] {
    // SAFETY: the loader's tables are in memory that nobody writes before they are read.
    unsafe { slice::from_raw_parts(with_exposed_provenance(address as usize), length) }
}

/// Returns the little-endian number at an offset.
fn number<const LENGTH: usize>(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + LENGTH).unwrap_or_default();
    field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Reads the start information at an address (Xen, "x86/HVM direct boot ABI").
pub fn read(start: u64) {
    FACTS.call_once(|| {
        let (ticks, counts) = speeds();
        let own = apic::own_number();
        let mut facts = Facts {
            processors: processors(),
            numbers: [own, own + 1],
            ticks_per_millisecond: ticks,
            counts_per_millisecond: counts,
            is_virtual: is_virtual(),
            memory: [(0, 0); RANGES],
            command_line: [0; COMMAND_LINE],
            command_line_length: 0,
        };
        facts.read_start(bytes(start, 56));
        facts
    });
}

/// Returns how many processors there can be (CPUID leaf 1).
fn processors() -> usize {
    let leaf = identify(1, 0);
    match leaf.edx >> 28 & 1 {
        0 => 1,
        _ => ((leaf.ebx >> 16 & 0xff) as usize).clamp(1, PROCESSORS),
    }
}

/// Tells whether the hypervisor is ours.
fn is_virtual() -> bool {
    let is_any = identify(1, 0).ecx >> 31 != 0;
    is_any && identify(0x4000_0000, 0).ebx == u32::from_le_bytes(*b"Sker")
}

/// Returns how far the time-stamp counter and the APIC's timer go in a millisecond, by the PIT's
/// second channel. Where there is none, one tick is a nanosecond.
fn speeds() -> (u64, u64) {
    output(0x61, input(0x61) & !2 & !1);
    output(0x43, 0b1011_0000);
    output(0x42, PIT_COUNT as u8);
    output(0x42, (PIT_COUNT >> 8) as u8);
    apic::start_counting();
    let start = time();
    output(0x61, input(0x61) | 1);
    while input(0x61) & 1 << 5 == 0 {
        if time() - start > PATIENCE {
            return (1_000_000, 1_000_000);
        }
    }
    let ticks = time() - start;
    let counts = u64::from(apic::counted());
    ((ticks / 10).max(1), (counts / 10).max(1))
}

impl Facts {
    /// Reads the start information.
    fn read_start(&mut self, start: &[u8]) {
        assert!(
            number::<4>(start, 0) == u64::from(MAGIC),
            "no PVH start information"
        );
        let rows = (number::<4>(start, 48) as usize).min(RANGES);
        let map = bytes(number::<8>(start, 40), rows * 24);
        for (place, row) in self.memory.iter_mut().zip(map.chunks_exact(24)) {
            if number::<4>(row, 16) == u64::from(FREE) {
                *place = (number::<8>(row, 0), number::<8>(row, 8));
            }
        }
        let line = number::<8>(start, 24);
        if line != 0 {
            let text = bytes(line, COMMAND_LINE).split(|byte| *byte == 0).next();
            for (place, byte) in self.command_line.iter_mut().zip(text.unwrap_or_default()) {
                *place = *byte;
                self.command_line_length += 1;
            }
        }
    }

    /// Returns the command line.
    pub fn command_line(&self) -> &[u8] {
        &self.command_line[..self.command_line_length]
    }

    /// Returns the memory behind the guest's own, below 4 GiB.
    pub fn free_memory(&self) -> impl Iterator<Item = &'static [AtomicU64]> {
        let image_end = image_end();
        self.memory.iter().filter_map(move |&(base, length)| {
            let start = image_end.max(base);
            let end = base.checked_add(length)?.min(1 << 32);
            let length = end.checked_sub(start)? / 8;
            let first = with_exposed_provenance::<AtomicU64>(start as usize);
            // SAFETY: it is free memory behind the image, which holds the stacks too; the loader's
            // tables were read before. Words are atomics, so that they may be written.
            Some(unsafe { slice::from_raw_parts(first, length as usize) })
        })
    }
}

/// Returns the first address behind the guest's own.
fn image_end() -> u64 {
    unsafe extern "C" {
        static _image_end: u8;
    }
    // The linker's symbol is an address; nothing is there.
    addr_of!(_image_end).addr() as u64
}

/// Returns the number of the second processor's APIC.
pub fn second_number() -> u32 {
    facts().numbers[1 - processor::index()]
}
