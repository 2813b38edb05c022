//! First instructions of a CPU, and the way in and out of the kernel.
//!
//! The kernel runs with DAT off: real addresses are memory's own, but for the 8 KiB at address 0,
//! which are this CPU's prefix area. Its software part is `percore::Lowcore`.

use crate::machine::S390;
use crate::percore::{CALL_RETURN, FRAME, IN_GUEST, RESUME, RETURN, SCRATCH, STACK, ZEROS};
use abi::CallNumber;
use core::mem::offset_of;
use kernel::object::thread::Thread;
use s390_regs::{PswMask, lowcore};

/// Bytes of a CPU's kernel stack.
pub const STACK_BYTES: u64 = 16 * 1024;
/// Bytes of the stack that the boot CPU starts on: the kernel is built there before it is moved to
/// its place.
const BOOT_STACK_BYTES: u64 = 2 * STACK_BYTES;
/// Bytes that a caller leaves above its frame for the callee (s390x ELF ABI, "Stack Frame Layout").
pub const FRAME_BYTES: u64 = 160;
/// 64-bit addresses, nothing enabled.
const RUN: u64 = PswMask::BITS_64.into_bits();
/// A disabled wait: stops the CPU for good.
const STOP: u64 = PswMask::BITS_64.with_wait(true).into_bits();
/// Bytes of the SVC instruction.
const CALL_BYTES: u64 = 2;
/// Kinds of entry, as `trap` takes them.
pub mod kind {
    /// A supervisor call that EXECUTE ran.
    pub const CALL: u64 = 0;
    /// A program interruption.
    pub const PROGRAM: u64 = 1;
    /// An external interruption.
    pub const EXTERNAL: u64 = 2;
    /// An input/output interruption.
    pub const INPUT_OUTPUT: u64 = 3;
}

core::arch::global_asm!(
    ".pushsection .lowcore, \"a\", @progbits",
    // IPL PSW: ESA/390, 31-bit addresses, at 0x10000.
    ".long 0x00080000, 0x80010000",
    ".org {new}",
    // Restart, external, supervisor call, program, machine check, input/output. An operator who
    // restarts this CPU stops it: `_start` is no longer there, and no state would fit it.
    ".quad {stop}, 0x1a0",
    ".quad {run}, _external_entry",
    ".quad {run}, _call_entry",
    ".quad {run}, _program_entry",
    ".quad {stop}, 0x1e0",
    ".quad {run}, _input_output_entry",
    ".popsection",
    ".pushsection .head, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    // Set architecture: z/Architecture for all CPUs; refused where it is that already.
    "    lhi %r1, 1",
    "    slr %r0, %r0",
    "    sigp %r1, %r0, 0x12",
    "    sam64",
    // The high halves hold anything after an IPL in ESA/390 mode.
    "    larl %r15, _boot_stack_end - {frame_bytes}",
    "    larl %r2, _bss_start",
    "    larl %r3, _bss_end",
    "    lghi %r0, 0",
    "1:  clgr %r2, %r3",
    "    jnl 2f",
    "    stg %r0, 0(%r2)",
    "    aghi %r2, 8",
    "    j 1b",
    "2:  stg %r0, 0(%r15)",
    "    brasl %r14, {boot}",
    "    j .",
    // The other CPUs, restarted with a prefix area of their own. An operator's restart afterwards
    // finds the PSW of a machine check: it stops this CPU too.
    ".globl _start_secondary",
    "_start_secondary:",
    "    sam64",
    "    mvc {new}(16), {new} + 64",
    "    lg %r15, {stack}",
    "    brasl %r14, {secondary}",
    "    j .",
    ".popsection",
    new = const lowcore::NEW,
    run = const RUN,
    stop = const STOP,
    frame_bytes = const FRAME_BYTES,
    stack = const STACK,
    boot = sym crate::boot::boot_cpu,
    secondary = sym crate::cores::secondary_cpu,
);

core::arch::global_asm!(
    ".pushsection .bss.stack, \"aw\", @nobits",
    ".balign 16",
    ".globl _boot_stack_end",
    ".skip {bytes}",
    "_boot_stack_end:",
    ".popsection",
    bytes = const BOOT_STACK_BYTES,
);

core::arch::global_asm!(
    // The way in. The frame is r0 to r15, the PSW, access registers 0 and 1.
    ".pushsection .text, \"ax\", @progbits",
    ".balign 8",
    // A system call: its arguments and what it preserves are saved. The PSW's address goes back to
    // the instruction, so that the call can be made again.
    "_call_entry:",
    "    cli {codes} + 1, {call_bytes}",
    "    jne 6f",
    "    lg %r14, {frame}",
    "    stmg %r1, %r9, 8(%r14)",
    "    stg %r15, 120(%r14)",
    "    stam %a0, %a1, 144(%r14)",
    "    lg %r15, {call_old} + 8",
    "    aghi %r15, -{call_bytes}",
    "    mvc 128(8, %r14), {call_old}",
    "    stg %r15, 136(%r14)",
    "    lg %r15, {stack}",
    // Each of the most frequent calls has a function of its own, so that it needs few registers.
    "    llgcr %r0, %r1",
    "    lgr %r3, %r1",
    "    lay %r4, -{frame_in_thread}(%r14)",
    "    cgije %r0, {call_number}, 3f",
    "    cgije %r0, {reply_receive_number}, 4f",
    "    cgije %r0, {signal_number}, 5f",
    "    ltgr %r0, %r0",
    "    jge {identify}",
    "    jg {rare_call}",
    "3:  jg {system_call}",
    "4:  jg {reply_receive}",
    "5:  jg {signal}",
    // One that EXECUTE ran is none: its address cannot be told from its length.
    "6:  stmg %r14, %r15, {scratch}",
    "    lg %r14, {frame}",
    "    mvc 128(16, %r14), {call_old}",
    "    stmg %r0, %r13, 0(%r14)",
    "    lghi %r2, {call}",
    "    j 2f",
    ".balign 8",
    "_program_entry:",
    "    tm {program_old} + 1, 1",
    "    jz 9f",
    "    stmg %r14, %r15, {scratch}",
    "    lg %r14, {frame}",
    "    mvc 128(16, %r14), {program_old}",
    "    stmg %r0, %r13, 0(%r14)",
    "    lghi %r2, {program}",
    "    j 2f",
    ".balign 8",
    "_external_entry:",
    "    tm {external_old} + 1, 1",
    "    jz 7f",
    "    stmg %r14, %r15, {scratch}",
    "    lg %r14, {frame}",
    "    mvc 128(16, %r14), {external_old}",
    "    stmg %r0, %r13, 0(%r14)",
    "    lghi %r2, {external}",
    "    j 2f",
    ".balign 8",
    "_input_output_entry:",
    "    tm {input_output_old} + 1, 1",
    "    jz 8f",
    "    stmg %r14, %r15, {scratch}",
    "    lg %r14, {frame}",
    "    mvc 128(16, %r14), {input_output_old}",
    "    stmg %r0, %r13, 0(%r14)",
    "    lghi %r2, {input_output}",
    "2:  mvc 112(16, %r14), {scratch}",
    "    stam %a0, %a1, 144(%r14)",
    "    lg %r15, {stack}",
    "    brasl %r14, {trap}",
    "    j .",
    // An interruption of the kernel, which opens itself to them in `_wait`,
    // or in a guest.
    "7:  cli {in_guest}, 0",
    "    jne _external_in_guest",
    "    lghi %r2, {external}",
    "    j 1f",
    "8:  cli {in_guest}, 0",
    "    jne _input_output_in_guest",
    "    lghi %r2, {input_output}",
    "1:  lg %r15, {resume}",
    "    lmg %r6, %r15, 48(%r15)",
    "    br %r14",
    // A program interruption of the kernel: an access of a guest, or a bug.
    "9:  cli {in_guest}, 0",
    "    jne _program_in_guest",
    "    larl %r15, _boot_stack_end - {frame_bytes}",
    "    brasl %r14, {kernel_trap}",
    "    j .",
    // Loads a PSW that is open to interruptions: r2 = its mask. Returns the kind of the
    // interruption, or, if the mask does not wait and none is pending, -1.
    ".globl _wait",
    "_wait:",
    "    stmg %r6, %r15, 48(%r15)",
    "    stg %r15, {resume}",
    "    larl %r3, 3f",
    "    stmg %r2, %r3, {return_}",
    "    lpswe {return_}",
    "3:  stnsm {scratch}, 0xfc",
    "    lghi %r2, -1",
    "    br %r14",
    // The way out: r2 = registers; the PSW is in the lowcore.
    ".globl _return_to",
    "_return_to:",
    "    lam %a0, %a1, 144(%r2)",
    "    lmg %r0, %r15, 0(%r2)",
    "    lpswe {return_}",
    // The way out behind a system call, whose status is 0: r12 = registers, r1 and r9 = information
    // word and result 7; the other results are the six words of r14's arguments.
    ".globl _resume",
    "_resume:",
    "    lmg %r3, %r8, 24(%r14)",
    "    lghi %r2, 0",
    "    lg %r0, 136(%r12)",
    "    aghi %r0, {call_bytes}",
    "    stg %r0, {call_return} + 8",
    "    lam %a0, %a1, 144(%r12)",
    "    lg %r15, 120(%r12)",
    "    lghi %r0, 0",
    "    lmg %r10, %r14, {zeros}",
    "    lpswe {call_return}",
    // The same, with results that are in their registers already: r1, r3 to r10.
    ".globl _resume_with",
    "_resume_with:",
    "    lghi %r2, 0",
    "    lg %r0, 136(%r12)",
    "    aghi %r0, {call_bytes}",
    "    stg %r0, {call_return} + 8",
    "    lam %a0, %a1, 144(%r12)",
    "    lg %r15, 120(%r12)",
    "    lghi %r0, 0",
    "    lmg %r11, %r14, {zeros}",
    "    lpswe {call_return}",
    ".popsection",
    scratch = const SCRATCH,
    frame = const FRAME,
    stack = const STACK,
    resume = const RESUME,
    in_guest = const IN_GUEST,
    return_ = const RETURN,
    call_return = const CALL_RETURN,
    call_bytes = const CALL_BYTES,
    codes = const lowcore::CODES,
    zeros = const ZEROS,
    call = const kind::CALL,
    program = const kind::PROGRAM,
    external = const kind::EXTERNAL,
    input_output = const kind::INPUT_OUTPUT,
    call_old = const lowcore::CALL_OLD,
    program_old = const lowcore::PROGRAM_OLD,
    external_old = const lowcore::EXTERNAL_OLD,
    input_output_old = const lowcore::INPUT_OUTPUT_OLD,
    frame_bytes = const FRAME_BYTES,
    trap = sym crate::trap::trap,
    system_call = sym crate::trap::call,
    reply_receive = sym crate::trap::reply_receive,
    signal = sym crate::trap::signal,
    identify = sym crate::trap::identify,
    rare_call = sym crate::trap::rare_call,
    call_number = const CallNumber::Call as usize,
    reply_receive_number = const CallNumber::ReplyReceive as usize,
    signal_number = const CallNumber::Signal as usize,
    frame_in_thread = const offset_of!(Thread<S390>, frame),
    kernel_trap = sym crate::trap::kernel_trap,
);

unsafe extern "C" {
    /// First byte of the image behind the entry.
    pub static _image_start: u8;
    /// First byte behind the code that only runs before the first process.
    pub static _boot_end: u8;
    /// First byte behind the image.
    pub static _image_end: u8;
    /// First byte behind the boot CPU's stack.
    pub static _boot_stack_end: u8;
    /// First instruction of a CPU that the kernel starts.
    pub fn _start_secondary();
    /// Opens the CPU to interruptions; see the code.
    ///
    /// # Safety
    ///
    /// 1. `mask` is that of a PSW for the kernel: 64-bit addresses, DAT off, supervisor state.
    /// 2. Who runs this expects every interruption that the mask and the control registers enable.
    pub fn _wait(mask: u64) -> i64;
    /// Returns behind a system call; only for assembly, which puts the results into registers.
    pub fn _resume() -> !;
    /// The same, with the results in their registers already.
    pub fn _resume_with() -> !;
    /// Loads the registers at an address and the PSW of the lowcore.
    ///
    /// # Safety
    ///
    /// 1. `registers` is the frame of a thread that nobody else uses until the next trap.
    /// 2. The lowcore's PSW is that of a thread, and its frame address is `registers`.
    pub fn _return_to(registers: u64) -> !;
}
