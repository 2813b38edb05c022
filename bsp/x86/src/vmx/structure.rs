//! A guest's control structure: what of it is ours, the instructions on it, and the way in and out.

use crate::guest::X86Guest;
use crate::percore;
use core::arch::{asm, global_asm};
use core::sync::atomic::AtomicU64;
use kernel::word::Word;
use x86_regs::msr;
use x86_regs::vmcs::Field;
use zerocopy::FromBytes;

/// Registers that a guest has for itself and that no field of the structure is for.
pub const OWN: [u32; 5] = [
    msr::STAR,
    msr::LSTAR,
    msr::CSTAR,
    msr::SYSCALL_MASK,
    msr::KERNEL_GS_BASE,
];
/// What the processor leaves to us of a guest.
#[derive(FromBytes)]
#[repr(C, align(16))]
pub struct State {
    /// Numbers and values of [`OWN`]: the processor loads them at an entry and stores them at an
    /// exit.
    pub registers: [[Word; 2]; OWN.len()],
    /// The program counter.
    pub rip: Word,
    /// The flags.
    pub rflags: Word,
    /// The address of the last page fault.
    pub cr2: Word,
    /// The debug status.
    pub dr6: Word,
    /// CR8, as loads of it find it.
    pub priority: Word,
    /// The event that is injected at the next entry, as [`Register::Event`] has it.
    pub event: Word,
    /// Length of the instruction that it is the effect of.
    pub event_length: Word,
    /// Changes of the interruptibility that wait for the next entry, as [`change`] has them.
    pub changes: Word,
    /// The primary controls that are in force.
    pub primary: Word,
    /// What the timer of the guest counts down from.
    pub limit: Word,
    /// The host's root table that is in force.
    pub host_root: Word,
    /// 1 when the loaded guest was entered.
    pub launched: Word,
}

/// Bits of [`State::changes`].
pub mod change {
    /// The shadow of an STI or a MOV SS is over.
    pub const SHADOW_OVER: u64 = 1;
    /// A non-maskable interrupt is injected again.
    pub const NMI_AGAIN: u64 = 2;
    /// The handler of a non-maskable interrupt did not end.
    pub const NMI_LASTS: u64 = 4;
    /// The event of an entry that failed is still there.
    pub const STALE_EVENT: u64 = 8;
}

/// Adds changes of the interruptibility that the next entry makes.
pub fn note(guest: &X86Guest, changes: u64) {
    let waiting = &guest.vmx.changes;
    waiting.set(waiting.get() | changes);
}

/// Defines an instruction that takes the physical address of a structure in memory; it returns
/// whether the processor did it.
macro_rules! structure_instruction {
    ($name:ident, $instruction:literal, $doc:literal) => {
        #[doc = $doc]
        pub fn $name(physical: u64) -> bool {
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
pub fn read(field: Field) -> u64 {
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
pub fn write(field: Field, value: u64) {
    // SAFETY: VMWRITE accesses the current structure only. What of it is the host's has the values
    // that this core has anyway, and the guest's state is checked at the entry.
    unsafe {
        asm!("vmwrite {}, {}", in(reg) u64::from(field.0), in(reg) value, options(nostack));
    }
}

/// Drops cached translations: of all guests' memory, or of everything under any tag.
pub fn invalidate_all(tags: bool) {
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
#[inline(never)]
pub fn with(guest: &X86Guest, work: &mut dyn FnMut()) {
    let own = guest.block.physical();
    let loaded = percore::current().loaded_guest.get();
    if loaded == own {
        return work();
    }
    // A guest that no core has loaded is this core's to load: its calls are made on its core.
    make_current(own);
    work();
    clear(own);
    if loaded != 0 {
        make_current(loaded);
    }
}

/// Returns a field of a guest, loaded or not.
pub fn get(guest: &X86Guest, field: Field) -> u64 {
    let mut value = 0;
    with(guest, &mut || value = read(field));
    value
}

/// Sets a field of a guest, loaded or not.
pub fn set(guest: &X86Guest, field: Field, value: u64) {
    with(guest, &mut || write(field, value));
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
    // Nothing comes between. Bochs 3.0 forgets at an exit that the host has interrupts off.
    "    sti",
    "    cli",
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
    /// Enters the guest of the current structure.
    pub fn _vmx_enter(registers: *const AtomicU64, launched: u64) -> u64;
    /// Where an exit goes on.
    pub fn _vmx_exit();
}
