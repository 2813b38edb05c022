//! SIE: the block of a virtual CPU, and the way into the guest and back.
//!
//! The guest's absolute addresses are translated by the primary space, which is the guest's
//! while SIE runs. A guest has all floating-point and access registers; those that a process can
//! read (`float.rs`) are saved and cleared on the way out.

use crate::entry::kind;
use crate::guest::S390Guest;
use crate::percore::{self, CONTROL, IN_GUEST, PerCore, RESUME, SCRATCH, ZEROS};
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::word::Word;
use s390_regs::lowcore;
use s390_regs::sie::{BYTES, Field};
use zerocopy::FromBytes;

/// The state description of a virtual CPU.
#[derive(FromBytes)]
#[repr(C, align(512))]
pub struct Block([Word; BYTES / 8]);

impl Block {
    /// Makes an empty block.
    pub const fn new() -> Self {
        Self([const { Word::new(0) }; BYTES / 8])
    }

    /// Returns the doubleword that has a field.
    pub fn word(&self, field: Field) -> Option<&AtomicU64> {
        self.0.get(field.word()).map(Word::shared)
    }

    /// Returns a field.
    #[inline(always)]
    pub fn get(&self, field: Field) -> u64 {
        self.0
            .get(field.word())
            .map_or(0, |word| field.of(word.get()))
    }

    /// Sets a field.
    #[inline(always)]
    pub fn set(&self, field: Field, value: u64) {
        if let Some(word) = self.0.get(field.word()) {
            word.set(field.placed(word.get(), value));
        }
    }
}

/// Whether the machine runs guests.
static IS_SUPPORTED: AtomicBool = AtomicBool::new(false);

/// Returns whether the machine runs guests.
pub fn is_supported() -> bool {
    IS_SUPPORTED.load(Ordering::Relaxed)
}

/// A block that no machine with SIE runs, to find out whether this one has it.
static PROBE: S390Guest = S390Guest::new();

/// Finds out whether this CPU has SIE, as the service processor says: without it the instruction is
/// a program interruption; with it, the probe's memory that ends before it begins is not valid.
pub fn probe() -> bool {
    PROBE.make_invalid();
    let left = enter(percore::current(), &PROBE);
    let has = left == Left::Intercepted && PROBE.was_invalid();
    IS_SUPPORTED.store(has, Ordering::Relaxed);
    has
}

/// How a guest was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// By an interception, which the block has.
    Intercepted,
    /// By a program interruption of the host, which the prefix area has.
    Program,
    /// By an interruption of the host, of this kind.
    Interrupted(u64),
}

/// Runs a guest until it leaves.
pub fn enter(cpu: &PerCore, guest: &S390Guest) -> Left {
    guest.prepare(cpu);
    // SAFETY: the block is prepared: it is this CPU's alone, its memory is what its space maps, and
    // its registers are a page; the CPU is open to interruptions in between only, which are handled
    // behind it, and all registers that the calling convention preserves come back.
    match unsafe { _sie_enter(guest) } {
        -1 => Left::Intercepted,
        left if left == kind::PROGRAM as i64 => Left::Program,
        left => Left::Interrupted(left.unsigned_abs()),
    }
}

global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    ".balign 8",
    // r2 = the guest. Returns -1, or the kind of the interruption. From the load of its registers
    // on, r14 is the guest; interruptions join behind the SIE, where r2 is what is returned.
    ".globl _sie_enter",
    "_sie_enter:",
    "    stmg %r6, %r15, 48(%r15)",
    "    stg %r15, {resume}",
    "    lgr %r14, %r2",
    "    lg %r15, {registers}(%r14)",
    "    mvi {in_guest}, 1",
    "    lctlg %c0, %c1, {control}(%r14)",
    "    ld %f0, {float}(%r14)",
    "    ld %f2, {float} + 16(%r14)",
    "    ld %f4, {float} + 32(%r14)",
    "    ld %f6, {float} + 48(%r14)",
    "    lam %a0, %a15, {access}(%r14)",
    "    lmg %r0, %r13, 0(%r15)",
    "    stosm {scratch}, 3",
    "    .insn s, 0xb2140000, 0(%r14)",
    "    stnsm {scratch}, 0xfc",
    "    lg %r15, {registers}(%r14)",
    "    stmg %r0, %r13, 0(%r15)",
    "    lghi %r2, -1",
    "    j 1f",
    ".globl _external_in_guest, _input_output_in_guest, _program_in_guest",
    "_external_in_guest:",
    "    lg %r15, {registers}(%r14)",
    "    stmg %r0, %r13, 0(%r15)",
    "    lghi %r2, {external}",
    "    j 1f",
    "_input_output_in_guest:",
    "    lg %r15, {registers}(%r14)",
    "    stmg %r0, %r13, 0(%r15)",
    "    lghi %r2, {input_output}",
    "    j 1f",
    "_program_in_guest:",
    "    lg %r15, {registers}(%r14)",
    "    stmg %r0, %r13, 0(%r15)",
    "    lghi %r2, {program}",
    "1:  std %f0, {float}(%r14)",
    "    std %f2, {float} + 16(%r14)",
    "    std %f4, {float} + 32(%r14)",
    "    std %f6, {float} + 48(%r14)",
    "    stam %a0, %a15, {access}(%r14)",
    "    lctlg %c0, %c1, {host_control}",
    "    mvi {in_guest}, 0",
    "    lzdr %f0",
    "    lzdr %f2",
    "    lzdr %f4",
    "    lzdr %f6",
    "    lamy %a2, %a15, {zeros}",
    "    lg %r15, {resume}",
    "    lmg %r6, %r15, 48(%r15)",
    "    br %r14",
    ".popsection",
    resume = const RESUME,
    scratch = const SCRATCH,
    in_guest = const IN_GUEST,
    host_control = const CONTROL,
    control = const offset_of!(S390Guest, control),
    registers = const offset_of!(S390Guest, registers),
    float = const offset_of!(S390Guest, float),
    access = const offset_of!(S390Guest, access),
    external = const kind::EXTERNAL,
    input_output = const kind::INPUT_OUTPUT,
    program = const kind::PROGRAM,
    zeros = const ZEROS,
);

unsafe extern "C" {
    /// Runs a guest; see the code.
    ///
    /// # Safety
    ///
    /// 1. The guest's block is valid or invalid as SIE tells, and no other CPU uses it.
    /// 2. Its control registers are this CPU's with the guest's space, its registers a page.
    /// 3. Every interruption that those enable is expected behind it.
    fn _sie_enter(guest: *const S390Guest) -> i64;
}

/// Returns the code of the program interruption that a guest was left by, and its identification.
pub fn host_program_interruption() -> (u16, u64) {
    let code = percore::stored(lowcore::CODES) as u16 & !0x80;
    (code, percore::stored(lowcore::TRANSLATION_EXCEPTION))
}
