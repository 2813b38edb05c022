//! Where the CPUs begin, and where they are interrupted.

use core::arch::{asm, global_asm};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use s390_regs::PswMask;
use s390_regs::lowcore::{self, external};

use super::{control, countdown, facts, laws as exceptions, prefix, service};
use crate::interrupts::{self, Source};
use crate::{laws, second};

/// 64-bit addresses, nothing enabled.
const RUN: u64 = PswMask::BITS_64.into_bits();
/// A disabled wait.
const STOP: u64 = PswMask::BITS_64.with_wait(true).into_bits();

global_asm!(
    ".pushsection .lowcore, \"a\", @progbits",
    // IPL PSW: ESA/390, 31-bit addresses, at 0x10000.
    ".long 0x00080000, 0x80010000",
    ".org {new}",
    // Restart, external, supervisor call, program, machine check, input/output.
    ".quad {run}, _start",
    ".quad {run}, _external_entry",
    ".quad {stop}, 0x1c0",
    ".quad {run}, _program_entry",
    ".quad {stop}, 0x1e0",
    ".quad {stop}, 0x1f0",
    ".popsection",
    ".pushsection .text.start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    // Set architecture: z/Architecture for all CPUs; refused where it is that already.
    "    lhi %r1, 1",
    "    slr %r0, %r0",
    "    sigp %r1, %r0, 0x12",
    "    sam64",
    "    larl %r15, _stack_end - 160",
    "    brasl %r14, {first}",
    "    j .",
    "_second_start:",
    "    sam64",
    "    lg %r15, {stack}",
    "    brasl %r14, {second}",
    "    j .",
    ".popsection",
    ".pushsection .text, \"ax\", @progbits",
    ".balign 8",
    "_external_entry:",
    "    stmg %r0, %r15, {external_registers}",
    "    aghi %r15, -160",
    "    brasl %r14, {external}",
    // Who waited waits no more, and takes no interruptions.
    "    tm {external_old} + 1, 2",
    "    jz 1f",
    "    ni {external_old} + 1, 0xfd",
    "    ni {external_old}, 0xfc",
    "1:  lmg %r0, %r15, {external_registers}",
    "    lpswe {external_old}",
    ".balign 8",
    "_program_entry:",
    "    stmg %r0, %r15, {program_registers}",
    "    aghi %r15, -160",
    "    brasl %r14, {program}",
    "    lmg %r0, %r15, {program_registers}",
    "    lpswe {program_old}",
    ".popsection",
    new = const lowcore::NEW,
    run = const RUN,
    stop = const STOP,
    stack = const prefix::STACK,
    external_registers = const prefix::EXTERNAL_REGISTERS,
    program_registers = const prefix::PROGRAM_REGISTERS,
    external_old = const lowcore::EXTERNAL_OLD,
    program_old = const lowcore::PROGRAM_OLD,
    first = sym first,
    second = sym second,
    external = sym external_interruption,
    program = sym exceptions::program_interruption,
);

/// The second CPU's prefix area.
#[repr(C, align(8192))]
struct Area([AtomicU64; lowcore::BYTES as usize / 8]);

/// The area.
static SECOND: Area = Area([const { AtomicU64::new(0) }; lowcore::BYTES as usize / 8]);

unsafe extern "C" {
    static _second_stack_end: u8;
    /// The second CPU's first instruction.
    fn _second_start() -> !;
}

/// Fills the second CPU's prefix area and returns its address.
pub fn second_prefix() -> u64 {
    let word = |offset: u64| &SECOND.0[offset as usize / 8];
    for offset in (lowcore::NEW..lowcore::SOFTWARE).step_by(8) {
        word(offset).store(prefix::load(offset), Relaxed);
    }
    let entry: unsafe extern "C" fn() -> ! = _second_start;
    word(lowcore::NEW + 8).store(entry as usize as u64, Relaxed);
    word(prefix::INDEX).store(1, Relaxed);
    // A caller leaves 160 bytes for the callee.
    let stack = (&raw const _second_stack_end).addr() as u64 - 160;
    word(prefix::STACK).store(stack, Relaxed);
    SECOND.0.as_ptr().addr() as u64
}

/// The boot CPU's beginning.
extern "C" fn first() -> ! {
    control::set_comparator(u64::MAX);
    control::open(false);
    service::find_console();
    facts::read();
    laws::run()
}

/// The second CPU's beginning.
extern "C" fn second() -> ! {
    control::set_comparator(u64::MAX);
    control::open(false);
    second::live()
}

/// Handles an external interruption.
extern "C" fn external_interruption() {
    match prefix::load_half(lowcore::EXTERNAL + 6) {
        external::EMERGENCY_SIGNAL => interrupts::note(Source::Processor),
        external::CLOCK_COMPARATOR => {
            control::set_comparator(u64::MAX);
            interrupts::note(Source::Timer);
        }
        external::CPU_TIMER => countdown::note(),
        external::SERVICE_SIGNAL => {
            if service::note_signal() {
                interrupts::note(Source::Device);
            }
        }
        _ => loop {
            // SAFETY: nothing that the guest opened itself to; it stands still.
            unsafe { asm!("lpswe 0x1f0", options(nostack)) };
        },
    }
}
