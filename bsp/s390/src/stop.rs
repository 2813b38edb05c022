//! Stops the machine, as a failure.

use crate::console::Console;
use core::arch::asm;
use core::fmt::{self, Write};
use s390_regs::PswMask;

/// A disabled wait at address 0: QEMU's guest panic, so that `-action panic=exit-failure` ends with
/// a failure status; 0xfff would be a success.
static FAILURE: [u64; 2] = [PswMask::BITS_64.with_wait(true).into_bits(), 0];

/// Writes a line and stops the machine.
pub fn stop(line: fmt::Arguments<'_>) -> ! {
    // Nothing can be done about a console that fails.
    let _ = writeln!(Console, "{line}");
    // SAFETY: the PSW is valid, and with every interrupt disabled the CPU never goes on.
    unsafe { asm!("lpswe 0({})", in(reg_addr) FAILURE.as_ptr(), options(noreturn)) }
}

/// Stops the machine because the kernel asked for what it cannot do yet.
pub fn not_ported(what: &str) -> ! {
    stop(format_args!(
        "skerry: bsp-s390 is an entry stub; `{what}` is not ported"
    ))
}
