//! First instructions of a hart, and the way in and out of the kernel.

use crate::percore::{FRAME, MODE, SCRATCH, STACK};
use abi::CallNumber;
use core::arch::global_asm;

/// Where physical memory is mapped: Sv39's upper half from here on, one leaf per gibibyte.
pub const DIRECT_MAP: u64 = 0xffff_ffc0_0000_0000;
/// Difference between where the kernel is linked and where it is loaded.
pub const LOAD_OFFSET: u64 = 0xffff_ffff_0000_0000;
/// Bytes of the boot hart's kernel stack, and of every other.
pub const STACK_BYTES: u64 = 16 * 1024;
/// Bytes of the stack that the boot hart starts on: the kernel is built there before it is moved to
/// its place.
const BOOT_STACK_BYTES: u64 = 2 * STACK_BYTES;
/// sstatus.SPP: the trap came from supervisor mode.
pub const SPP: u64 = 1 << 8;
/// hstatus.SPV: the trap came from a guest.
const SPV: u64 = 1 << 7;
/// satp's mode field for Sv39.
pub const SV39: u64 = 8 << 60;

global_asm!(
    // a0 = hart, a1 = device tree (boot hart) or core number's PerCore (the others).
    ".pushsection .boot.entry, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "    csrw sie, zero",
    "    csrw sip, zero",
    "    mv s0, a0",
    "    mv s1, a1",
    "    lla t0, {bss_start}",
    "    lla t1, {image_end}",
    "1:  bgeu t0, t1, 2f",
    "    sd zero, 0(t0)",
    "    addi t0, t0, 8",
    "    j 1b",
    // The root table: the direct map, the kernel's gibibyte, and that gibibyte one to one for the
    // next few instructions.
    "2:  lla t0, {root}",
    "    li t1, 0xef", // DAG_XWRV, the direct map without X
    "    li t2, 0xe7",
    "    li t3, 0",
    "    li t4, 254",
    "    li t6, 2048",
    "    add t5, t0, t6",
    "3:  slli a2, t3, 28",
    "    or a2, a2, t2",
    "    sd a2, 0(t5)",
    "    addi t5, t5, 8",
    "    addi t3, t3, 1",
    "    bltu t3, t4, 3b",
    "    lla a2, _start",
    "    srli a3, a2, 30",
    "    slli a4, a3, 28",
    "    or a4, a4, t1",
    "    sd a4, 0(t5)", // entry 510
    "    slli a5, a3, 3",
    "    add a5, a5, t0",
    "    sd a4, 0(a5)", // one to one
    "    call {enable}",
    "    la sp, {boot_stack_end}",
    "    mv a0, s0",
    "    mv a1, s1",
    "    tail {boot}",
    ".popsection",
    ".pushsection .text.entry, \"ax\", @progbits",
    // The other harts: a0 = hart, a1 = physical address of a PerCore.
    ".globl _start_secondary",
    "_start_secondary:",
    "    csrw sie, zero",
    "    csrw sip, zero",
    "    mv s1, a1",
    "    lla t0, {root}",
    "    call {enable}",
    "    li t0, {load_offset}",
    "    add tp, s1, t0",
    "    ld sp, {stack}(tp)",
    "    tail {secondary}",
    // Turns translation on with the root at t0, and returns to where it was called from in the
    // kernel's own addresses.
    ".globl _enable_translation",
    "_enable_translation:",
    "    srli t0, t0, 12",
    "    li t1, {sv39}",
    "    or t0, t0, t1",
    "    li t1, {load_offset}",
    "    add ra, ra, t1",
    "    sfence.vma",
    "    csrw satp, t0",
    "    sfence.vma",
    "    ret",
    ".popsection",
    bss_start = sym _bss_start,
    image_end = sym _image_end,
    root = sym crate::paging::ROOT,
    enable = sym _enable_translation,
    boot_stack_end = sym _boot_stack_end,
    boot = sym crate::boot::boot_hart,
    secondary = sym crate::cores::secondary_hart,
    load_offset = const LOAD_OFFSET,
    stack = const STACK,
    sv39 = const SV39,
);

global_asm!(
    ".pushsection .bss.boot_stack, \"aw\", @nobits",
    ".balign 16",
    ".space {bytes}",
    ".globl _boot_stack_end",
    "_boot_stack_end:",
    ".popsection",
    bytes = const BOOT_STACK_BYTES,
);

global_asm!(
    // The way in. sscratch has the PerCore, in user mode and in the kernel; tp has it in the kernel.
    ".pushsection .text, \"ax\", @progbits",
    ".balign 4",
    ".globl _trap_entry",
    "_trap_entry:",
    "    csrrw tp, sscratch, tp",
    "    sd t2, {scratch}(tp)",
    "    csrr t2, scause",
    "    addi t2, t2, -8",
    "    bnez t2, 1f",
    // A system call: what it preserves and argument 7 are saved; the other arguments stay where they
    // are.
    "    ld t2, {frame}(tp)",
    "    csrrw t1, sscratch, tp",
    "    csrr t3, sepc",
    "    sd sp, 16(t2)",
    "    sd gp, 24(t2)",
    "    sd t1, 32(t2)",
    "    sd t0, 40(t2)",
    "    sd t3, 256(t2)",
    "    ld sp, {stack}(tp)",
    // Each of the most frequent calls has a function of its own, so that it needs few registers.
    "    andi t1, a7, 255",
    "    addi t1, t1, -{call_number}",
    "    bnez t1, 6f",
    "    j {call}",
    "6:  addi t1, t1, {call_number} - {reply_receive_number}",
    "    bnez t1, 7f",
    "    j {reply_receive}",
    "7:  addi t1, t1, {reply_receive_number} - {signal_number}",
    "    bnez t1, 9f",
    "    j {signal}",
    "9:  bnez a7, _save_arguments",
    "    j {identify}",
    // The call is not one of the most frequent: the other arguments are saved too.
    ".globl _save_arguments",
    "_save_arguments:",
    "    ld t2, {frame}(tp)",
    "    sd a0, 80(t2)",
    "    sd a1, 88(t2)",
    "    sd a2, 96(t2)",
    "    sd a3, 104(t2)",
    "    sd a4, 112(t2)",
    "    sd a5, 120(t2)",
    "    sd a6, 128(t2)",
    "    sd a7, 136(t2)",
    "    ld sp, {stack}(tp)",
    "    j {rare_call}",
    // Anything else: all registers are saved.
    "1:  csrr t2, sstatus",
    "    andi t2, t2, {supervisor}",
    "    bnez t2, 8f",
    "3:  ld t2, {scratch}(tp)",
    "    sd a0, {scratch}(tp)",
    "    ld a0, {frame}(tp)",
    "    sd ra, 8(a0)",
    "    sd sp, 16(a0)",
    "    sd gp, 24(a0)",
    "    sd t0, 40(a0)",
    "    sd t1, 48(a0)",
    "    sd t2, 56(a0)",
    "    sd s0, 64(a0)",
    "    sd s1, 72(a0)",
    "    sd a1, 88(a0)",
    "    sd a2, 96(a0)",
    "    sd a3, 104(a0)",
    "    sd a4, 112(a0)",
    "    sd a5, 120(a0)",
    "    sd a6, 128(a0)",
    "    sd a7, 136(a0)",
    "    sd s2, 144(a0)",
    "    sd s3, 152(a0)",
    "    sd s4, 160(a0)",
    "    sd s5, 168(a0)",
    "    sd s6, 176(a0)",
    "    sd s7, 184(a0)",
    "    sd s8, 192(a0)",
    "    sd s9, 200(a0)",
    "    sd s10, 208(a0)",
    "    sd s11, 216(a0)",
    "    sd t3, 224(a0)",
    "    sd t4, 232(a0)",
    "    sd t5, 240(a0)",
    "    sd t6, 248(a0)",
    "    csrrw t0, sscratch, tp",
    "    sd t0, 32(a0)",
    "    ld t1, {scratch}(tp)",
    "    sd t1, 80(a0)",
    "    ld sp, {stack}(tp)",
    "    ld t1, {mode}(tp)",
    "    bnez t1, 2f",
    "    tail {trap}",
    "2:  tail {exit}",
    // Out of supervisor mode: a guest's, or, a bug, the kernel's own.
    "8:  csrr t2, hstatus",
    "    andi t2, t2, {virtual}",
    "    bnez t2, 3b",
    "    la sp, {boot_stack_end}",
    "    tail {kernel_trap}",
    // The way out: a0 = registers.
    ".globl _return_to",
    "_return_to:",
    "    ld ra, 8(a0)",
    "    ld sp, 16(a0)",
    "    ld gp, 24(a0)",
    "    ld tp, 32(a0)",
    "    ld t0, 40(a0)",
    "    ld t1, 48(a0)",
    "    ld t2, 56(a0)",
    "    ld s0, 64(a0)",
    "    ld s1, 72(a0)",
    "    ld a1, 88(a0)",
    "    ld a2, 96(a0)",
    "    ld a3, 104(a0)",
    "    ld a4, 112(a0)",
    "    ld a5, 120(a0)",
    "    ld a6, 128(a0)",
    "    ld a7, 136(a0)",
    "    ld s2, 144(a0)",
    "    ld s3, 152(a0)",
    "    ld s4, 160(a0)",
    "    ld s5, 168(a0)",
    "    ld s6, 176(a0)",
    "    ld s7, 184(a0)",
    "    ld s8, 192(a0)",
    "    ld s9, 200(a0)",
    "    ld s10, 208(a0)",
    "    ld s11, 216(a0)",
    "    ld t3, 224(a0)",
    "    ld t4, 232(a0)",
    "    ld t5, 240(a0)",
    "    ld t6, 248(a0)",
    "    ld a0, 80(a0)",
    "    sret",
    // The same behind a system call that the general path made: only its results are there.
    ".globl _return_behind",
    "_return_behind:",
    "    ld sp, 16(a0)",
    "    ld gp, 24(a0)",
    "    ld tp, 32(a0)",
    "    ld t0, 40(a0)",
    "    ld t1, 48(a0)",
    "    ld a1, 88(a0)",
    "    ld a2, 96(a0)",
    "    ld a3, 104(a0)",
    "    ld a4, 112(a0)",
    "    ld a5, 120(a0)",
    "    ld a6, 128(a0)",
    "    ld a7, 136(a0)",
    "    ld a0, 80(a0)",
    "    j 5f",
    // The way out behind a system call, whose status is 0: a0 = registers; results are in their
    // registers: a1 to a6, a7 = information word, t0 and t1.
    ".globl _resume",
    "_resume:",
    "    ld t3, 256(a0)",
    "    sd a0, {frame}(tp)",
    "    ld sp, 16(a0)",
    "    ld gp, 24(a0)",
    "    ld tp, 32(a0)",
    "    addi t3, t3, 4",
    "    csrw sepc, t3",
    "    li a0, 0",
    "5:  li ra, 0",
    "    li t2, 0",
    "    li s0, 0",
    "    li s1, 0",
    "    li s2, 0",
    "    li s3, 0",
    "    li s4, 0",
    "    li s5, 0",
    "    li s6, 0",
    "    li s7, 0",
    "    li s8, 0",
    "    li s9, 0",
    "    li s10, 0",
    "    li s11, 0",
    "    li t3, 0",
    "    li t4, 0",
    "    li t5, 0",
    "    li t6, 0",
    "    sret",
    ".popsection",
    call = sym crate::trap::call,
    reply_receive = sym crate::trap::reply_receive,
    signal = sym crate::trap::signal,
    identify = sym crate::trap::identify,
    call_number = const CallNumber::Call as usize,
    reply_receive_number = const CallNumber::ReplyReceive as usize,
    signal_number = const CallNumber::Signal as usize,
    rare_call = sym crate::trap::rare_call,
    supervisor = const SPP,
    virtual = const SPV,
    scratch = const SCRATCH,
    frame = const FRAME,
    stack = const STACK,
    mode = const MODE,
    trap = sym crate::trap::trap,
    exit = sym crate::trap::exit,
    kernel_trap = sym crate::trap::kernel_trap,
    boot_stack_end = sym _boot_stack_end,
);

unsafe extern "C" {
    /// First byte of the zeroed part of the image.
    pub static _bss_start: u8;
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
    /// First byte behind the boot hart's stack.
    pub static _boot_stack_end: u8;
    fn _enable_translation();
    /// First instruction of a hart that the kernel starts.
    pub fn _start_secondary();
    /// First instruction of every trap.
    pub fn _trap_entry();
    /// Saves the arguments of a system call, and makes it; only for assembly, with the arguments in
    /// their registers.
    pub fn _save_arguments() -> !;
    /// Returns behind a system call; only for assembly, which puts the results into registers.
    pub fn _resume() -> !;
    /// Loads the registers at an address and returns from the trap.
    pub fn _return_to(registers: u64) -> !;
    /// The same for a frame that is behind a call.
    pub fn _return_behind(registers: u64) -> !;
}
