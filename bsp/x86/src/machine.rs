//! The machine, as the portable kernel sees it.

use crate::frame::X86Frame;
use crate::paging::{self, SecondStage};
use crate::{apic, console, irq, percore, power, timer};
use abi::exit::AccessInfo;
use abi::{Error, Rights};
use core::sync::atomic::AtomicU64;
use kernel::arch::{Arch, GuestRegisters, GuestTimer, Level, SpaceTag, Stage, TableEntry};

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
    type Guest = ();

    const USER_END: u64 = paging::USER_END;
    const INTERRUPTS: u32 = irq::LINES;

    #[inline(always)]
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
            if let Some(core) = percore::get(core) {
                apic::send(core.apic.get() as u32, apic::IPI as u32);
            }
        }
    }

    #[inline(always)]
    fn levels(&self, _: Stage) -> &'static [Level] {
        paging::levels()
    }

    fn initialise_root(&self, root: &[AtomicU64]) {
        paging::initialise_root(root);
    }

    fn leaf(&self, stage: Stage, physical: u64, access: Rights, device: bool) -> u64 {
        let format = paging::format(stage, self.second_stage);
        paging::leaf(format, physical, access, device)
    }

    fn table(&self, stage: Stage, physical: u64) -> u64 {
        paging::table(paging::format(stage, self.second_stage), physical)
    }

    fn decode(&self, stage: Stage, entry: u64, level: &Level) -> TableEntry {
        paging::decode(paging::format(stage, self.second_stage), entry, level)
    }

    fn space_tags(&self) -> u64 {
        paging::SPACE_TAGS
    }

    fn load_space(&self, space: Option<(u64, SpaceTag)>) {
        match space {
            Some((root, tag)) => paging::load(root, tag.0),
            None => paging::load(paging::physical_of(&raw const paging::ROOT), 0),
        }
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

    fn firmware(&self, [call, argument, ..]: [u64; 6]) -> Result<u64, Error> {
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

    fn has_guests(&self) -> bool {
        false
    }

    fn guest_lines(&self) -> u64 {
        0
    }

    fn guest_reset(&self, (): &()) {}

    fn guest_load(&self, (): &(), _root: u64) {}

    fn guest_unload(&self, (): &()) {}

    fn guest_set_lines(&self, (): &(), _lines: u64) {}

    fn guest_remaining_lines(&self, (): &(), lines: u64) -> u64 {
        lines
    }

    fn guest_wakes(&self, (): &(), _loaded: bool, _lines: u64) -> bool {
        false
    }

    fn guest_timer(&self, (): &(), _loaded: bool) -> Option<GuestTimer> {
        None
    }

    fn guest_timer_line(&self, (): &(), _now: u64) -> u64 {
        0
    }

    fn guest_flush(&self, (): &(), _kind: u64) {}

    fn guest_program_counter(&self, (): &()) -> u64 {
        0
    }

    fn guest_complete(&self, (): &(), _: GuestRegisters<'_>, _: AccessInfo, _: u64) {}

    fn guest_read(
        &self,
        (): &(),
        _loaded: bool,
        _registers: Option<GuestRegisters<'_>>,
        _id: u64,
    ) -> Result<u64, Error> {
        Err(Error::NoSuchRegister)
    }

    fn guest_write(
        &self,
        (): &(),
        _loaded: bool,
        _registers: Option<GuestRegisters<'_>>,
        _write: (u64, u64),
    ) -> Result<(), Error> {
        Err(Error::NoSuchRegister)
    }
}
