//! Intel's virtual-machine extensions: the control structure, entry and exit (SDM 3C, "Virtual
//! Machine Extensions").
//!
//! A guest's control structure is the processor's from VMPTRLD to VMCLEAR, and only then has fields
//! to read and write: where a guest is not loaded it is loaded for the one access. What is looked at
//! after every exit, or without the guest, is copied to [`State`].

use crate::guest::{self, Hardware, INTERRUPT, NON_MASKABLE, TIMER, VALID, X86Guest};
use crate::percore::{self, PerCore};
use crate::{cpu, descriptor, paging};
use abi::Error;
use abi::exit::RouteKey;
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use kernel::arch::Exit;
use kernel::word::Word;
use x86_regs::one_reg::{Register, SegmentField};
use x86_regs::vmcs::{
    self, BLOCKED_BY_MOV_SS, BLOCKED_BY_NMI, BLOCKED_BY_STI, ControlAccess, Event, Field, Reason,
    Violation, exit, kind,
};
use x86_regs::{Cr0, Cr4, Efer, msr};
use zerocopy::FromBytes;

/// What the processor leaves to us of a guest.
#[derive(FromBytes)]
#[repr(C, align(16))]
pub struct State {
    /// Numbers and values of [`OWN`]: the processor loads them at an entry and stores them at an
    /// exit.
    registers: [[Word; 2]; OWN.len()],
    rip: Word,
    rflags: Word,
    cr2: Word,
    dr6: Word,
    /// The event that is injected at the next entry, as [`Register::Event`] has it.
    event: Word,
    /// Length of the instruction that it is the effect of.
    event_length: Word,
    /// Changes of the interruptibility that wait for the next entry, as [`change`] has them.
    changes: Word,
    /// The primary controls that are in force.
    primary: Word,
    /// The host's root table that is in force.
    host_root: Word,
    /// 1 when the loaded guest was entered.
    launched: Word,
}

/// Bits of [`State::changes`].
mod change {
    /// The shadow of an STI or a MOV SS is over.
    pub const SHADOW_OVER: u64 = 1;
    /// A non-maskable interrupt is injected again.
    pub const NMI_AGAIN: u64 = 2;
    /// The handler of a non-maskable interrupt did not end.
    pub const NMI_LASTS: u64 = 4;
    /// The event of an entry that failed is still there.
    pub const STALE_EVENT: u64 = 8;
}

/// Registers that a guest has for itself and that no field of the structure is for.
const OWN: [u32; 5] = [
    msr::STAR,
    msr::LSTAR,
    msr::CSTAR,
    msr::SYSCALL_MASK,
    msr::KERNEL_GS_BASE,
];
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
/// CR4.VMXE, which a guest has to have and does not see.
const CR4_HOST: u64 = Cr4::new().with_vmx(true).into_bits();

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
    let wanted = [
        (msr::VMX_TRUE_PIN, PIN, 0),
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

/// Defines an instruction that takes the physical address of a structure in memory; it returns
/// whether the processor did it.
macro_rules! structure_instruction {
    ($name:ident, $instruction:literal, $doc:literal) => {
        #[doc = $doc]
        fn $name(physical: u64) -> bool {
            let failed: u8;
            // SAFETY: the callers name a structure of the processor's that has its revision, is
            // theirs alone, and is not accessed otherwise while the processor has it.
            unsafe {
                asm!(concat!($instruction, " [{}]"), "setna {}", in(reg) &raw const physical,
                    out(reg_byte) failed, options(nostack));
            }
            failed == 0
        }
    };
}

structure_instruction!(
    turn_on,
    "vmxon",
    "Turns VMX on with a region of this core's."
);
structure_instruction!(
    clear,
    "vmclear",
    "Writes a guest's structure back to memory."
);
structure_instruction!(
    make_current,
    "vmptrld",
    "Makes a guest's structure the current one."
);

/// Reads a field of the current structure.
#[inline(never)]
fn read(field: Field) -> u64 {
    let value: u64;
    // SAFETY: VMREAD accesses the current structure only; without one it does nothing.
    unsafe {
        asm!("vmread {}, {}", inout(reg) 0_u64 => value, in(reg) u64::from(field.0),
            options(nostack));
    }
    value
}

/// Writes a field of the current structure.
#[inline(never)]
fn write(field: Field, value: u64) {
    // SAFETY: VMWRITE accesses the current structure only. What of it is the host's has the values
    // that this core has anyway, and the guest's state is checked at the entry.
    unsafe {
        asm!("vmwrite {}, {}", in(reg) u64::from(field.0), in(reg) value, options(nostack));
    }
}

/// Drops cached translations: of all guests' memory, or of everything under any tag.
fn invalidate_all(tags: bool) {
    const ALL: u64 = 2;
    let descriptor = [0_u64; 2];
    if tags {
        // SAFETY: INVVPID only drops cached translations; the processor has this kind.
        unsafe {
            asm!("invvpid {}, [{}]", in(reg) ALL, in(reg) &raw const descriptor, options(nostack));
        }
    } else {
        // SAFETY: as above, INVEPT.
        unsafe {
            asm!("invept {}, [{}]", in(reg) ALL, in(reg) &raw const descriptor, options(nostack));
        }
    }
}

/// Does something while the guest's structure is the current one.
fn with<T>(guest: &X86Guest, work: impl FnOnce() -> T) -> T {
    let own = guest.block.physical();
    let loaded = percore::current().loaded_guest.get();
    if loaded == own {
        return work();
    }
    // A guest that no core has loaded is this core's to load: its calls are made on its core.
    make_current(own);
    let result = work();
    clear(own);
    if loaded != 0 {
        make_current(loaded);
    }
    result
}

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    // rdi = general registers, rsi = whether the guest was entered before. Returns 0, or 1 where the
    // processor did not enter it.
    ".globl _vmx_enter",
    "_vmx_enter:",
    "    push rbx",
    "    push rbp",
    "    push r12",
    "    push r13",
    "    push r14",
    "    push r15",
    "    push rdi",
    "    mov eax, {host_rsp}",
    "    vmwrite rax, rsp",
    "    test rsi, rsi",
    "    mov rax, [rdi]",
    "    mov rcx, [rdi + 8]",
    "    mov rdx, [rdi + 16]",
    "    mov rbx, [rdi + 24]",
    "    mov rbp, [rdi + 40]",
    "    mov rsi, [rdi + 48]",
    "    mov r8, [rdi + 64]",
    "    mov r9, [rdi + 72]",
    "    mov r10, [rdi + 80]",
    "    mov r11, [rdi + 88]",
    "    mov r12, [rdi + 96]",
    "    mov r13, [rdi + 104]",
    "    mov r14, [rdi + 112]",
    "    mov r15, [rdi + 120]",
    "    mov rdi, [rdi + 56]",
    "    jnz 2f",
    "    vmlaunch",
    "    jmp 3f",
    "2:  vmresume",
    "3:  pop rdi",
    "    mov eax, 1",
    "    jmp 4f",
    ".globl _vmx_exit",
    "_vmx_exit:",
    "    xchg rdi, [rsp]",
    "    mov [rdi], rax",
    "    mov [rdi + 8], rcx",
    "    mov [rdi + 16], rdx",
    "    mov [rdi + 24], rbx",
    "    mov [rdi + 40], rbp",
    "    mov [rdi + 48], rsi",
    "    mov [rdi + 64], r8",
    "    mov [rdi + 72], r9",
    "    mov [rdi + 80], r10",
    "    mov [rdi + 88], r11",
    "    mov [rdi + 96], r12",
    "    mov [rdi + 104], r13",
    "    mov [rdi + 112], r14",
    "    mov [rdi + 120], r15",
    "    pop rax",
    "    mov [rdi + 56], rax",
    "    xor eax, eax",
    "4:  pop r15",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbp",
    "    pop rbx",
    "    ret",
    ".popsection",
    host_rsp = const Field::HOST_RSP.0,
);

unsafe extern "C" {
    fn _vmx_enter(registers: *const AtomicU64, launched: u64) -> u64;
    fn _vmx_exit();
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
        with(guest, || write_constants(guest));
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
        let merged =
            |real, shadow, host: u64| with(guest, || read(real) & !host | read(shadow) & host);
        match register {
            Register::Cr0 => Some(merged(Field::GUEST_CR0, Field::CR0_SHADOW, CR0_HOST)),
            Register::Cr4 => Some(merged(Field::GUEST_CR4, Field::CR4_SHADOW, CR4_HOST)),
            Register::Segment(_, field) => {
                // The tables have no selector and no attributes.
                let Some(place) = Field::of(register) else {
                    return Some(0);
                };
                let value = with(guest, || read(place));
                Some(match field {
                    SegmentField::Attributes => vmcs::attributes(value),
                    _ => value,
                })
            }
            _ => {
                let field = Field::of(register)?;
                Some(with(guest, || read(field)))
            }
        }
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
        match register {
            Register::Cr0 => with(guest, || {
                write(Field::CR0_SHADOW, value);
                let fixed = Cr0::new().with_numeric_error(true).into_bits();
                write(Field::GUEST_CR0, value & !CR0_HOST | fixed);
            }),
            Register::Cr4 => {
                if value & !cpu::read_register(msr::VMX_CR4_FIXED1) != 0 {
                    return Err(Error::BadRegisterValue);
                }
                with(guest, || {
                    write(Field::CR4_SHADOW, value);
                    write(Field::GUEST_CR4, value | CR4_HOST);
                });
            }
            Register::Segment(_, field) => {
                let value = match field {
                    SegmentField::Attributes => vmcs::rights(value),
                    _ => value,
                };
                if let Some(place) = Field::of(register) {
                    with(guest, || write(place, value));
                }
            }
            _ => {
                let field = Field::of(register).ok_or(Error::NoSuchRegister)?;
                with(guest, || {
                    write(field, value);
                    if register == Register::ModelSpecific(msr::EFER) {
                        let is_long = Efer::from_bits(value).long_mode_active();
                        let controls = vmcs::Entry::from_bits(control(ENTRY) as u32);
                        let controls = controls.with_long_guest(is_long).into_bits();
                        write(Field::ENTRY_CONTROLS, u64::from(controls));
                    }
                });
            }
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
        write(Field::GUEST_RIP, state.rip.get());
        write(Field::GUEST_RFLAGS, state.rflags.get());
        prepare_events(state);
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
        left(guest, registers)
    }

    fn flush_all(&self, core: &PerCore) {
        invalidate_all(false);
        guest::forget_tags(core);
    }
}

/// Returns controls that the processor takes.
fn control(index: usize) -> u64 {
    u64::from(CONTROLS[index].load(Ordering::Relaxed))
}

/// Adds changes of the interruptibility that the next entry makes.
fn note(guest: &X86Guest, changes: u64) {
    let waiting = &guest.vmx.changes;
    waiting.set(waiting.get() | changes);
}

/// Returns the word in which a register is kept, if it is in none of the structure's fields.
fn kept(guest: &X86Guest, register: Register) -> Option<&Word> {
    let state = &guest.vmx;
    Some(match register {
        Register::Rip => &state.rip,
        Register::Rflags => &state.rflags,
        Register::Cr2 => &state.cr2,
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
    /// Debug exceptions and alignment checks, of which a guest can make endless chains, and machine
    /// checks, which are the host's.
    const EXCEPTIONS: u64 = 1 << 1 | 1 << 17 | 1 << 18;
    let own = guest::physical(&guest.vmx.registers);
    let host = paging::physical_of(&raw const HOST_REGISTERS);
    for (field, value) in [
        (Field::PIN_CONTROLS, control(0)),
        (Field::PRIMARY_CONTROLS, control(PRIMARY)),
        (Field::SECONDARY_CONTROLS, control(2)),
        (Field::EXIT_CONTROLS, control(3)),
        (Field::ENTRY_CONTROLS, control(ENTRY)),
        (Field::EXCEPTIONS, EXCEPTIONS),
        (Field::MSR_BITMAPS, paging::physical_of(&raw const BITMAPS)),
        (Field::EXIT_STORE_AREA, own),
        (Field::ENTRY_LOAD_AREA, own),
        (Field::EXIT_LOAD_AREA, host),
        (Field::EXIT_STORE_COUNT, OWN.len() as u64),
        (Field::ENTRY_LOAD_COUNT, OWN.len() as u64),
        (Field::EXIT_LOAD_COUNT, HOST.len() as u64),
        (Field::LINK, u64::MAX),
        (Field::CR0_MASK, CR0_HOST),
        (Field::CR4_MASK, !guest::CR4),
    ] {
        write(field, value);
    }
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

/// Writes the event that is injected, and what changed of the interruptibility.
fn prepare_events(state: &State) {
    let changes = state.changes.replace(0);
    let event = state.event.get();
    if event & VALID != 0 || changes & change::STALE_EVENT != 0 {
        let protected = Cr0::from_bits(read(Field::GUEST_CR0)).protection();
        let length = state.event_length.get();
        let injected = Event::from_bits(event as u32).injected(protected, length);
        write(Field::ENTRY_ERROR, event >> 32);
        write(Field::ENTRY_LENGTH, length);
        write(Field::ENTRY_EVENT, u64::from(injected.into_bits()));
    }
    if changes & !change::STALE_EVENT == 0 {
        return;
    }
    let mut blocked = read(Field::INTERRUPTIBILITY);
    if changes & change::SHADOW_OVER != 0 {
        blocked &= !(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
    }
    if changes & change::NMI_AGAIN != 0 {
        blocked &= !BLOCKED_BY_NMI;
    }
    if changes & change::NMI_LASTS != 0 {
        blocked |= BLOCKED_BY_NMI;
    }
    write(Field::INTERRUPTIBILITY, blocked);
}

/// Returns what the exit of a guest was.
fn left(guest: &X86Guest, registers: &[AtomicU64; 16]) -> Option<Exit> {
    let reason = Reason::from_bits(read(Field::EXIT_REASON) as u32);
    let qualification = read(Field::QUALIFICATION);
    let own = Event::from_bits(read(Field::EXIT_EVENT) as u32);
    let details = [
        u64::from(reason.into_bits()),
        qualification,
        u64::from(own.into_bits()),
    ];
    if reason.entry_failed() {
        note(guest, change::STALE_EVENT);
        return Some(Exit::Other { details });
    }
    let is_delivered = keep_event(guest);
    // Instructions are named by their bytes, the first the least significant.
    let instruction = |bits| Some(Exit::Instruction { bits });
    match reason.basic() {
        exit::EXCEPTION => exception(guest, own, is_delivered, details),
        exit::INTERRUPT | exit::INIT => None,
        exit::INTERRUPT_WINDOW => Some(Exit::Window {
            lines: guest.lines.get() & (INTERRUPT | TIMER),
        }),
        exit::NMI_WINDOW => Some(Exit::Window {
            lines: NON_MASKABLE,
        }),
        exit::HLT => {
            guest.skip(read(Field::EXIT_LENGTH));
            let blocked = read(Field::INTERRUPTIBILITY) & BLOCKED_BY_NMI;
            guest.is_masked.set(blocked);
            Some(Exit::Idle)
        }
        exit::VMCALL => {
            guest.skip(read(Field::EXIT_LENGTH));
            Some(Exit::Hypercall)
        }
        exit::CPUID => instruction(0xa20f),
        exit::INVD => instruction(0x080f),
        exit::WBINVD => instruction(0x090f),
        exit::XSETBV => instruction(0xd1_010f),
        exit::READ_REGISTER => instruction(0x320f),
        exit::WRITE_REGISTER => instruction(0x300f),
        exit::CONTROL_REGISTER => {
            instruction(ControlAccess::from_bits(qualification).instruction())
        }
        exit::PORT => {
            let first = vmcs::Port::from_bits(qualification).described();
            Some(guest.port_exit(first, read(Field::EXIT_LENGTH), registers))
        }
        exit::EPT_VIOLATION => Some(violation(guest, qualification, is_delivered)),
        _ => Some(Exit::Other { details }),
    }
}

/// Keeps the event that was being delivered, to be injected again; returns whether there was none.
fn keep_event(guest: &X86Guest) -> bool {
    let state = &guest.vmx;
    let event = Event::from_bits(read(Field::VECTORING_EVENT) as u32);
    if !event.valid() {
        state.event.set(0);
        return true;
    }
    let error = if event.has_error() {
        read(Field::VECTORING_ERROR)
    } else {
        0
    };
    let kept = event.with_unblocked_nmi(false).into_bits();
    state.event.set(error << 32 | u64::from(kept));
    state.event_length.set(read(Field::EXIT_LENGTH));
    if event.kind() == kind::NMI {
        note(guest, change::NMI_AGAIN);
    }
    false
}

/// Returns the exit of an exception; a non-maskable interrupt is the host's.
fn exception(
    guest: &X86Guest,
    event: Event,
    is_delivered: bool,
    details: [u64; 3],
) -> Option<Exit> {
    if event.kind() == kind::NMI {
        // SAFETY: the gate of vector 2 is there, and its handler returns with every register as it
        // was. Its IRET lets the next one come.
        unsafe { asm!("int 2") };
        return None;
    }
    if event.unblocked_nmi() && is_delivered {
        note(guest, change::NMI_LASTS);
    }
    Some(Exit::Other { details })
}

/// Returns the exit of an access that the guest's tables do not allow.
fn violation(guest: &X86Guest, qualification: u64, is_delivered: bool) -> Exit {
    let violation = Violation::from_bits(qualification);
    if violation.unblocked_nmi() && is_delivered {
        note(guest, change::NMI_LASTS);
    }
    let virtual_address = if violation.has_linear() {
        read(Field::LINEAR_ADDRESS)
    } else {
        0
    };
    Exit::Access {
        key: RouteKey::Device,
        address: read(Field::GUEST_PHYSICAL),
        virtual_address,
        cause: violation.page_fault(),
        access: None,
    }
}
