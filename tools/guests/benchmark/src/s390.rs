//! s390x by SIE: instructions that leave the guest, each between two marks.
//!
//! The machine has no counter of instructions, and a guest sees none of its host's. So the emulator
//! traces every instruction from this guest's first one on, and who reads the trace counts those
//! between marks: LOAD HALFWORD IMMEDIATE of numbers that nobody else loads into general register 0.
//! All of it is short, for the trace is not.

use core::arch::{asm, global_asm};

use s390_regs::PswMask;

/// Number of the mark behind each row.
const END: u16 = 0x5b00;
/// Numbers of the marks before rows: a loop of known length, and the rows of the table.
const LOOP: u16 = 0x5b01;
const EXIT: u16 = 0x5b02;
const FORWARDED: u16 = 0x5b03;
const FAULT: u16 = 0x5b04;

/// Passes of the loop of known length.
const PASSES: u16 = 1000;
/// Rounds of a row.
const ROUNDS: usize = 21;
/// DIAGNOSE that gives up the turn: there is nobody else.
const YIELD: u16 = 0x44;
/// DIAGNOSE that accesses a register of a device: a byte of the UART's scratch register.
const ACCESS: u16 = 0x510;
const SCRATCH: u64 = 7;
/// Memory is 34 MiB, mapped when it is touched: a folio of 32 MiB, in which the guest itself lies, and the
/// smallest that there is.
const LAST_FOLIO: u64 = 32 << 20;
/// Where the disabled wait of a machine that ends well is.
const ENDED_WELL: u64 = 0xfff;

global_asm!(
    ".pushsection .text.start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "    sam64",
    "    larl %r15, _stack_end - 160",
    "    brasl %r14, {main}",
    "    j .",
    ".popsection",
    main = sym main,
);

/// Executes instructions between the mark of a row and that behind all rows, with general registers 2
/// and 3 as given.
macro_rules! counted {
    ($mark:ident, ($second:expr, $third:expr), $($instruction:literal),+ $(, $name:ident)*) => {
        // SAFETY: the instructions change general registers 0 to 2 and the condition code, no memory.
        unsafe {
            asm!(
                "lhi %r0, {mark}",
                $($instruction,)+
                "lhi %r0, {end}",
                mark = const $mark,
                end = const END,
                $($name = const $name,)*
                out("r0") _,
                out("r1") _,
                inout("r2") $second => _,
                in("r3") $third,
                options(nostack),
            );
        }
    };
}

/// Executes everything and ends.
extern "C" fn main() -> ! {
    counted!(
        LOOP,
        (0_u64, 0_u64),
        "lghi %r1, {PASSES}",
        "2: brctg %r1, 2b",
        PASSES
    );
    counted!(FAULT, (0_u64, LAST_FOLIO), "lg %r2, 0(%r3)");
    for _ in 0..ROUNDS {
        counted!(
            EXIT,
            (0_u64, 0_u64),
            ".insn rs, 0x83000000, %r0, %r0, {YIELD}",
            YIELD
        );
    }
    for _ in 0..ROUNDS {
        counted!(
            FORWARDED,
            (0_u64, SCRATCH),
            ".insn rs, 0x83000000, %r2, %r3, {ACCESS}",
            ACCESS
        );
    }
    let psw = [PswMask::BITS_64.with_wait(true).into_bits(), ENDED_WELL];
    loop {
        // SAFETY: a disabled wait is how a machine ends.
        unsafe { asm!("lpswe 0({})", in(reg_addr) &raw const psw, options(nostack)) };
    }
}
