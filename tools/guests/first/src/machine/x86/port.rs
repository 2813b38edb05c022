//! The 16550 at its ports, and the I/O APIC before it.

use core::ptr::with_exposed_provenance_mut;

use super::apic;
use super::processor::{input, output};
use super::traps;
use crate::report::{Verdict, equal};

/// The port's registers.
const BASE: u16 = 0x3f8;
/// Transmit holding register.
pub const TRANSMIT: u16 = BASE;
/// Interrupt enable register.
const ENABLE: u16 = BASE + 1;
/// Interrupt identification register.
const IDENTIFICATION: u16 = BASE + 2;
/// Modem control register.
const MODEM: u16 = BASE + 4;
/// Line status register.
pub const LINE_STATUS: u16 = BASE + 5;
/// Scratch register.
pub const SCRATCH: u16 = BASE + 7;
/// Its pin of the I/O APIC.
const PIN: u32 = 4;
/// The I/O APIC: which register is in the window, and the window.
const SELECT: usize = 0xfec0_0000;
pub const WINDOW: usize = 0xfec0_0010;
/// The first register of the table, whose entries have two.
const TABLE: u32 = 0x10;
/// In an entry: masked.
pub const MASKED: u32 = 1 << 16;
/// A pin to which nothing is connected.
pub const FREE_PIN: u32 = 20;

/// Prints text.
pub fn print(text: &[u8]) {
    for byte in text {
        wait();
        output(TRANSMIT, *byte);
    }
}

/// Waits until the port takes a byte.
pub fn wait() {
    while input(LINE_STATUS) & 1 << 5 == 0 {}
}

/// Prints a decimal number.
pub fn print_number(number: u64) {
    if number > 9 {
        print_number(number / 10);
    }
    print(&[b'0' + (number % 10) as u8]);
}

/// Writes a register of the I/O APIC.
pub fn store(address: usize, value: u32) {
    // SAFETY: a register of the I/O APIC, which is the guest's own.
    unsafe { with_exposed_provenance_mut::<u32>(address).write_volatile(value) };
}

/// Reads a register of the I/O APIC.
pub fn load(address: usize) -> u32 {
    // SAFETY: as above.
    unsafe { with_exposed_provenance_mut::<u32>(address).read_volatile() }
}

/// Puts half of a pin's entry into the window.
pub fn select(pin: u32, half: u32) {
    store(SELECT, TABLE + pin * 2 + half);
}

/// Lets the port interrupt, since it has nothing to send.
pub fn raise_interrupt() -> Verdict {
    output(0x21, 0xff);
    output(0xa1, 0xff);
    select(PIN, 1);
    store(WINDOW, apic::own_number() << 24);
    select(PIN, 0);
    store(WINDOW, u32::from(traps::DEVICE));
    // The line goes out only with its second switch (data sheet, "OUT2").
    output(MODEM, 8);
    output(ENABLE, 2);
    equal("interrupt enable register", 2, input(ENABLE).into())
}

/// Makes the port quiet.
pub fn quiet() {
    input(IDENTIFICATION);
    output(ENABLE, 0);
}
