//! The machine, as the portable kernel sees it.

use crate::console::{self, READ_EVENT_DATA, WRITE_EVENT_DATA, WRITE_EVENT_MASK, stop_machine};
use crate::control::{self, order};
use crate::frame::S390Frame;
use crate::{irq, paging, percore, sclp, timer};
use abi::Error;
use abi::exit::AccessInfo;
use core::sync::atomic::AtomicU64;
use kernel::arch::{
    Arch, GuestRegisters, GuestTimer, Level, LiveEntry, Memory, SpaceTag, Stage, TableEntry,
};

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

/// Answers what only a vCPU would ask: none can be made.
fn without_guests() -> ! {
    unreachable!("there are no vCPUs where has_guests is false")
}

impl Arch for S390 {
    type Frame = S390Frame;
    type Guest = ();

    const USER_END: u64 = paging::USER_END;
    const INTERRUPTS: u32 = irq::LINES;

    fn now(&self) -> u64 {
        timer::now()
    }

    fn set_timer(&self, deadline: u64) {
        timer::set(deadline);
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

    fn levels(&self, _: Stage) -> &'static [Level] {
        paging::LEVELS
    }

    fn empty(&self, _stage: Stage, level: &Level) -> u64 {
        paging::empty(level)
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
        crate::control::load!("1", word);
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
        // There are no guests whose translations could be cached.
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

    fn has_guests(&self) -> bool {
        false
    }

    fn guest_lines(&self) -> u64 {
        0
    }

    fn guest_reset(&self, (): &()) {
        without_guests()
    }

    fn guest_load(&self, (): &(), _root: u64) {
        without_guests()
    }

    fn guest_unload(&self, (): &()) {
        without_guests()
    }

    fn guest_set_lines(&self, (): &(), _lines: u64) {
        without_guests()
    }

    fn guest_remaining_lines(&self, (): &(), _lines: u64) -> u64 {
        without_guests()
    }

    fn guest_wakes(&self, (): &(), _loaded: bool, _lines: u64) -> bool {
        without_guests()
    }

    fn guest_timer(&self, (): &(), _loaded: bool) -> Option<GuestTimer> {
        without_guests()
    }

    fn guest_timer_line(&self, (): &(), _now: u64) -> u64 {
        without_guests()
    }

    fn guest_flush(&self, (): &(), _kind: u64) {
        without_guests()
    }

    fn guest_program_counter(&self, (): &()) -> u64 {
        without_guests()
    }

    fn guest_complete(&self, (): &(), _: GuestRegisters<'_>, _: AccessInfo, _: u64) {
        without_guests()
    }

    fn guest_read(
        &self,
        (): &(),
        _loaded: bool,
        _registers: Option<GuestRegisters<'_>>,
        _id: u64,
    ) -> Result<u64, Error> {
        without_guests()
    }

    fn guest_write(
        &self,
        (): &(),
        _loaded: bool,
        _registers: Option<GuestRegisters<'_>>,
        _write: (u64, u64),
    ) -> Result<(), Error> {
        without_guests()
    }
}
