//! The machine, for the kernel. What an entry stub cannot do stops the machine.

use crate::frame::S390Frame;
use crate::paging;
use crate::stop::not_ported;
use crate::timer;
use abi::Error;
use abi::exit::AccessInfo;
use core::sync::atomic::AtomicU64;
use kernel::arch::{
    Arch, GuestRegisters, GuestTimer, Level, LiveEntry, Memory, SpaceTag, Stage, TableEntry,
};

/// An s390x machine.
pub struct S390;

impl Arch for S390 {
    type Frame = S390Frame;
    type Guest = ();

    const USER_END: u64 = paging::USER_END;
    /// Eight subclasses of I/O interrupts, and the service signal.
    const INTERRUPTS: u32 = 9;

    fn now(&self) -> u64 {
        timer::now()
    }

    fn set_timer(&self, deadline: u64) {
        timer::set(deadline);
    }

    fn send_ipi(&self, _cores: u64) {
        not_ported("send_ipi")
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
        paging::leaf(memory.physical, memory.access)
    }

    fn table(&self, _stage: Stage, _level: &Level, physical: u64) -> u64 {
        paging::table(physical)
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

    fn load_space(&self, space: Option<(u64, SpaceTag)>) {
        paging::load(space.map(|(root, _)| root));
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

    fn mask_interrupt(&self, _line: u32) {
        not_ported("mask_interrupt")
    }

    fn unmask_interrupt(&self, _line: u32) {
        not_ported("unmask_interrupt")
    }

    fn claim_interrupt(&self) -> Option<u32> {
        not_ported("claim_interrupt")
    }

    fn firmware(&self, _: [u64; 6], _page: Option<&[AtomicU64]>) -> Result<u64, Error> {
        // The allow-list is empty so far.
        Err(Error::Unsupported)
    }

    fn has_guests(&self) -> bool {
        false
    }

    fn guest_lines(&self) -> u64 {
        0
    }

    fn guest_reset(&self, (): &()) {
        not_ported("guest_reset")
    }

    fn guest_load(&self, (): &(), _root: u64) {
        not_ported("guest_load")
    }

    fn guest_unload(&self, (): &()) {
        not_ported("guest_unload")
    }

    fn guest_set_lines(&self, (): &(), _lines: u64) {
        not_ported("guest_set_lines")
    }

    fn guest_remaining_lines(&self, (): &(), _lines: u64) -> u64 {
        not_ported("guest_remaining_lines")
    }

    fn guest_wakes(&self, (): &(), _loaded: bool, _lines: u64) -> bool {
        not_ported("guest_wakes")
    }

    fn guest_timer(&self, (): &(), _loaded: bool) -> Option<GuestTimer> {
        not_ported("guest_timer")
    }

    fn guest_timer_line(&self, (): &(), _now: u64) -> u64 {
        not_ported("guest_timer_line")
    }

    fn guest_flush(&self, (): &(), _kind: u64) {
        not_ported("guest_flush")
    }

    fn guest_program_counter(&self, (): &()) -> u64 {
        not_ported("guest_program_counter")
    }

    fn guest_complete(&self, (): &(), _: GuestRegisters<'_>, _: AccessInfo, _: u64) {
        not_ported("guest_complete")
    }

    fn guest_read(
        &self,
        (): &(),
        _loaded: bool,
        _registers: Option<GuestRegisters<'_>>,
        _id: u64,
    ) -> Result<u64, Error> {
        not_ported("guest_read")
    }

    fn guest_write(
        &self,
        (): &(),
        _loaded: bool,
        _registers: Option<GuestRegisters<'_>>,
        _write: (u64, u64),
    ) -> Result<(), Error> {
        not_ported("guest_write")
    }
}
