//! The way in and out of the kernel.
//!
//! The processor itself writes the first words of a frame: the stack of traps out of user mode is
//! the end of the frame of the thread that runs (`Descriptors::set_frame_end`). Non-maskable
//! interrupts, double faults and machine checks have stacks of their own, for they may come while
//! the stack pointer or GS is still the user's.

use crate::descriptor::KERNEL_CODE;
use crate::frame::offset;
use crate::percore::{FRAME, SCRATCH, STACK};
use core::arch::global_asm;

/// Bytes of an exception's stub.
pub const STUB_BYTES: u64 = 16;
/// Bytes of every other stub.
pub const INTERRUPT_STUB_BYTES: u64 = 8;
/// Where physical memory is mapped.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// Difference between where the kernel is linked and where it is loaded.
pub const LOAD_OFFSET: u64 = 0xffff_ffff_8000_0000;
/// What a frame has as its vector after a system call.
pub const SYSTEM_CALL: u64 = 0x100;

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    // One stub for each exception: an error code where the processor pushes none, and the vector.
    ".balign 16",
    ".globl _trap_stubs",
    "_trap_stubs:",
    ".set vector_number, 0",
    ".rept 32",
    ".balign 16",
    ".if (vector_number == 8) || ((vector_number >= 10) && (vector_number <= 14)) || (vector_number == 17) || (vector_number == 21) || (vector_number == 29) || (vector_number == 30)",
    ".else",
    "push 0",
    ".endif",
    "push vector_number",
    "jmp _trap_common",
    ".set vector_number, vector_number + 1",
    ".endr",
    // One stub for each other vector, of half the size: the number, less 128 so that it is one byte,
    // takes the place of an error code too.
    ".balign 8",
    ".globl _interrupt_stubs",
    "_interrupt_stubs:",
    ".rept 224",
    ".balign 8",
    "push vector_number - 128",
    "jmp 8f",
    ".set vector_number, vector_number + 1",
    ".endr",
    "8:  push [rsp]",
    "    add qword ptr [rsp], 128",
    // Out of user mode the stack is the frame: all but the general registers is there.
    "_trap_common:",
    "    test byte ptr [rsp + 24], 3",
    "    jz 9f",
    "    sub rsp, {vector}",
    "    mov [rsp + {rax}], rax",
    "    mov [rsp + {rcx}], rcx",
    "    mov [rsp + {rdx}], rdx",
    "    mov [rsp + {rbx}], rbx",
    "    mov [rsp + {rbp}], rbp",
    "    mov [rsp + {rsi}], rsi",
    "    mov [rsp + {rdi}], rdi",
    "    mov [rsp + {r8}], r8",
    "    mov [rsp + {r9}], r9",
    "    mov [rsp + {r10}], r10",
    "    mov [rsp + {r11}], r11",
    "    mov [rsp + {r12}], r12",
    "    mov [rsp + {r13}], r13",
    "    mov [rsp + {r14}], r14",
    "    mov [rsp + {r15}], r15",
    "    rdfsbase rax",
    "    mov [rsp + {fs_base}], rax",
    "    rdgsbase rax",
    "    mov [rsp + {gs_base}], rax",
    "    swapgs",
    "    mov rsp, gs:[{stack}]",
    // Direction, alignment-check and all other flags as the kernel's code expects them.
    "    push 2",
    "    popfq",
    "    xor ebp, ebp",
    "    call {trap}",
    "    ud2",
    // In the kernel: an interrupt that was waited for, or a bug.
    "9:  push rax",
    "    push rcx",
    "    push rdx",
    "    push rsi",
    "    push rdi",
    "    push r8",
    "    push r9",
    "    push r10",
    "    push r11",
    "    lea rdi, [rsp + 72]",
    "    call {kernel_trap}",
    "    pop r11",
    "    pop r10",
    "    pop r9",
    "    pop r8",
    "    pop rdi",
    "    pop rsi",
    "    pop rdx",
    "    pop rcx",
    "    pop rax",
    "    add rsp, 16",
    "    iretq",
    // A system call: rcx has the address behind the instruction, r11 the flags. The call can be
    // made again, so the frame has the address of its two bytes.
    ".balign 16",
    ".globl _system_call_entry",
    "_system_call_entry:",
    "    swapgs",
    "    mov gs:[{scratch}], rsp",
    "    mov rsp, gs:[{frame}]",
    "    mov [rsp + {rax}], rax",
    "    mov [rsp + {rdx}], rdx",
    "    mov [rsp + {rbx}], rbx",
    "    mov [rsp + {rbp}], rbp",
    "    mov [rsp + {rsi}], rsi",
    "    mov [rsp + {rdi}], rdi",
    "    mov [rsp + {r8}], r8",
    "    mov [rsp + {r9}], r9",
    "    mov [rsp + {r10}], r10",
    "    mov [rsp + {r12}], r12",
    "    mov [rsp + {r13}], r13",
    "    mov [rsp + {r14}], r14",
    "    mov [rsp + {r15}], r15",
    "    sub rcx, 2",
    "    mov [rsp + {rip}], rcx",
    "    mov [rsp + {rflags}], r11",
    "    mov qword ptr [rsp + {vector}], {system_call}",
    "    rdfsbase rax",
    "    mov [rsp + {fs_base}], rax",
    "    mov rax, gs:[{scratch}]",
    "    mov [rsp + {rsp}], rax",
    "    xor eax, eax",
    "    mov [rsp + {rcx}], rax",
    "    mov [rsp + {r11}], rax",
    "    mov [rsp + {gs_base}], rax",
    "    mov rsp, gs:[{stack}]",
    "    xor ebp, ebp",
    "    call {trap}",
    "    ud2",
    // The way out: rdi = frame. Everything is restored by IRETQ, whose operand is in the frame.
    ".globl _return_to",
    "_return_to:",
    "    mov rax, [rdi + {fs_base}]",
    "    wrfsbase rax",
    "    swapgs",
    "    mov rax, [rdi + {gs_base}]",
    "    wrgsbase rax",
    "    mov rcx, [rdi + {rcx}]",
    "    mov r11, [rdi + {r11}]",
    "    lea rsp, [rdi + {rip}]",
    "    mov rax, [rdi + {rax}]",
    "    mov rdx, [rdi + {rdx}]",
    "    mov rbx, [rdi + {rbx}]",
    "    mov rbp, [rdi + {rbp}]",
    "    mov rsi, [rdi + {rsi}]",
    "    mov r8, [rdi + {r8}]",
    "    mov r9, [rdi + {r9}]",
    "    mov r10, [rdi + {r10}]",
    "    mov r12, [rdi + {r12}]",
    "    mov r13, [rdi + {r13}]",
    "    mov r14, [rdi + {r14}]",
    "    mov r15, [rdi + {r15}]",
    "    mov rdi, [rdi + {rdi}]",
    "    iretq",
    // The way out of a system call, whose rcx and r11 are gone: rdi = frame.
    ".globl _return_from_call",
    "_return_from_call:",
    "    mov rax, [rdi + {fs_base}]",
    "    wrfsbase rax",
    "    swapgs",
    "    mov rax, [rdi + {gs_base}]",
    "    wrgsbase rax",
    "    mov rcx, [rdi + {rip}]",
    "    mov r11, [rdi + {rflags}]",
    "    mov rax, [rdi + {rax}]",
    "    mov rdx, [rdi + {rdx}]",
    "    mov rbx, [rdi + {rbx}]",
    "    mov rbp, [rdi + {rbp}]",
    "    mov rsi, [rdi + {rsi}]",
    "    mov r8, [rdi + {r8}]",
    "    mov r9, [rdi + {r9}]",
    "    mov r10, [rdi + {r10}]",
    "    mov r12, [rdi + {r12}]",
    "    mov r13, [rdi + {r13}]",
    "    mov r14, [rdi + {r14}]",
    "    mov r15, [rdi + {r15}]",
    "    mov rsp, [rdi + {rsp}]",
    "    mov rdi, [rdi + {rdi}]",
    "    sysretq",
    // Non-maskable interrupts have no source that the kernel knows: they are counted. Nothing here
    // depends on the stack pointer or GS of what was interrupted.
    ".globl _nmi_entry",
    "_nmi_entry:",
    "    lock inc qword ptr [rip + {nmi_count}]",
    "    iretq",
    // An interrupt that went away before it was taken: not in service, so nothing ends it.
    ".globl _spurious_entry",
    "_spurious_entry:",
    "    iretq",
    // A double fault or a machine check: reported without a look at GS.
    ".globl _fatal_entry",
    "_fatal_entry:",
    "    mov rdi, rsp",
    "    and rsp, -16",
    "    call {fatal_trap}",
    "    ud2",
    ".popsection",
    ".pushsection .bss.boot_stack, \"aw\", @nobits",
    ".balign 16",
    ".space {boot_stack_bytes}",
    ".globl _boot_stack_end",
    "_boot_stack_end:",
    ".popsection",
    rax = const offset::general(0),
    rcx = const offset::general(1),
    rdx = const offset::general(2),
    rbx = const offset::general(3),
    rbp = const offset::general(5),
    rsi = const offset::general(6),
    rdi = const offset::general(7),
    r8 = const offset::general(8),
    r9 = const offset::general(9),
    r10 = const offset::general(10),
    r11 = const offset::general(11),
    r12 = const offset::general(12),
    r13 = const offset::general(13),
    r14 = const offset::general(14),
    r15 = const offset::general(15),
    fs_base = const offset::FS_BASE,
    gs_base = const offset::GS_BASE,
    vector = const offset::VECTOR,
    rip = const offset::RIP,
    rflags = const offset::RFLAGS,
    rsp = const offset::RSP,
    stack = const STACK,
    frame = const FRAME,
    scratch = const SCRATCH,
    system_call = const SYSTEM_CALL,
    trap = sym crate::trap::trap,
    kernel_trap = sym crate::trap::kernel_trap,
    fatal_trap = sym crate::trap::fatal_trap,
    nmi_count = sym crate::trap::NMI_COUNT,
    boot_stack_bytes = const crate::boot::BOOT_STACK_BYTES,
);

const _: () = assert!(
    KERNEL_CODE & 3 == 0,
    "a trap out of the kernel is told by its selector"
);

unsafe extern "C" {
    /// First byte of the image.
    pub static _image_start: u8;
    /// First byte behind the code.
    pub static _text_end: u8;
    /// First byte behind the constants.
    pub static _rodata_end: u8;
    /// First byte behind the image.
    pub static _image_end: u8;
    /// First byte behind the boot core's stack.
    pub static _boot_stack_end: u8;
    /// The stub of vector 0; those up to 31 follow, `STUB_BYTES` apart.
    pub static _trap_stubs: u8;
    /// The stub of vector 32; the others follow, `INTERRUPT_STUB_BYTES` apart.
    pub static _interrupt_stubs: u8;
    /// Where SYSCALL goes.
    pub fn _system_call_entry();
    /// Non-maskable interrupt.
    pub fn _nmi_entry();
    /// Spurious interrupt.
    pub fn _spurious_entry();
    /// Double fault and machine check.
    pub fn _fatal_entry();
    /// Loads all registers of the frame at an address and returns to user mode.
    pub fn _return_to(frame: u64) -> !;
    /// As `_return_to`, for a frame that a system call filled: rcx and r11 are lost.
    pub fn _return_from_call(frame: u64) -> !;
}
