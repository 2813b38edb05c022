//! A scripted machine on the developer's machine: [`FakeArch`] is the hardware, [`Machine`] boots a
//! kernel on it and makes system calls as its users.
//!
//! Cores are numbers: whoever acts says for which core it does ([`on_core`]). Time stands still
//! until it is advanced. Inter-processor interrupts wait until they are delivered, in an order that
//! the test chooses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test machine fails loudly"
)]

pub mod check;
pub mod frame;
pub mod guest;
pub mod machine;
pub mod script;
pub mod tlb;

pub use frame::FakeFrame;
pub use guest::FakeGuest;
pub use machine::Machine;

use crate::arch::{Arch, GuestRegisters, Level, LiveEntry, Memory, SpaceTag, Stage, TableEntry};
use abi::exit::AccessInfo;
use abi::{Error, Rights};
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use tlb::Tlb;

std::thread_local! {
    /// The core that this thread of the test acts for.
    static CORE: Cell<usize> = const { Cell::new(0) };
}

/// Makes what this thread does from now on happen on `core`.
pub fn on_core(core: usize) {
    CORE.set(core);
}

/// The most cores of a fake machine.
pub const CORES: usize = 4;
/// Interrupt lines of a fake machine.
pub const LINES: u32 = 16;

/// What one fake core has.
#[derive(Debug, Default)]
pub struct FakeCore {
    /// When the timer fires.
    pub timer: AtomicU64,
    /// 1 while an inter-processor interrupt waits.
    pub ipi: AtomicU64,
    /// Root table and tag of the loaded process, tag plus one; 0 is the kernel's own.
    pub space: [AtomicU64; 2],
    /// Root table of the loaded guest, or 0.
    pub guest_root: AtomicU64,
    /// Translations.
    pub tlb: Mutex<Tlb>,
    /// Interrupt lines that wait.
    pub external: AtomicU64,
    /// Lines that this core has not masked, one bit each: each core has a mask of its own.
    pub unmasked: AtomicU64,
    /// Times that the timer was set.
    pub timer_writes: AtomicU64,
    /// Flushes of any kind.
    pub flushes: AtomicU64,
}

/// The hardware of a fake machine.
#[derive(Debug, Default)]
pub struct FakeArch {
    /// The counter.
    pub now: AtomicU64,
    /// Its cores.
    pub cores: [FakeCore; CORES],
    /// Set where the machine has no guests.
    pub without_guests: AtomicU64,
    /// After how much work a long call lets others get in between; 0 stands for 1500.
    pub step: AtomicU64,
    /// The most space tags; 0 stands for 4096.
    pub tags: AtomicU64,
    /// Inter-processor interrupts that were sent.
    pub ipis_sent: AtomicU64,
    /// Its I/O ports, each as wide as the last write to it.
    pub ports: [AtomicU64; 16],
}

/// Entry bits: valid, read, write, execute.
const VALID: u64 = 1;
/// Entry bit of a leaf that allows nothing.
const NOTHING: u64 = 1 << 8;
/// Entry bit of device memory.
const DEVICE: u64 = 1 << 9;
/// Entry bits that name the level that an entry was made for: entries of different levels look
/// different, and a word of zeros is no entry of any.
const LEVEL_MASK: u64 = 0xff << 56;

/// Returns the bits that every entry of this level has; an empty one has no others.
fn of_level(level: &Level) -> u64 {
    u64::from(level.shift) << 56
}

impl FakeArch {
    /// Returns the core that acts.
    pub fn here(&self) -> &FakeCore {
        &self.cores[CORE.get()]
    }

    /// Does something to this core's translations.
    fn flush(&self, what: impl FnOnce(&mut Tlb)) {
        let core = self.here();
        core.flushes.fetch_add(1, Ordering::Relaxed);
        what(&mut core.tlb.lock().unwrap());
    }

    /// Raises an interrupt line at a core.
    pub fn raise_line(&self, core: usize, line: u32) {
        self.cores[core]
            .external
            .fetch_or(1 << line, Ordering::SeqCst);
    }

    /// Returns whether an unmasked line waits at a core.
    pub fn has_external(&self, core: usize) -> bool {
        let core = &self.cores[core];
        core.external.load(Ordering::SeqCst) & core.unmasked.load(Ordering::SeqCst) != 0
    }
}

impl Arch for FakeArch {
    type Frame = FakeFrame;
    type Guest = FakeGuest;

    const USER_END: u64 = 1 << 38;
    const INTERRUPTS: u32 = LINES;

    fn step(&self) -> u64 {
        match self.step.load(Ordering::Relaxed) {
            0 => 1500,
            step => step,
        }
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn set_timer(&self, deadline: u64) {
        let core = self.here();
        core.timer.store(deadline, Ordering::SeqCst);
        core.timer_writes.fetch_add(1, Ordering::Relaxed);
    }

    fn send_ipi(&self, cores: u64) {
        for (index, core) in self.cores.iter().enumerate() {
            if cores >> index & 1 == 1 {
                core.ipi.store(1, Ordering::SeqCst);
                self.ipis_sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn levels(&self, stage: Stage) -> &'static [Level] {
        /// As Sv39 has them.
        const USER: [Level; 3] = [level(30, 9), level(21, 9), level(12, 9)];
        /// As Sv39x4 has them.
        const GUEST: [Level; 3] = [level(30, 11), level(21, 9), level(12, 9)];
        match stage {
            Stage::User => &USER,
            Stage::Guest => &GUEST,
        }
    }

    fn empty(&self, _: Stage, level: &Level) -> u64 {
        of_level(level)
    }

    fn is_empty(&self, stage: Stage, level: &Level, table: &[AtomicU64]) -> bool {
        let empty = self.empty(stage, level);
        table
            .iter()
            .all(|entry| entry.load(Ordering::Relaxed) == empty)
    }

    fn initialise_root(&self, _: &[AtomicU64]) {}

    fn leaf(&self, _: Stage, level: &Level, memory: Memory) -> u64 {
        let device = if memory.device { DEVICE } else { 0 };
        let place = memory.physical >> 12 << 10 | device | of_level(level);
        if memory.access == Rights::new() {
            return place | NOTHING;
        }
        place | u64::from(memory.access.into_bits() & 0x7) << 1 | VALID
    }

    fn table(&self, _: Stage, level: &Level, physical: u64) -> u64 {
        physical >> 12 << 10 | VALID | of_level(level)
    }

    fn decode(&self, _: Stage, entry: u64, level: &Level) -> TableEntry {
        let made_for = entry & LEVEL_MASK;
        assert_eq!(made_for, of_level(level), "an entry was made for its level");
        let physical = (entry & !LEVEL_MASK) >> 10 << 12;
        let access = u16::try_from(entry >> 1 & 0x7).unwrap();
        match (entry & VALID, access) {
            (0, _) if entry & NOTHING == 0 => TableEntry::Empty,
            (1, 0) if level.shift > 12 => TableEntry::Table(physical),
            _ => TableEntry::Leaf {
                physical,
                access: Rights::from_bits(access),
            },
        }
    }

    fn replace(&self, place: &LiveEntry<'_>, entry: u64) {
        let made_for = entry & LEVEL_MASK;
        assert_eq!(made_for, of_level(place.level), "an entry is at its level");
        place.word.store(entry, Ordering::SeqCst);
    }

    fn space_tags(&self) -> u64 {
        match self.tags.load(Ordering::Relaxed) {
            0 => 4096,
            tags => tags,
        }
    }

    fn space_word(&self, space: Option<(u64, SpaceTag)>) -> u64 {
        let (root, tag) = space.map_or((0, 0), |(root, tag)| (root, tag.0 + 1));
        1 << 63 | root << 13 | tag
    }

    fn load_space(&self, word: u64) {
        assert!(word >> 63 == 1, "this is the word of a space");
        let [root_place, tag_place] = &self.here().space;
        root_place.store(word << 1 >> 14, Ordering::SeqCst);
        tag_place.store(word & 0x1fff, Ordering::SeqCst);
    }

    fn flush_space(&self, tag: SpaceTag) {
        self.flush(|tlb| tlb.flush_space(tag.0));
    }

    fn flush_all_spaces(&self) {
        self.flush(Tlb::flush_all_spaces);
    }

    fn flush_page(&self, tag: SpaceTag, address: u64) {
        self.flush(|tlb| tlb.flush_page(tag.0, address));
    }

    fn flush_guests(&self) {
        self.flush(Tlb::flush_guests);
    }

    fn mask_interrupt(&self, line: u32) {
        let unmasked = &self.here().unmasked;
        unmasked.fetch_and(!(1 << line), Ordering::SeqCst);
    }

    fn unmask_interrupt(&self, line: u32) {
        self.here().unmasked.fetch_or(1 << line, Ordering::SeqCst);
    }

    fn claim_interrupt(&self) -> Option<u32> {
        let waiting = &self.here().external;
        let ready = waiting.load(Ordering::SeqCst) & self.here().unmasked.load(Ordering::SeqCst);
        let line = (ready != 0).then(|| ready.trailing_zeros())?;
        waiting.fetch_and(!(1 << line), Ordering::SeqCst);
        self.mask_interrupt(line);
        Some(line)
    }

    fn firmware(&self, arguments: [u64; 6], page: Option<&[AtomicU64]>) -> Result<u64, Error> {
        match arguments {
            [1, value, ..] => Ok(value + 1),
            [2, ..] => Err(Error::FirmwareRefused),
            [3, ..] => Err(Error::BadArgument),
            // Exchanges a word of the page.
            [7, value, ..] => {
                let word = page.and_then(<[AtomicU64]>::first);
                Ok(word
                    .ok_or(Error::BadArgument)?
                    .swap(value, Ordering::SeqCst))
            }
            _ => Err(Error::Unsupported),
        }
    }

    fn port(&self, port: u64, _: u64, value: Option<u64>) -> Result<u64, Error> {
        let index = usize::try_from(port).map_err(|_| Error::Unsupported)?;
        let word = self.ports.get(index).ok_or(Error::Unsupported)?;
        Ok(match value {
            Some(value) => {
                word.store(value, Ordering::SeqCst);
                0
            }
            None => word.load(Ordering::SeqCst),
        })
    }

    fn has_guests(&self) -> bool {
        self.without_guests.load(Ordering::Relaxed) == 0
    }

    fn guest_lines(&self) -> u64 {
        guest::LINES
    }

    fn guest_reset(&self, guest: &FakeGuest) {
        guest.reset();
    }

    fn guest_load(&self, guest: &FakeGuest, root: u64) {
        guest.set_loaded(true);
        self.here().guest_root.store(root, Ordering::SeqCst);
    }

    fn guest_unload(&self, guest: &FakeGuest) {
        guest.set_loaded(false);
        self.here().guest_root.store(0, Ordering::SeqCst);
    }

    fn guest_set_lines(&self, guest: &FakeGuest, lines: u64) {
        guest.show(lines);
    }

    fn guest_remaining_lines(&self, guest: &FakeGuest, lines: u64) -> u64 {
        guest.remaining(lines)
    }

    fn guest_wakes(&self, guest: &FakeGuest, _: bool, lines: u64) -> bool {
        lines != 0 || guest.timer() <= self.now()
    }

    fn guest_timer(&self, guest: &FakeGuest, _: bool) -> u64 {
        guest.timer()
    }

    fn guest_software_timer(&self, guest: &FakeGuest) -> u64 {
        guest.timer()
    }

    fn guest_timer_line(&self, guest: &FakeGuest) -> u64 {
        u64::from(guest.timer() <= self.now()) << 7
    }

    fn guest_flush(&self, guest: &FakeGuest, kind: u64) {
        guest.flushed(kind);
        self.flush(Tlb::flush_guests);
    }

    fn guest_program_counter(&self, guest: &FakeGuest) -> u64 {
        guest.program_counter()
    }

    fn guest_access<'r>(
        &self,
        guest: &FakeGuest,
        description: u64,
        registers: impl FnOnce() -> GuestRegisters<'r>,
    ) -> Option<(AccessInfo, u64)> {
        guest.access(description, registers)
    }

    fn guest_skip(&self, guest: &FakeGuest, length: u64) {
        guest.skip(length);
    }

    fn guest_loaded(&self, registers: GuestRegisters<'_>, access: AccessInfo, value: u64) {
        registers[usize::from(access.register())].store(value, Ordering::Relaxed);
    }

    fn guest_read(
        &self,
        guest: &FakeGuest,
        _: bool,
        registers: Option<GuestRegisters<'_>>,
        id: u64,
    ) -> Result<u64, Error> {
        guest.read(registers, id)
    }

    fn guest_write(
        &self,
        guest: &FakeGuest,
        _: bool,
        registers: Option<GuestRegisters<'_>>,
        (id, value): (u64, u64),
    ) -> Result<(), Error> {
        guest.write(registers, id, value)
    }
}

/// Returns a level that can have leaves.
const fn level(shift: u32, bits: u32) -> Level {
    Level {
        shift,
        bits,
        leaf: true,
    }
}
