//! Calls of the firmware interface (SBI 2.0).

use core::arch::asm;

/// BASE (section 4).
const BASE: u64 = 0x10;
/// TIME (section 6).
const TIME: u64 = 0x5449_4d45;
/// IPI (section 7).
const IPI: u64 = 0x0073_5049;
/// RFENCE (section 8).
const RFENCE: u64 = 0x5246_4e43;
/// HSM (section 9).
const HSM: u64 = 0x0048_534d;
/// SRST (section 10).
const SRST: u64 = 0x5352_5354;
/// DBCN (section 12).
const DBCN: u64 = 0x4442_434e;

/// Returns error and value of a call.
fn call(extension: u64, function: u64, arguments: [u64; 3]) -> (u64, u64) {
    let [a0, a1, a2] = arguments;
    let (error, value): (u64, u64);
    // SAFETY: the calls made here write no memory of the guest and change no register but these.
    unsafe {
        asm!(
            "ecall",
            inlateout("a0") a0 => error,
            inlateout("a1") a1 => value,
            in("a2") a2,
            in("a6") function,
            in("a7") extension,
            options(nostack),
        );
    }
    (error, value)
}

/// Returns error and version of the interface.
pub fn specification() -> (u64, u64) {
    call(BASE, 0, [0; 3])
}

/// Returns the number of the firmware's implementation.
pub fn implementation() -> u64 {
    call(BASE, 1, [0; 3]).1
}

/// Sets the timer of this hart; returns the error.
pub fn set_timer(deadline: u64) -> u64 {
    call(TIME, 0, [deadline, 0, 0]).0
}

/// Interrupts a hart; returns the error.
pub fn interrupt(hart: u64) -> u64 {
    call(IPI, 0, [1, hart, 0]).0
}

/// Lets a hart forget all translations; returns the error.
pub fn fence(hart: u64) -> u64 {
    call(RFENCE, 1, [1, hart, 0]).0
}

/// Starts a hart; returns the error.
pub fn start_hart(hart: u64, entry: u64) -> u64 {
    call(HSM, 0, [hart, entry, 0]).0
}

/// Shuts the machine down.
pub fn shut_down(failed: bool) {
    call(SRST, 0, [0, u64::from(failed), 0]);
}

/// Prints text on the debug console.
pub fn print(text: &[u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        let (error, done) = write(rest.as_ptr().addr() as u64, rest.len() as u64);
        let done = usize::try_from(done).unwrap_or(0).min(rest.len());
        if error != 0 || done == 0 {
            return;
        }
        rest = rest.get(done..).unwrap_or_default();
    }
}

/// Writes bytes at an address to the debug console; returns error and how many were written.
pub fn write(address: u64, length: u64) -> (u64, u64) {
    call(DBCN, 0, [length, address, 0])
}
