//! The kernel's console: a 16550 at COM1, polled. It is for the banner, for panics and for the
//! first process before a driver has the line.

use crate::cpu;
use core::fmt;

/// First port of COM1.
const COM1: u16 = 0x3f8;
/// Transmit holding register; low byte of the divisor while that is accessible.
const DATA: u16 = COM1;
/// Interrupt enables; high byte of the divisor while that is accessible.
const INTERRUPT_ENABLE: u16 = COM1 + 1;
/// FIFO control.
const FIFO_CONTROL: u16 = COM1 + 2;
/// Line control: 3 is eight bits, no parity, one stop bit; 0x80 makes the divisor accessible.
const LINE_CONTROL: u16 = COM1 + 3;
/// Modem control: 3 is ready to send and receive; 8 lets interrupts out.
const MODEM_CONTROL: u16 = COM1 + 4;
/// Line status: 0x20 says that the transmit holding register is empty.
const LINE_STATUS: u16 = COM1 + 5;

/// Sets the line to 115200 baud, eight bits, no parity, without interrupts.
pub fn initialise() {
    let settings = [
        (INTERRUPT_ENABLE, 0),
        (LINE_CONTROL, 0x80),
        (DATA, 1),
        (INTERRUPT_ENABLE, 0),
        (LINE_CONTROL, 3),
        (FIFO_CONTROL, 7),
        (MODEM_CONTROL, 3),
    ];
    for (port, value) in settings {
        cpu::write_port(port, value);
    }
}

/// Writes a byte as soon as there is room for it; a line that is not there takes everything.
pub fn write_byte(byte: u8) {
    while cpu::read_port(LINE_STATUS) & 0x20 == 0 {
        core::hint::spin_loop();
    }
    cpu::write_port(DATA, byte);
}

/// Writes text, with a carriage return before each end of a line.
pub fn write(text: &str) {
    for byte in text.bytes() {
        if byte == b'\n' {
            write_byte(b'\r');
        }
        write_byte(byte);
    }
}

/// The console, as something that boot formats to.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text);
        Ok(())
    }
}
