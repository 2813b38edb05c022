//! The console: a 16550 at COM1, polled.

use core::arch::asm;
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
/// Modem control: 3 is ready to send and receive.
const MODEM_CONTROL: u16 = COM1 + 4;
/// Line status: 0x20 says that the transmit holding register is empty.
const LINE_STATUS: u16 = COM1 + 5;

/// Writes a byte to an I/O port.
///
/// # Safety
///
/// 1. The device at `port` takes `value` without touching memory.
pub unsafe fn write_port(port: u16, value: u8) {
    // SAFETY: OUT only reaches the device, which leaves memory alone (1).
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags));
    }
}

/// Reads a byte from an I/O port.
///
/// # Safety
///
/// 1. Reading `port` has no effect on memory.
unsafe fn read_port(port: u16) -> u8 {
    let value: u8;
    // SAFETY: IN only reaches the device, which leaves memory alone (1).
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags));
    }
    value
}

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
        // SAFETY: the registers of a 16550 do not touch memory (1).
        unsafe { write_port(port, value) };
    }
}

/// Writes a byte as soon as there is room for it.
fn write_byte(byte: u8) {
    loop {
        // SAFETY: line status of a 16550, which does not touch memory (1).
        let status = unsafe { read_port(LINE_STATUS) };
        if status & 0x20 != 0 {
            break;
        }
        core::hint::spin_loop();
    }
    // SAFETY: transmit register of a 16550, which does not touch memory (1).
    unsafe { write_port(DATA, byte) };
}

/// The console, as something to format to.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                write_byte(b'\r');
            }
            write_byte(byte);
        }
        Ok(())
    }
}
