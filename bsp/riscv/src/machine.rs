//! The machine, as the portable kernel sees it.

use crate::entry::SV39;
use crate::frame::RiscvFrame;
use crate::guest::{self, RiscvGuest};
use crate::{csr, irq, paging, percore, sbi, timer};
use abi::Error;
use abi::exit::AccessInfo;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Arch, GuestRegisters, Level, LiveEntry, Memory, SpaceTag, Stage, TableEntry};
use riscv_regs::csr as number;

/// The machine.
pub struct Riscv;

/// Bits of an ASID that every hart has.
static ASID_BITS: AtomicU64 = AtomicU64::new(0);

/// Finds out how many ASID bits this hart has (II 12.1.11).
pub fn probe_asid() {
    let satp = csr::read!(number::SATP);
    csr::write!(number::SATP, satp | 0xffff << 44);
    let bits = u64::from(((csr::read!(number::SATP) >> 44) & 0xffff).count_ones());
    csr::write!(number::SATP, satp);
    csr::fence_all();
    let known = ASID_BITS.load(Ordering::Relaxed);
    ASID_BITS.store(
        if known == 0 { bits } else { bits.min(known) },
        Ordering::Relaxed,
    );
}

/// Interrupts a set of cores.
fn send_ipi(cores: u64) {
    let mut rest = cores;
    while rest != 0 {
        let core = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        if let Some(core) = percore::get(core) {
            sbi::send_ipi(1, core.hart.get());
        }
    }
}

impl Arch for Riscv {
    type Frame = RiscvFrame;
    type Guest = RiscvGuest;

    const USER_END: u64 = paging::USER_END;
    const INTERRUPTS: u32 = irq::LINES;

    #[inline(always)]
    fn now(&self) -> u64 {
        csr::time()
    }

    fn set_timer(&self, deadline: u64) {
        timer::set(deadline);
    }

    fn send_ipi(&self, cores: u64) {
        send_ipi(cores);
    }

    fn levels(&self, stage: Stage) -> &'static [Level] {
        match stage {
            Stage::User => paging::USER_LEVELS,
            Stage::Guest => paging::GUEST_LEVELS,
        }
    }

    fn empty(&self, _: Stage, _: &Level) -> u64 {
        // An entry of zeros is not valid, and its software bits are not those of a reserved leaf.
        0
    }

    fn initialise_root(&self, root: &[AtomicU64]) {
        paging::initialise_root(root);
    }

    fn leaf(&self, _: Stage, _: &Level, memory: Memory) -> u64 {
        // Device memory is uncached by its physical memory attributes.
        paging::leaf(memory.physical, memory.access)
    }

    fn table(&self, _: Stage, _: &Level, physical: u64) -> u64 {
        paging::table(physical)
    }

    fn decode(&self, _: Stage, entry: u64, _: &Level) -> TableEntry {
        paging::decode(entry)
    }

    fn replace(&self, place: &LiveEntry<'_>, entry: u64) {
        // Entries may change while harts use them; the flush follows.
        place.word.store(entry, Ordering::Relaxed);
    }

    fn space_tags(&self) -> u64 {
        // Without ASIDs every space still has a number of its own; `load_space` flushes then.
        match ASID_BITS.load(Ordering::Relaxed) {
            0 => 4096,
            bits => 1 << bits,
        }
    }

    fn space_word(&self, space: Option<(u64, SpaceTag)>) -> u64 {
        // Without the mode: `load_space` flushes then.
        match space {
            Some((root, tag)) if ASID_BITS.load(Ordering::Relaxed) != 0 => {
                SV39 | tag.0 << 44 | root >> 12
            }
            Some((root, _)) => root >> 12,
            None => paging::physical_of(&raw const paging::ROOT) >> 12,
        }
    }

    #[inline(always)]
    fn load_space(&self, word: u64) {
        if word & SV39 != 0 {
            csr::write!(number::SATP, word);
        } else {
            csr::write!(number::SATP, word | SV39);
            csr::fence_all();
        }
    }

    fn flush_space(&self, tag: SpaceTag) {
        if ASID_BITS.load(Ordering::Relaxed) == 0 {
            csr::fence_all();
        } else {
            csr::fence_space(tag.0);
        }
    }

    fn flush_all_spaces(&self) {
        csr::fence_all();
    }

    fn flush_page(&self, tag: SpaceTag, address: u64) {
        if ASID_BITS.load(Ordering::Relaxed) == 0 {
            csr::fence_page(0, address);
        } else {
            csr::fence_page(tag.0, address);
        }
    }

    fn flush_guests(&self) {
        csr::fence_guest_memory();
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

    fn firmware(&self, arguments: [u64; 6], _: Option<&[AtomicU64]>) -> Result<u64, Error> {
        let [extension, function, first, second, ..] = arguments;
        let is_listed = match extension {
            sbi::BASE => function <= 6,
            sbi::DBCN => function == 2,
            sbi::SRST => function == 0,
            _ => false,
        };
        if !is_listed {
            return Err(Error::Unsupported);
        }
        if (extension == sbi::DBCN && first > 0xff)
            || (extension == sbi::SRST && (first > 0xffff_ffff || second > 0xffff_ffff))
        {
            return Err(Error::BadArgument);
        }
        match sbi::call(extension, function, [first, second, 0]) {
            (0, value) => Ok(value),
            _ => Err(Error::FirmwareRefused),
        }
    }

    fn port(&self, _port: u64, _size: u64, _value: Option<u64>) -> Result<u64, Error> {
        Err(Error::Unsupported)
    }

    fn has_guests(&self) -> bool {
        guest::is_supported()
    }

    fn guest_lines(&self) -> u64 {
        guest::LINES
    }

    fn guest_reset(&self, guest: &RiscvGuest) {
        guest.reset();
    }

    fn guest_load(&self, guest: &RiscvGuest, root: u64) {
        guest.load(root);
    }

    fn guest_unload(&self, guest: &RiscvGuest) {
        guest.unload();
    }

    fn guest_set_lines(&self, _: &RiscvGuest, lines: u64) {
        csr::write!(number::HVIP, lines);
    }

    fn guest_remaining_lines(&self, _: &RiscvGuest, lines: u64) -> u64 {
        // The guest may set and clear its software interrupt; the others are the kernel's.
        const SOFTWARE: u64 = 1 << 2;
        lines & !SOFTWARE | csr::read!(number::HVIP) & SOFTWARE
    }

    fn guest_wakes(&self, guest: &RiscvGuest, loaded: bool, lines: u64) -> bool {
        guest.wakes(loaded, lines)
    }

    fn guest_timer(&self, guest: &RiscvGuest, loaded: bool) -> u64 {
        guest.timer(loaded)
    }

    fn guest_software_timer(&self, guest: &RiscvGuest) -> u64 {
        guest.software_timer()
    }

    fn guest_timer_line(&self, guest: &RiscvGuest) -> u64 {
        guest.timer_line()
    }

    fn guest_flush(&self, _: &RiscvGuest, kind: u64) {
        if kind == 0 {
            csr::fence_guest_virtual();
        }
        csr::fence_instructions();
    }

    fn guest_program_counter(&self, guest: &RiscvGuest) -> u64 {
        guest.pc.get()
    }

    fn guest_access<'r>(
        &self,
        _: &RiscvGuest,
        description: u64,
        registers: impl FnOnce() -> GuestRegisters<'r>,
    ) -> Option<(AccessInfo, u64)> {
        guest::access(description, registers)
    }

    fn guest_skip(&self, guest: &RiscvGuest, length: u64) {
        guest.skip(length);
    }

    fn guest_loaded(&self, registers: GuestRegisters<'_>, access: AccessInfo, value: u64) {
        RiscvGuest::loaded(registers, access, value);
    }

    fn guest_read(
        &self,
        guest: &RiscvGuest,
        loaded: bool,
        registers: Option<GuestRegisters<'_>>,
        id: u64,
    ) -> Result<u64, Error> {
        guest.read(loaded, registers, id)
    }

    fn guest_write(
        &self,
        guest: &RiscvGuest,
        loaded: bool,
        registers: Option<GuestRegisters<'_>>,
        write: (u64, u64),
    ) -> Result<(), Error> {
        guest.write(loaded, registers, write)
    }
}
