//! Stops the machine, as a failure.

use crate::console::{Console, write_port};
use core::arch::asm;
use core::fmt::{self, Write};

/// Port of QEMU's isa-debug-exit, where there is one.
const DEBUG_EXIT: u16 = 0xf4;
/// QEMU's exit status becomes `FAILURE << 1 | 1`.
const FAILURE: u8 = 1;

/// Writes a line and stops the machine.
pub fn stop(line: fmt::Arguments<'_>) -> ! {
    // Nothing can be done about a console that fails.
    let _ = writeln!(Console, "{line}");
    // SAFETY: isa-debug-exit ends the machine; without it nothing answers at this port (1).
    unsafe { write_port(DEBUG_EXIT, FAILURE) };
    loop {
        // SAFETY: interrupts are off for good, and HLT touches no memory.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Stops the machine because the kernel asked for what it cannot do yet.
pub fn not_ported(what: &str) -> ! {
    stop(format_args!(
        "skerry: bsp-x86 is an entry stub; `{what}` is not ported"
    ))
}
