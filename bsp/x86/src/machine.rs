//! The machine, as the portable kernel sees it.

use crate::frame::X86Frame;
use crate::guest::{self, X86Guest};
use crate::paging::{self, SecondStage};
use crate::{apic, console, cpu, irq, percore, power, timer};
use abi::Error;
use abi::exit::AccessInfo;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Arch, GuestRegisters, Level, LiveEntry, Memory, SpaceTag, Stage, TableEntry};

/// An x86-64 machine.
pub struct X86 {
    /// How guests are run; `None` where they are not.
    pub second_stage: Option<SecondStage>,
}

/// Firmware call: writes a byte to COM1.
const WRITE_BYTE: u64 = 0;
/// Firmware call: switches off; 1 as argument tells of a failure.
const SHUT_DOWN: u64 = 1;

impl Arch for X86 {
    type Frame = X86Frame;
    type Guest = X86Guest;

    const USER_END: u64 = paging::USER_END;
    const INTERRUPTS: u32 = irq::LINES;

    #[inline(always)]
    fn now(&self) -> u64 {
        timer::now()
    }

    fn set_timer(&self, deadline: u64) {
        timer::set(deadline);
    }

    #[inline(always)]
    fn copy(&self, (from, to): (&[AtomicU64], &[AtomicU64])) -> bool {
        cpu::copy(from, to);
        true
    }

    fn send_ipi(&self, cores: u64) {
        let mut rest = cores;
        while rest != 0 {
            let core = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if let Some(core) = percore::get(core) {
                apic::send(core.apic.get() as u32, apic::IPI as u32);
            }
        }
    }

    #[inline(always)]
    fn levels(&self, _: Stage) -> &'static [Level] {
        paging::levels()
    }

    fn empty(&self, _: Stage, _: &Level) -> u64 {
        // An entry of zeros is not present, and its software bits are not those of a reserved leaf.
        0
    }

    fn initialise_root(&self, root: &[AtomicU64]) {
        paging::initialise_root(root);
    }

    fn leaf(&self, stage: Stage, _level: &Level, memory: Memory) -> u64 {
        let format = paging::format(stage, self.second_stage);
        paging::leaf(format, memory)
    }

    fn table(&self, stage: Stage, _level: &Level, physical: u64) -> u64 {
        paging::table(paging::format(stage, self.second_stage), physical)
    }

    fn decode(&self, stage: Stage, entry: u64, level: &Level) -> TableEntry {
        paging::decode(paging::format(stage, self.second_stage), entry, level)
    }

    fn replace(&self, place: &LiveEntry<'_>, entry: u64) {
        // Entries may change while processors use them; the flush follows.
        place.word.store(entry, Ordering::Relaxed);
    }

    fn space_tags(&self) -> u64 {
        paging::SPACE_TAGS
    }

    fn space_word(&self, space: Option<(u64, SpaceTag)>) -> u64 {
        match space {
            Some((root, tag)) => paging::root_word(root, tag.0),
            None => paging::root_word(paging::physical_of(&raw const paging::ROOT), 0),
        }
    }

    #[inline(always)]
    fn load_space(&self, word: u64) {
        crate::cpu::set_cr3(word);
    }

    fn flush_space(&self, tag: SpaceTag) {
        paging::flush_space(tag.0);
    }

    fn flush_all_spaces(&self) {
        paging::flush_all_spaces();
    }

    fn flush_page(&self, tag: SpaceTag, address: u64) {
        paging::flush_page(tag.0, address);
    }

    fn flush_guests(&self) {
        if let Some(hardware) = guest::hardware() {
            hardware.flush_all(percore::current());
        }
    }

    fn mask_interrupt(&self, line: u32) {
        irq::mask(line);
    }

    fn unmask_interrupt(&self, line: u32) {
        irq::unmask(line);
    }

    fn claim_interrupt(&self) -> Option<u32> {
        irq::claim()
    }

    fn firmware(
        &self,
        [call, argument, ..]: [u64; 6],
        _: Option<&[AtomicU64]>,
    ) -> Result<u64, Error> {
        match (call, argument) {
            (WRITE_BYTE, byte) => {
                console::write_byte(u8::try_from(byte).map_err(|_| Error::BadArgument)?);
                Ok(0)
            }
            (SHUT_DOWN, failed @ 0..=1) => power::off(failed == 1),
            (SHUT_DOWN, _) => Err(Error::BadArgument),
            _ => Err(Error::Unsupported),
        }
    }

    fn port(&self, port: u64, size: u64, value: Option<u64>) -> Result<u64, Error> {
        let port = port as u16;
        match (size, value) {
            (1, Some(value)) => cpu::write_port(port, value as u8),
            (2, Some(value)) => cpu::write_port_word(port, value as u16),
            (_, Some(value)) => cpu::write_port_long(port, value as u32),
            (1, None) => return Ok(u64::from(cpu::read_port(port))),
            (2, None) => return Ok(u64::from(cpu::read_port_word(port))),
            (_, None) => return Ok(u64::from(cpu::read_port_long(port))),
        }
        Ok(0)
    }

    fn has_guests(&self) -> bool {
        self.second_stage.is_some()
    }

    fn guest_lines(&self) -> u64 {
        guest::LINES
    }

    fn guest_reset(&self, guest: &X86Guest) {
        guest.reset();
    }

    fn guest_load(&self, guest: &X86Guest, root: u64) {
        guest.load(root);
    }

    fn guest_unload(&self, guest: &X86Guest) {
        guest.unload();
    }

    fn guest_set_lines(&self, guest: &X86Guest, lines: u64) {
        guest.set_lines(lines);
    }

    fn guest_remaining_lines(&self, _: &X86Guest, lines: u64) -> u64 {
        // Lines are requests: only `Inject` lowers them.
        lines
    }

    fn guest_wakes(&self, guest: &X86Guest, _: bool, lines: u64) -> bool {
        guest.wakes(lines)
    }

    fn guest_timer(&self, guest: &X86Guest, _: bool) -> u64 {
        guest.timer()
    }

    fn guest_software_timer(&self, guest: &X86Guest) -> u64 {
        guest.timer()
    }

    fn guest_timer_line(&self, guest: &X86Guest) -> u64 {
        guest.timer_line()
    }

    fn guest_flush(&self, guest: &X86Guest, _: u64) {
        guest.flush();
    }

    fn guest_program_counter(&self, guest: &X86Guest) -> u64 {
        guest.program_counter()
    }

    fn guest_access<'r>(
        &self,
        guest: &X86Guest,
        description: u64,
        registers: impl FnOnce() -> GuestRegisters<'r>,
    ) -> Option<(AccessInfo, u64)> {
        guest.access(description, registers)
    }

    fn guest_skip(&self, guest: &X86Guest, length: u64) {
        guest.skip(length);
    }

    fn guest_loaded(&self, registers: GuestRegisters<'_>, access: AccessInfo, value: u64) {
        X86Guest::loaded(registers, access, value);
    }

    fn guest_read(
        &self,
        guest: &X86Guest,
        _: bool,
        registers: Option<GuestRegisters<'_>>,
        id: u64,
    ) -> Result<u64, Error> {
        guest.read(registers, id)
    }

    fn guest_write(
        &self,
        guest: &X86Guest,
        _: bool,
        registers: Option<GuestRegisters<'_>>,
        write: (u64, u64),
    ) -> Result<(), Error> {
        guest.write(registers, write)
    }
}
