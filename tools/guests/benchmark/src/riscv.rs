//! RISC-V: SBI calls and accesses to the UART, each between two readings of `instret`.

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};

use crate::rows::{self, Counted};

/// The UART's scratch register.
const SCRATCH: u64 = 0x1000_0007;

/// SBI extensions.
const BASE: u64 = 0x10;
const TIME: u64 = 0x5449_4d45;
const IPI: u64 = 0x0073_5049;
const RFENCE: u64 = 0x5246_4e43;
const CONSOLE: u64 = 0x4442_434e;
const RESET: u64 = 0x5352_5354;

global_asm!(
    ".pushsection .text.start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "    la sp, _stack_end",
    "    call {main}",
    "    unimp",
    ".popsection",
    main = sym main,
);

/// Makes an SBI call between two readings of the counter.
#[inline(never)]
fn sbi(extension: u64, function: u64, arguments: [u64; 4]) -> Counted {
    let [a0, a1, a2, a3] = arguments;
    let (before, after, error): (u64, u64, u64);
    // SAFETY: the calls made here write no memory and return.
    unsafe {
        asm!(
            "rdinstret t3",
            "ecall",
            "rdinstret t4",
            inlateout("a0") a0 => error,
            inlateout("a1") a1 => _,
            in("a2") a2,
            in("a3") a3,
            in("a6") function,
            in("a7") extension,
            lateout("t3") before,
            lateout("t4") after,
        );
    }
    Counted {
        instructions: after.wrapping_sub(before),
        is_refused: error != 0,
    }
}

/// Loads a byte between two readings of the counter.
#[inline(never)]
fn load(address: u64) -> Counted {
    let (before, after): (u64, u64);
    // SAFETY: the address is a register of the UART without effects.
    unsafe {
        asm!(
            "rdinstret {before}",
            "lbu {value}, 0({address})",
            "rdinstret {after}",
            before = out(reg) before,
            value = out(reg) _,
            after = out(reg) after,
            address = in(reg) address,
        );
    }
    Counted {
        instructions: after.wrapping_sub(before),
        is_refused: false,
    }
}

/// Stores a byte between two readings of the counter.
#[inline(never)]
fn store(address: u64) -> Counted {
    let (before, after): (u64, u64);
    // SAFETY: the address is a register of the UART without effects.
    unsafe {
        asm!(
            "rdinstret {before}",
            "sb zero, 0({address})",
            "rdinstret {after}",
            before = out(reg) before,
            after = out(reg) after,
            address = in(reg) address,
        );
    }
    Counted {
        instructions: after.wrapping_sub(before),
        is_refused: false,
    }
}

/// Returns how far two readings next to each other are apart.
fn cost() -> u64 {
    let (before, after): (u64, u64);
    // SAFETY: reads the counter twice.
    unsafe { asm!("rdinstret {}", "rdinstret {}", out(reg) before, out(reg) after) };
    after.wrapping_sub(before)
}

/// Marks the end of a row, for who traces the machine's instructions: it does nothing.
pub fn mark() {
    // SAFETY: a hint, which changes no register.
    unsafe { asm!("slti zero, zero, 92", options(nostack, preserves_flags)) };
}

/// The console of the firmware interface.
struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            sbi(CONSOLE, 2, [u64::from(byte), 0, 0, 0]);
        }
        Ok(())
    }
}

/// Where memory begins.
const MEMORY: u64 = 0x8000_0000;

/// Measures everything and switches the virtual machine off.
extern "C" fn main(hart: u64) -> ! {
    let cost = cost();
    let row = |name, action: &dyn Fn() -> Counted| rows::row(&mut Console, name, cost, action);
    rows::first_touches(&mut Console, MEMORY, cost, load);
    row("exit_to_vcpu_server", &|| sbi(BASE, 0, [0; 4]));
    row("device_access_described", &|| load(SCRATCH));
    row("device_store_described", &|| store(SCRATCH));
    row("set_timer", &|| sbi(TIME, 0, [u64::MAX, 0, 0, 0]));
    row("ipi_to_self", &|| sbi(IPI, 0, [1, hart, 0, 0]));
    row("remote_fence_to_self", &|| {
        sbi(RFENCE, 1, [1, hart, 0, u64::MAX])
    });
    sbi(RESET, 0, [0; 4]);
    loop {
        core::hint::spin_loop();
    }
}
