//! The way in and out of the kernel.
//!
//! The processor itself writes the first words of a frame: the stack of traps out of user mode is
//! the end of the frame of the thread that runs (`Descriptors::set_frame_end`). Non-maskable
//! interrupts, double faults and machine checks have stacks of their own, for they may come while
//! the stack pointer or GS is still the user's.

use crate::descriptor::KERNEL_CODE;
use crate::frame::{FIXED_FLAGS, offset};
use crate::machine::X86;
use crate::percore::{FRAME_END, STACK};
use abi::CallNumber;
use core::arch::global_asm;
use core::mem::offset_of;
use kernel::object::thread::Thread;

/// Bytes of an exception's stub.
pub const STUB_BYTES: u64 = 16;
/// Bytes of 32 other stubs and the jump in their middle.
const GROUP_BYTES: u64 = 32 * 4 + 8;
/// Where physical memory is mapped.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// Difference between where the kernel is linked and where it is loaded.
pub const LOAD_OFFSET: u64 = 0xffff_ffff_8000_0000;

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
    // One stub of four bytes for each other vector: the number, less 128 so that it is one byte,
    // takes the place of an error code too. Sixteen on either side of a jump reach no further.
    ".balign 8",
    ".globl _interrupt_stubs",
    "_interrupt_stubs:",
    ".rept 7",
    ".rept 16",
    ".balign 4",
    "push vector_number - 128",
    "jmp 7f",
    ".set vector_number, vector_number + 1",
    ".endr",
    "7:  jmp 8f",
    ".balign 8",
    ".rept 16",
    ".balign 4",
    "push vector_number - 128",
    "jmp 7b",
    ".set vector_number, vector_number + 1",
    ".endr",
    ".endr",
    // It cannot go back: a longer stub is an error.
    ".org _interrupt_stubs + 7 * {group_bytes}",
    "8:  push [rsp]",
    "    add qword ptr [rsp], 128",
    // Out of user mode the stack is the frame: all but the general registers is there.
    "_trap_common:",
    "    test byte ptr [rsp + 24], 3",
    "    jz 9f",
    "    sub rsp, {vector} - {fs_base}",
    "    push r15",
    "    push r14",
    "    push r13",
    "    push r12",
    "    push r11",
    "    push r10",
    "    push r9",
    "    push r8",
    "    push rdi",
    "    push rsi",
    "    push rbp",
    "    push rsp",
    "    push rbx",
    "    push rdx",
    "    push rcx",
    "    push rax",
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
    // A system call: rcx has the address behind the instruction. Its arguments and what it preserves
    // are saved. The call can be made again, so the frame has the address of its two bytes.
    ".balign 16",
    ".globl _system_call_entry",
    "_system_call_entry:",
    "    swapgs",
    "    mov r11, gs:[{frame_end}]",
    "    mov [r11 - {end} + {rsp}], rsp",
    "    mov [r11 - {end} + {rax}], rax",
    "    mov [r11 - {end} + {rdx}], rdx",
    "    mov [r11 - {end} + {rsi}], rsi",
    "    mov [r11 - {end} + {rdi}], rdi",
    "    mov [r11 - {end} + {r8}], r8",
    "    mov [r11 - {end} + {r9}], r9",
    "    mov [r11 - {end} + {r10}], r10",
    "    mov [r11 - {end} + {r12}], r12",
    "    mov [r11 - {end} + {r13}], r13",
    "    sub rcx, 2",
    "    mov [r11 - {end} + {rip}], rcx",
    "    rdfsbase rcx",
    "    mov [r11 - {end} + {fs_base}], rcx",
    "    mov rsp, gs:[{stack}]",
    // Each of the most frequent calls has a function of its own, so that it needs few registers.
    "    mov rsi, rax",
    "    lea rdx, [r11 - {end} - {frame_in_thread}]",
    "    push rbp", // As a call does: the stack's alignment.
    "    cmp al, {call_number}",
    "    je {call}",
    "    cmp al, {reply_receive_number}",
    "    je {reply_receive}",
    "    cmp al, {signal_number}",
    "    je {signal}",
    "    test al, al",
    "    je {identify}",
    "    jmp {rare_call}",
    // The way out: rdi = frame. Everything is restored by IRETQ, whose operand is in the frame.
    ".globl _return_to",
    "_return_to:",
    "    lea rax, [rdi + {end}]",
    "    mov gs:[{frame_end}], rax",
    "    mov rax, [rdi + {fs_base}]",
    "    wrfsbase rax",
    "    swapgs",
    "    mov rax, [rdi + {gs_base}]",
    "    wrgsbase rax",
    "    mov rsp, rdi",
    "    pop rax",
    "    pop rcx",
    "    pop rdx",
    "    pop rbx",
    "    pop rbp",
    "    pop rbp",
    "    pop rsi",
    "    pop rdi",
    "    pop r8",
    "    pop r9",
    "    pop r10",
    "    pop r11",
    "    pop r12",
    "    pop r13",
    "    pop r14",
    "    pop r15",
    "    add rsp, {rip} - {fs_base}",
    "    iretq",
    // The way out behind a system call, whose status is 0: rdi = frame; results are in their
    // registers: rsi, rdx, r10, r8, r9, r12, rax = information word, r13 and r14. What a call
    // preserves is its stack and thread pointer; the address behind it is not above the last page but
    // one of the lower half.
    ".globl _resume",
    "_resume:",
    "    lea rcx, [rdi + {end}]",
    "    mov gs:[{frame_end}], rcx",
    "    mov rcx, [rdi + {fs_base}]",
    "    wrfsbase rcx",
    "    mov rcx, [rdi + {rip}]",
    "    mov rsp, [rdi + {rsp}]",
    "    add rcx, 2",
    "    xor edi, edi",
    "    swapgs",
    "    wrgsbase rdi",
    "    xor ebx, ebx",
    "    xor ebp, ebp",
    "    xor r15d, r15d",
    "    mov r11d, {flags}",
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
    rdx = const offset::general(2),
    rsi = const offset::general(6),
    rdi = const offset::general(7),
    r8 = const offset::general(8),
    r9 = const offset::general(9),
    r10 = const offset::general(10),
    r12 = const offset::general(12),
    r13 = const offset::general(13),
    fs_base = const offset::FS_BASE,
    gs_base = const offset::GS_BASE,
    vector = const offset::VECTOR,
    rip = const offset::RIP,
    rsp = const offset::RSP,
    end = const offset::END,
    group_bytes = const GROUP_BYTES,
    stack = const STACK,
    frame_end = const FRAME_END,
    flags = const FIXED_FLAGS,
    call = sym crate::trap::call,
    reply_receive = sym crate::trap::reply_receive,
    signal = sym crate::trap::signal,
    identify = sym crate::trap::identify,
    rare_call = sym crate::trap::rare_call,
    call_number = const CallNumber::Call as usize,
    reply_receive_number = const CallNumber::ReplyReceive as usize,
    signal_number = const CallNumber::Signal as usize,
    frame_in_thread = const offset_of!(Thread<X86>, frame),
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
    /// First byte behind the code that only runs before the first process.
    pub static _boot_end: u8;
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
    /// The stub of vector 32; the others follow.
    static _interrupt_stubs: u8;
    /// Where SYSCALL goes.
    pub fn _system_call_entry();
    /// Non-maskable interrupt.
    pub fn _nmi_entry();
    /// Spurious interrupt.
    pub fn _spurious_entry();
    /// Double fault and machine check.
    pub fn _fatal_entry();
    /// Returns behind a system call; only for assembly, which puts the results into registers.
    pub fn _resume() -> !;
    /// Loads all registers of the frame at an address and returns to user mode.
    pub fn _return_to(frame: u64) -> !;
}

/// Returns the address of the stub of a vector that is no exception's.
pub fn interrupt_stub(vector: usize) -> u64 {
    let index = vector as u64 - 32;
    &raw const _interrupt_stubs as u64 + index * 4 + (index + 16) / 32 * 8
}
