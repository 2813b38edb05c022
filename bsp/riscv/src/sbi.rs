//! Calls of the supervisor binary interface (SBI 2.0).

use core::arch::asm;

/// TIME extension.
pub const TIME: u64 = 0x5449_4d45;
/// IPI extension.
pub const IPI: u64 = 0x73_5049;
/// Hart state management extension.
pub const HSM: u64 = 0x48_534d;
/// System reset extension.
pub const SRST: u64 = 0x5352_5354;
/// Debug console extension.
pub const DBCN: u64 = 0x4442_434e;
/// Base extension.
pub const BASE: u64 = 0x10;

/// Makes a call; returns error and value.
pub fn call(extension: u64, function: u64, arguments: [u64; 3]) -> (i64, u64) {
    let [first, second, third] = arguments;
    let (error, value): (i64, u64);
    // SAFETY: the firmware preserves all registers but a0 and a1 (SBI 2.0, chapter 3); the calls
    // that are made here do not write memory.
    unsafe {
        asm!(
            "ecall",
            inlateout("a0") first => error,
            inlateout("a1") second => value,
            in("a2") third,
            in("a6") function,
            in("a7") extension,
        );
    }
    (error, value)
}

/// Asks for a timer interrupt at `deadline`.
pub fn set_timer(deadline: u64) {
    call(TIME, 0, [deadline, 0, 0]);
}

/// Raises software interrupts of harts `base` + i for every bit i of `mask`.
pub fn send_ipi(mask: u64, base: u64) {
    call(IPI, 0, [mask, base, 0]);
}

/// Starts a hart at a physical address, with `argument` in a1; returns whether the firmware did.
pub fn start_hart(hart: u64, address: u64, argument: u64) -> bool {
    call(HSM, 0, [hart, address, argument]).0 == 0
}

/// Writes a byte to the console.
pub fn write_byte(byte: u8) {
    call(DBCN, 2, [u64::from(byte), 0, 0]);
}

/// Switches the machine off; `failed` is passed on as the reason.
pub fn shut_down(failed: bool) -> ! {
    call(SRST, 0, [0, u64::from(failed), 0]);
    loop {
        crate::csr::wait_for_interrupt();
    }
}

/// Writes text.
pub fn write(text: &str) {
    text.bytes().for_each(write_byte);
}

/// The console, as something that boot formats to.
pub struct Console;

impl core::fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        write(text);
        Ok(())
    }
}
