//! Intel's virtual-machine extensions: the control structure, entry and exit (SDM 3C, "Virtual
//! Machine Extensions").
//!
//! A guest's control structure is the processor's from VMPTRLD to VMCLEAR, and only then has fields
//! to read and write: where a guest is not loaded it is loaded for the one access. What is looked at
//! after every exit, or without the guest, is copied to [`State`].

mod exit;
mod structure;

pub use structure::State;

use crate::guest::{self, Hardware, INTERRUPT, NON_MASKABLE, TIMER, X86Guest};
use crate::percore::{self, PerCore};
use crate::{cpu, descriptor, paging, timer};
use abi::Error;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use kernel::arch::Exit;
use kernel::word::Word;
use structure::{
    _vmx_enter, _vmx_exit, OWN, change, clear, invalidate_all, make_current, note, read, turn_on,
    with, write,
};
use x86_regs::one_reg::{Register, SegmentField};
use x86_regs::vmcs::{self, Field};
use x86_regs::{Cr0, Cr4, Efer, msr};

/// Those of them that the kernel has a value in. SWAPGS is behind it when it enters a guest: what is
/// in KERNEL_GS_BASE then is written anew on the way to user mode.
const HOST: [u32; 3] = [msr::STAR, msr::LSTAR, msr::SYSCALL_MASK];
/// Further registers that a guest reads and writes without an exit.
const FREE: [u32; 5] = [
    msr::SYSENTER_CS,
    msr::SYSENTER_ESP,
    msr::SYSENTER_EIP,
    msr::FS_BASE,
    msr::GS_BASE,
];

/// Pages of bitmaps, or of a list of registers.
#[repr(C, align(4096))]
struct Map<const WORDS: usize>([AtomicU64; WORDS]);

/// A bit stands for a register: reads of the lower and upper numbers, then writes.
static BITMAPS: Map<512> = Map([const { AtomicU64::new(u64::MAX) }; 512]);
/// Numbers and values of [`HOST`], which are the same on all cores.
static HOST_REGISTERS: Map<{ HOST.len() * 2 }> = Map([const { AtomicU64::new(0) }; HOST.len() * 2]);

/// Revision of the processor's structures, with [`PRESENT`]; 0 where guests are not run by VMX.
static REVISION: AtomicU64 = AtomicU64::new(0);
/// Set in [`REVISION`] beside a revision, which may be 0.
const PRESENT: u64 = 1 << 63;
/// The controls: pin-based, primary, secondary, of exits, of entries.
static CONTROLS: [AtomicU32; 5] = [const { AtomicU32::new(0) }; 5];

/// Their fields.
const CONTROL_FIELDS: [Field; 5] = [
    Field::PIN_CONTROLS,
    Field::PRIMARY_CONTROLS,
    Field::SECONDARY_CONTROLS,
    Field::EXIT_CONTROLS,
    Field::ENTRY_CONTROLS,
];
/// Debug exceptions and alignment checks, of which a guest can make endless chains, and machine
/// checks, which are the host's.
const EXCEPTIONS: u64 = 1 << 1 | 1 << 17 | 1 << 18;
/// Fields that are the same in all guests.
static CONSTANTS: &[(Field, u64)] = &[
    (Field::EXCEPTIONS, EXCEPTIONS),
    (Field::EXIT_STORE_COUNT, OWN.len() as u64),
    (Field::ENTRY_LOAD_COUNT, OWN.len() as u64),
    (Field::EXIT_LOAD_COUNT, HOST.len() as u64),
    (Field::LINK, u64::MAX),
    (Field::CR0_MASK, CR0_HOST),
    (Field::CR4_MASK, !guest::CR4),
];

/// Index of the primary controls in [`CONTROLS`].
const PRIMARY: usize = 1;
/// Index of the entry controls in [`CONTROLS`].
const ENTRY: usize = 4;
/// Tags of translations: 16 bits.
const TAGS: u64 = 1 << 16;
/// Bits of CR0 that are not the guest's: numeric errors have to be on (IA32_VMX_CR0_FIXED0), and
/// the caches are the host's.
const CR0_HOST: u64 = Cr0::new()
    .with_numeric_error(true)
    .with_cache_disable(true)
    .with_not_write_through(true)
    .into_bits();
/// Bits that are not the guest's and that VMX wants to be set, numeric errors in CR0 and VMXE in CR4:
/// the other register has nothing at their places, or not for the host.
const FIXED: u64 =
    Cr0::new().with_numeric_error(true).into_bits() | Cr4::new().with_vmx(true).into_bits();
const _: () = assert!(FIXED & CR0_HOST == 1 << 5 && FIXED & !guest::CR4 == 1 << 13);

/// Asks the processor for VMX with extended page tables and unrestricted guests, and remembers the
/// answer.
pub fn find() -> bool {
    const VMX: u32 = 1 << 5;
    const LOCKED: u64 = 1;
    const ALLOWED: u64 = 1 << 2;
    /// There are capabilities that tell which of the default controls can be off.
    const TRUE_CONTROLS: u64 = 1 << 55;
    /// Four levels, write-back tables, 2 MiB pages, INVEPT and INVVPID of everything.
    const TRANSLATION: u64 = 1 << 6 | 1 << 14 | 1 << 16 | 1 << 20 | 1 << 26 | 1 << 32 | 1 << 42;
    const HUGE: u64 = 1 << 17;
    if cpu::identify(1, 0).ecx & VMX == 0
        || cpu::read_register(msr::FEATURE_CONTROL) & (LOCKED | ALLOWED) == LOCKED
    {
        return false;
    }
    let basic = cpu::read_register(msr::VMX_BASIC);
    if basic & TRUE_CONTROLS == 0 || !find_controls() {
        return false;
    }
    let translation = cpu::read_register(msr::VMX_EPT_VPID_CAP);
    if translation & TRANSLATION != TRANSLATION {
        return false;
    }
    if translation & HUGE == 0 {
        paging::have_no_huge_leaves();
    }
    for number in OWN.into_iter().chain(FREE) {
        for first in [0, 2048] {
            let byte = first + (number >> 31) * 1024 + (number & 0x1fff) / 8;
            let bit = 1 << (byte % 8 * 8 + number % 8);
            BITMAPS.0[byte as usize / 8].fetch_and(!bit, Ordering::Relaxed);
        }
    }
    for (pair, number) in HOST_REGISTERS.0.chunks_exact(2).zip(HOST) {
        pair[0].store(u64::from(number), Ordering::Relaxed);
        pair[1].store(cpu::read_register(number), Ordering::Relaxed);
    }
    REVISION.store(basic & 0x7fff_ffff | PRESENT, Ordering::Relaxed);
    true
}

/// Finds controls that the processor takes, and remembers them; returns whether it has all that are
/// needed.
fn find_controls() -> bool {
    const PIN: u32 = vmcs::Pin::new()
        .with_external_interrupt(true)
        .with_nmi(true)
        .with_virtual_nmis(true)
        .into_bits();
    const FIRST: u32 = vmcs::Primary::new()
        .with_hlt(true)
        .with_mwait(true)
        .with_rdpmc(true)
        .with_cr8_load(true)
        .with_cr8_store(true)
        .with_debug_registers(true)
        .with_ports(true)
        .with_msr_bitmaps(true)
        .with_monitor(true)
        .with_secondary(true)
        .into_bits();
    const SECOND: u32 = vmcs::Secondary::new()
        .with_ept(true)
        .with_vpid(true)
        .with_wbinvd(true)
        .with_unrestricted(true)
        .into_bits();
    /// Instructions that fault unless they are allowed, where the processor has them.
    const INSTRUCTIONS: u32 = vmcs::Secondary::new()
        .with_rdtscp(true)
        .with_invpcid(true)
        .into_bits();
    const EXITS: u32 = vmcs::Exit::new()
        .with_save_debug(true)
        .with_long_host(true)
        .with_load_pat(true)
        .with_save_efer(true)
        .with_load_efer(true)
        .into_bits();
    const ENTRIES: u32 = vmcs::Entry::new()
        .with_load_debug(true)
        .with_load_pat(true)
        .with_load_efer(true)
        .into_bits();
    const TIMED: u32 = vmcs::Pin::new().with_timer(true).into_bits();
    let wanted = [
        (msr::VMX_TRUE_PIN, PIN, TIMED),
        (msr::VMX_TRUE_PRIMARY, FIRST, 0),
        (msr::VMX_SECONDARY, SECOND, INSTRUCTIONS),
        (msr::VMX_TRUE_EXIT, EXITS, 0),
        (msr::VMX_TRUE_ENTRY, ENTRIES, 0),
    ];
    for (control, (number, needed, welcome)) in CONTROLS.iter().zip(wanted) {
        // SDM 3D, "VM-Execution Controls": bits that have to be set, and above them those that may.
        let capability = cpu::read_register(number);
        let (always, possible) = (capability as u32, (capability >> 32) as u32);
        if needed & !possible != 0 {
            return false;
        }
        control.store(always | needed | welcome & possible, Ordering::Relaxed);
    }
    true
}

/// Returns whether guests are run by VMX.
#[inline(always)]
pub fn is_supported() -> bool {
    REVISION.load(Ordering::Relaxed) != 0
}

/// Guests by VMX.
pub struct Vmx;

impl Hardware for Vmx {
    fn start_core(&self, core: &PerCore) {
        const LOCKED: u64 = 1;
        const ALLOWED: u64 = 1 << 2;
        let control = cpu::read_register(msr::FEATURE_CONTROL);
        if control & LOCKED == 0 {
            cpu::write_register(msr::FEATURE_CONTROL, control | ALLOWED | LOCKED);
        }
        let region = core.host.get();
        let words = paging::virtual_of(region) as *const AtomicU64;
        // SAFETY: the core's host pages are nobody else's, mapped for ever, and an atomic word has no
        // invalid value.
        let revision = unsafe { &*words };
        revision.store(
            REVISION.load(Ordering::Relaxed) & !PRESENT,
            Ordering::Relaxed,
        );
        assert!(turn_on(region), "VMX can be turned on where it was found");
    }

    fn prepare(&self, guest: &X86Guest) {
        guest
            .block
            .set(0, REVISION.load(Ordering::Relaxed) & !PRESENT);
        clear(guest.block.physical());
        let state = &guest.vmx;
        for (pair, number) in state.registers.iter().zip(OWN) {
            pair[0].set(u64::from(number));
        }
        with(guest, &mut || write_constants(guest));
        state.primary.set(control(PRIMARY));
    }

    fn load(&self, guest: &X86Guest, root: u64) {
        /// Four levels, write-back.
        const FORMAT: u64 = 3 << 3 | 6;
        let core = percore::current();
        make_current(guest.block.physical());
        core.loaded_guest.set(guest.block.physical());
        guest.vmx.launched.set(0);
        guest.vmx.host_root.set(cpu::cr3());
        write(Field::EPT_POINTER, root | FORMAT);
        write_host(core);
    }

    fn unload(&self, guest: &X86Guest) {
        clear(guest.block.physical());
        percore::current().loaded_guest.set(0);
    }

    fn set_lines(&self, guest: &X86Guest, lines: u64) {
        let wanted = vmcs::Primary::from_bits(control(PRIMARY) as u32)
            .with_interrupt_window(lines & (INTERRUPT | TIMER) != 0)
            .with_nmi_window(lines & NON_MASKABLE != 0);
        let wanted = u64::from(wanted.into_bits());
        if guest.vmx.primary.replace(wanted) != wanted {
            write(Field::PRIMARY_CONTROLS, wanted);
        }
    }

    fn program_counter(&self, guest: &X86Guest) -> u64 {
        guest.vmx.rip.get()
    }

    fn set_program_counter(&self, guest: &X86Guest, value: u64) {
        guest.vmx.rip.set(value);
        note(guest, change::SHADOW_OVER);
    }

    fn get(&self, guest: &X86Guest, register: Register) -> Option<u64> {
        if let Some(word) = kept(guest, register) {
            return Some(word.get());
        }
        let Some((field, shadow, host)) = shared(register) else {
            let field = match Field::of(register) {
                // The tables have no selector and no attributes.
                None if matches!(register, Register::Segment(..)) => return Some(0),
                field => field?,
            };
            let value = structure::get(guest, field);
            return Some(match register {
                Register::Segment(_, SegmentField::Attributes) => vmcs::attributes(value),
                _ => value,
            });
        };
        let real = structure::get(guest, field) & !host;
        Some(real | structure::get(guest, shadow) & host)
    }

    fn set(&self, guest: &X86Guest, register: Register, value: u64) -> Result<(), Error> {
        if let Some(word) = kept(guest, register) {
            word.set(value);
            match register {
                Register::Rip => note(guest, change::SHADOW_OVER),
                Register::Event => guest.vmx.event_length.set(0),
                _ => {}
            }
            return Ok(());
        }
        let mut value = value;
        match register {
            Register::Cr4 if value & !cpu::read_register(msr::VMX_CR4_FIXED1) != 0 => {
                return Err(Error::BadRegisterValue);
            }
            Register::Segment(_, SegmentField::Attributes) => value = vmcs::rights(value),
            Register::ModelSpecific(msr::EFER) => {
                let is_long = Efer::from_bits(value).long_mode_active();
                let controls = vmcs::Entry::from_bits(control(ENTRY) as u32);
                let controls = controls.with_long_guest(is_long).into_bits();
                structure::set(guest, Field::ENTRY_CONTROLS, u64::from(controls));
            }
            _ => {}
        }
        if let Some((field, shadow, host)) = shared(register) {
            structure::set(guest, shadow, value);
            structure::set(guest, field, value & !host | host & FIXED);
            return Ok(());
        }
        match Field::of(register) {
            Some(field) => structure::set(guest, field, value),
            None if matches!(register, Register::Segment(..)) => {}
            None => return Err(Error::NoSuchRegister),
        }
        Ok(())
    }

    fn run(&self, core: &PerCore, guest: &X86Guest, registers: &[AtomicU64; 16]) -> Option<Exit> {
        let state = &guest.vmx;
        if let Some((tag, flush)) = guest::new_tag(core, guest, TAGS) {
            if flush {
                invalidate_all(true);
            }
            write(Field::VPID, tag);
        }
        let root = cpu::cr3();
        if state.host_root.replace(root) != root {
            write(Field::HOST_CR3, root);
        }
        let limit = limit(state.rflags.get());
        if state.limit.replace(limit) != limit {
            write(Field::TIMER, limit);
        }
        write(Field::GUEST_RIP, state.rip.get());
        write(Field::GUEST_RFLAGS, state.rflags.get());
        exit::prepare_events(state);
        cpu::set_fault_address(state.cr2.get());
        // SAFETY: the guest is the loaded one, and was prepared; its tables are those of a space that
        // the kernel keeps, and what is loaded at the exit is what this core has. The code restores
        // what the calling convention wants.
        let failed = unsafe { _vmx_enter(registers.as_ptr(), state.launched.get()) };
        state.cr2.set(cpu::fault_address());
        // An exit leaves the limit of the table of segments at its largest.
        core.descriptors.load_segments();
        if failed != 0 {
            state.changes.set(change::STALE_EVENT);
            let details = [u64::MAX, read(Field::INSTRUCTION_ERROR), 0];
            return Some(Exit::Other { details });
        }
        state.launched.set(1);
        state.rip.set(read(Field::GUEST_RIP));
        state.rflags.set(read(Field::GUEST_RFLAGS));
        exit::left(guest, registers)
    }

    fn flush_all(&self, core: &PerCore) {
        invalidate_all(false);
        guest::forget_tags(core);
    }
}

/// Returns what the timer of a guest with these flags counts down from: a thousandth of a second
/// where it has interrupts off, else for ever.
///
/// Physical interrupts leave a guest whatever its flags are. Only Bochs 3.0 holds them back from one
/// that is entered with interrupts off.
fn limit(flags: u64) -> u64 {
    if flags & guest::INTERRUPTS_ENABLED != 0 {
        return u64::from(u32::MAX);
    }
    let shift = cpu::read_register(msr::VMX_MISC) & 31;
    (timer::ticks_per_second() / 1000) >> shift
}

/// Returns controls that the processor takes.
fn control(index: usize) -> u64 {
    u64::from(CONTROLS[index].load(Ordering::Relaxed))
}

/// Returns field, shadow and mask of a register of which some bits are not the guest's.
const fn shared(register: Register) -> Option<(Field, Field, u64)> {
    match register {
        Register::Cr0 => Some((Field::GUEST_CR0, Field::CR0_SHADOW, CR0_HOST)),
        Register::Cr4 => Some((Field::GUEST_CR4, Field::CR4_SHADOW, !guest::CR4)),
        _ => None,
    }
}

/// Returns the word in which a register is kept, if it is in none of the structure's fields.
fn kept(guest: &X86Guest, register: Register) -> Option<&Word> {
    let state = &guest.vmx;
    Some(match register {
        Register::Rip => &state.rip,
        Register::Rflags => &state.rflags,
        Register::Cr2 => &state.cr2,
        Register::Cr8 => &state.priority,
        Register::Dr6 => &state.dr6,
        Register::Event => &state.event,
        Register::ModelSpecific(number) => {
            let index = OWN.iter().position(|own| *own == number)?;
            &state.registers[index][1]
        }
        _ => return None,
    })
}

/// Writes what never changes of the current structure, and zeros where nothing is written otherwise.
fn write_constants(guest: &X86Guest) {
    let own = guest::physical(&guest.vmx.registers);
    let host = paging::physical_of(&raw const HOST_REGISTERS);
    for (field, value) in CONTROL_FIELDS.into_iter().zip(&CONTROLS) {
        write(field, u64::from(value.load(Ordering::Relaxed)));
    }
    for (field, value) in CONSTANTS {
        write(*field, *value);
    }
    write(Field::MSR_BITMAPS, paging::physical_of(&raw const BITMAPS));
    write(Field::EXIT_LOAD_AREA, host);
    write(Field::EXIT_STORE_AREA, own);
    write(Field::ENTRY_LOAD_AREA, own);
    for field in Field::ZEROS.into_iter().chain(Field::HOST_ZEROS) {
        write(field, 0);
    }
}

/// Writes what an exit loads on this core.
fn write_host(core: &PerCore) {
    let (task, segments) = core.descriptors.places();
    for (field, value) in [
        (Field::HOST_CS_SELECTOR, descriptor::KERNEL_CODE),
        (Field::HOST_SS_SELECTOR, descriptor::KERNEL_DATA),
        (Field::HOST_TR_SELECTOR, descriptor::TASK),
        (Field::HOST_CR0, cpu::cr0()),
        (Field::HOST_CR3, cpu::cr3()),
        (Field::HOST_CR4, cpu::cr4()),
        (Field::HOST_EFER, cpu::read_register(msr::EFER)),
        (Field::HOST_PAT, cpu::read_register(msr::PAT)),
        (Field::HOST_GS_BASE, core.own.get()),
        (Field::HOST_TR_BASE, task),
        (Field::HOST_GDTR_BASE, segments),
        (Field::HOST_IDTR_BASE, descriptor::interrupt_table()),
        (Field::HOST_RIP, _vmx_exit as *const () as u64),
    ] {
        write(field, value);
    }
}
