//! Laws of ports: accesses of every size, unaligned, in strings, and where nobody is.

use core::arch::asm;

use super::facts::facts;
use super::port;
use super::processor::{input, output};
use crate::report::{Verdict, Why, equal};

/// A port at which nothing is.
const NO_PORT: u16 = 0x1f0c;
/// An odd port at which nothing is, and the last port of all.
const NO_PORTS: [u16; 2] = [NO_PORT + 3, 0xffff];
/// What is in the register before a load.
const BEFORE: u64 = 0x1122_3344_5566_7788;
/// Line status register, at an odd port: nothing is on its way.
const IDLE: u64 = 0x60;
/// Why the bare machine is not asked for it.
const QEMU_ENDS: &str = "QEMU's port ends the emulator at a wide access across its end";
/// What the scratch register has.
const KNOWN: u8 = 0x5a;

/// Loads two bytes from a port; the rest of the register stays.
fn load_word(port: u16) -> u64 {
    let value;
    // SAFETY: the guest owns its ports.
    unsafe { asm!("in ax, dx", in("dx") port, inout("rax") BEFORE => value, options(nostack)) };
    value
}

/// Loads four bytes from a port; the upper half of the register is zero.
fn load_long(port: u16) -> u64 {
    let value;
    // SAFETY: the guest owns its ports.
    unsafe { asm!("in eax, dx", in("dx") port, inout("rax") BEFORE => value, options(nostack)) };
    value
}

/// Loads a byte from a port; the rest of the register stays.
fn load_byte(port: u16) -> u64 {
    let value;
    // SAFETY: the guest owns its ports.
    unsafe { asm!("in al, dx", in("dx") port, inout("rax") BEFORE => value, options(nostack)) };
    value
}

/// Loads from ports at which nothing is.
pub fn nothing() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped("QEMU's machine has zeros at an odd port"));
    }
    let [odd, last] = NO_PORTS;
    for port in NO_PORTS {
        output(port, 0);
        equal("a byte", BEFORE | 0xff, load_byte(port))?;
    }
    equal("two bytes", BEFORE | 0xffff, load_word(odd))?;
    equal("four bytes", 0xffff_ffff, load_long(odd))?;
    equal("the last port", 0xff, input(last).into())
}

/// Loads more than a byte from registers of the serial port: what is behind the first byte is the
/// machine's affair.
pub fn wide_load() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped(QEMU_ENDS));
    }
    while u64::from(input(port::LINE_STATUS)) & IDLE != IDLE {}
    let (word, long) = (load_word(port::LINE_STATUS), load_long(port::LINE_STATUS));
    equal("two bytes", IDLE, word & IDLE)?;
    equal("the rest of the register", BEFORE >> 16, word >> 16)?;
    equal("four bytes", IDLE, long & IDLE)?;
    equal("the upper half", 0, long >> 32)?;
    output(port::SCRATCH, KNOWN);
    let across = load_word(port::SCRATCH);
    equal("across the end", KNOWN.into(), across & 0xff)?;
    equal("the rest of that register", BEFORE >> 16, across >> 16)
}

/// Stores more than a byte into the last register of the serial port.
pub fn wide_store() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped(QEMU_ENDS));
    }
    for value in [0x5aff_u16, 0xff00, 0x00a5] {
        // SAFETY: the guest owns its ports.
        unsafe { asm!("out dx, ax", in("dx") port::SCRATCH, in("ax") value, options(nostack)) };
        equal(
            "the first byte",
            u64::from(value) & 0xff,
            input(port::SCRATCH).into(),
        )?;
    }
    Ok(3)
}

/// Loads bytes of the scratch register, and of nothing, into memory by one instruction each.
pub fn load_string() -> Verdict {
    output(port::SCRATCH, KNOWN);
    let mut bytes = [0_u8; 8];
    let end: *mut u8;
    let rest: u64;
    // SAFETY: the instruction fills the first six bytes.
    unsafe {
        asm!("rep insb", in("dx") port::SCRATCH, inout("rdi") bytes.as_mut_ptr() => end,
             inout("rcx") 6_u64 => rest, options(nostack, preserves_flags));
    }
    equal(
        "bytes",
        u64::from_le_bytes([KNOWN, KNOWN, KNOWN, KNOWN, KNOWN, KNOWN, 0, 0]),
        u64::from_le_bytes(bytes),
    )?;
    equal(
        "how far it came",
        6,
        end.addr() as u64 - bytes.as_ptr().addr() as u64,
    )?;
    equal("what is left", 0, rest)?;
    // SAFETY: the instruction fills four bytes.
    unsafe {
        asm!("insd", in("dx") NO_PORT, inout("rdi") bytes.as_mut_ptr() => _,
             options(nostack, preserves_flags));
    }
    equal(
        "four of nothing",
        0x5a5a_ffff_ffff,
        u64::from_le_bytes(bytes),
    )
}
