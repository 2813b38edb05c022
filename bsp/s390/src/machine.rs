//! The machine, as the portable kernel sees it.

use crate::console::{self, READ_EVENT_DATA, WRITE_EVENT_DATA, WRITE_EVENT_MASK, stop_machine};
use crate::control::{self, order};
use crate::frame::S390Frame;
use crate::guest::{self, S390Guest};
use crate::percore::{self, PerCore};
use crate::{irq, paging, sclp, sie, timer};
use abi::Error;
use abi::exit::AccessInfo;
use core::sync::atomic::AtomicU64;
use kernel::arch::{Arch, GuestRegisters, Level, LiveEntry, Memory, SpaceTag, Stage, TableEntry};

/// The machine.
pub struct S390;

/// Firmware call: writes a byte to the console.
const WRITE_BYTE: u64 = 1;
/// Firmware call: stops the machine.
const SHUT_DOWN: u64 = 2;
/// Firmware call: starts a call of the service processor.
const START: u64 = 3;
/// Firmware call: collects what it answered.
const COLLECT: u64 = 4;

/// Writes a byte to the console.
fn write_byte(byte: u64) -> Result<u64, Error> {
    console::write_byte(u8::try_from(byte).map_err(|_| Error::BadArgument)?);
    Ok(0)
}

/// Starts a call of the service processor, if it is one of those that exchange events.
fn start(command: u64, page: Option<&[AtomicU64]>, length: u64) -> Result<u64, Error> {
    let command = u32::try_from(command).map_err(|_| Error::BadArgument)?;
    match command {
        READ_EVENT_DATA | WRITE_EVENT_DATA | WRITE_EVENT_MASK => {
            let page = page.ok_or(Error::BadArgument)?;
            sclp::start(command, page, length).map(|()| 0)
        }
        _ => Err(Error::Unsupported),
    }
}

/// Returns the CPU that runs this, where the guest is loaded there.
fn loaded_in(loaded: bool) -> Option<&'static PerCore> {
    loaded.then(percore::current)
}

impl Arch for S390 {
    type Frame = S390Frame;
    type Guest = S390Guest;

    const USER_END: u64 = paging::USER_END;
    const INTERRUPTS: u32 = irq::LINES;

    fn now(&self) -> u64 {
        timer::now()
    }

    fn set_timer(&self, deadline: u64) {
        timer::set(deadline);
    }

    #[inline(always)]
    fn copy(&self, (from, to): (&[AtomicU64], &[AtomicU64])) -> bool {
        paging::copy(from, to)
    }

    fn send_ipi(&self, cores: u64) {
        let mut rest = cores;
        while rest != 0 {
            let core = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if let Some(cpu) = percore::cpu_address(core) {
                control::signal(cpu, order::EMERGENCY_SIGNAL, 0);
            }
        }
    }

    fn levels(&self, stage: Stage) -> &'static [Level] {
        match stage {
            Stage::Guest if !sie::is_supported() => &[],
            _ => paging::LEVELS,
        }
    }

    fn empty(&self, _stage: Stage, level: &Level) -> u64 {
        paging::empty(level)
    }

    fn is_empty(&self, _stage: Stage, level: &Level, table: &[AtomicU64]) -> bool {
        paging::is_filled(table, paging::empty(level))
    }

    fn initialise_root(&self, _root: &[AtomicU64]) {
        // The kernel runs with DAT off and has no part in any table.
    }

    fn leaf(&self, _stage: Stage, _level: &Level, memory: Memory) -> u64 {
        paging::leaf(memory)
    }

    fn table(&self, _stage: Stage, level: &Level, physical: u64) -> u64 {
        paging::table(level, physical)
    }

    fn decode(&self, _stage: Stage, entry: u64, level: &Level) -> TableEntry {
        paging::decode(entry, level)
    }

    fn replace(&self, place: &LiveEntry<'_>, entry: u64) {
        paging::replace(place, entry);
    }

    fn space_tags(&self) -> u64 {
        paging::SPACE_TAGS
    }

    fn space_word(&self, space: Option<(u64, SpaceTag)>) -> u64 {
        paging::primary(space.map(|(root, _)| root))
    }

    #[inline(always)]
    fn load_space(&self, word: u64) {
        paging::load(word);
    }

    fn flush_space(&self, _tag: SpaceTag) {
        paging::flush_all();
    }

    fn flush_all_spaces(&self) {
        paging::flush_all();
    }

    fn flush_page(&self, _tag: SpaceTag, _address: u64) {
        paging::flush_all();
    }

    fn flush_guests(&self) {
        paging::flush_all();
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

    fn firmware(&self, arguments: [u64; 6], page: Option<&[AtomicU64]>) -> Result<u64, Error> {
        let [call, first, second, ..] = arguments;
        match (call, first) {
            (WRITE_BYTE, byte) => write_byte(byte),
            (SHUT_DOWN, 0 | 1) => stop_machine(first == 1),
            (SHUT_DOWN, _) => Err(Error::BadArgument),
            (START, command) => start(command, page, second),
            (COLLECT, _) => sclp::collect(page.ok_or(Error::BadArgument)?),
            _ => Err(Error::Unsupported),
        }
    }

    fn port(&self, _port: u64, _size: u64, _value: Option<u64>) -> Result<u64, Error> {
        Err(Error::Unsupported)
    }

    fn has_guests(&self) -> bool {
        sie::is_supported()
    }

    fn guest_lines(&self) -> u64 {
        guest::LINES
    }

    fn guest_reset(&self, guest: &S390Guest) {
        guest.reset();
    }

    fn guest_load(&self, guest: &S390Guest, root: u64) {
        guest.load(percore::current(), root);
    }

    fn guest_unload(&self, guest: &S390Guest) {
        guest.unload(percore::current());
    }

    fn guest_set_lines(&self, guest: &S390Guest, lines: u64) {
        guest.set_lines(lines);
    }

    fn guest_remaining_lines(&self, _guest: &S390Guest, lines: u64) -> u64 {
        // They are requests, which only a server lowers.
        lines
    }

    fn guest_wakes(&self, guest: &S390Guest, _loaded: bool, lines: u64) -> bool {
        guest.wakes(lines)
    }

    fn guest_timer(&self, guest: &S390Guest, _loaded: bool) -> u64 {
        guest.timer().unwrap_or(u64::MAX)
    }

    // While the guest runs, SIE delivers it.

    fn guest_software_timer(&self, _: &S390Guest) -> u64 {
        u64::MAX
    }

    fn guest_timer_line(&self, _: &S390Guest) -> u64 {
        0
    }

    fn guest_flush(&self, _guest: &S390Guest, _kind: u64) {
        paging::flush_all();
    }

    fn guest_program_counter(&self, guest: &S390Guest) -> u64 {
        guest.program_counter()
    }

    fn guest_instruction(&self, guest: &S390Guest) -> [u64; 2] {
        [guest.instruction(), guest.mask().into_bits()]
    }

    fn guest_access<'r>(
        &self,
        _: &S390Guest,
        _: u64,
        _: impl FnOnce() -> GuestRegisters<'r>,
    ) -> Option<(AccessInfo, u64)> {
        None
    }

    fn guest_skip(&self, guest: &S390Guest, length: u64) {
        guest.skip(length);
    }

    fn guest_loaded(&self, registers: GuestRegisters<'_>, access: AccessInfo, value: u64) {
        S390Guest::loaded(registers, access, value);
    }

    fn guest_read(
        &self,
        guest: &S390Guest,
        loaded: bool,
        registers: Option<GuestRegisters<'_>>,
        id: u64,
    ) -> Result<u64, Error> {
        guest.read(loaded_in(loaded), registers, id)
    }

    fn guest_write(
        &self,
        guest: &S390Guest,
        loaded: bool,
        registers: Option<GuestRegisters<'_>>,
        write: (u64, u64),
    ) -> Result<(), Error> {
        guest.write(loaded_in(loaded), registers, write)
    }
}
