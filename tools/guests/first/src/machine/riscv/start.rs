//! Where the harts begin, and where they trap.

use core::arch::global_asm;
use core::hint::spin_loop;

use riscv_regs::cause::Interrupt;

use super::{catch, csr, facts, firmware, port};
use crate::interrupts::{self, Source};
use crate::{laws, second};

global_asm!(
    ".pushsection .text.start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "    la sp, _stack_end",
    "    li tp, 0",
    "    tail {first}",
    "_second:",
    "    la sp, _second_stack_end",
    "    li tp, 1",
    "    tail {second}",
    ".popsection",
    first = sym first,
    second = sym second,
);

// A trap keeps the stack that it finds: there is no user mode here.
global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    ".balign 4",
    "_trap:",
    "    addi sp, sp, -144",
    "    .irp n, 1, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17",
    "    sd x\\n, (\\n*8)(sp)",
    "    .endr",
    "    sd x28, 0(sp)",
    "    sd x29, 16(sp)",
    "    sd x30, 24(sp)",
    "    sd x31, 32(sp)",
    "    csrr a0, scause",
    "    csrr a1, sepc",
    "    csrr a2, stval",
    "    call {trap}",
    "    csrw sepc, a0",
    "    ld x28, 0(sp)",
    "    ld x29, 16(sp)",
    "    ld x30, 24(sp)",
    "    ld x31, 32(sp)",
    "    .irp n, 1, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17",
    "    ld x\\n, (\\n*8)(sp)",
    "    .endr",
    "    addi sp, sp, 144",
    "    sret",
    ".popsection",
    trap = sym trap,
);

unsafe extern "C" {
    /// The second hart's first instruction.
    fn _second() -> !;
    /// Where traps go.
    fn _trap() -> !;
}

/// Returns the address at which the second hart begins.
pub fn second_entry() -> u64 {
    let entry: unsafe extern "C" fn() -> ! = _second;
    entry as usize as u64
}

/// Lets this hart take traps, and the interrupts that the guest knows.
fn prepare() {
    let vector: unsafe extern "C" fn() -> ! = _trap;
    csr::write!("stvec", vector as usize as u64);
    csr::write!("sie", csr::SOFTWARE | csr::TIMER | csr::EXTERNAL);
    csr::set!("sstatus", csr::FS_INITIAL);
}

/// The first hart's beginning: its number, and where the device tree is.
extern "C" fn first(hart: u64, tree: *const u8) -> ! {
    prepare();
    facts::read(hart, tree);
    laws::run()
}

/// The second hart's beginning.
extern "C" fn second() -> ! {
    prepare();
    second::live()
}

/// Handles a trap; returns where to go on.
extern "C" fn trap(cause: u64, program_counter: u64, value: u64) -> u64 {
    if cause >> 63 == 0 {
        return catch::exception(cause, program_counter, value);
    }
    match Interrupt::from_number(cause << 1 >> 1) {
        Some(Interrupt::SupervisorSoftware) => {
            csr::clear!("sip", csr::SOFTWARE);
            interrupts::note(Source::Processor);
        }
        Some(Interrupt::SupervisorTimer) => {
            firmware::set_timer(u64::MAX);
            interrupts::note(Source::Timer);
        }
        Some(Interrupt::SupervisorExternal) => {
            if port::quiet() {
                interrupts::note(Source::Device);
            }
        }
        _ => loop {
            spin_loop();
        },
    }
    program_counter
}
