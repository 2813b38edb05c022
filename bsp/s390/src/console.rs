//! The console: ASCII events of the service processor (SCLP).
//!
//! The line-mode console, the only one that Hercules has, comes with the port.

use crate::sclp;
use core::fmt;

/// Command: says which events are exchanged.
const WRITE_EVENT_MASK: u32 = 0x0078_0005;
/// Command: sends an event.
const WRITE_EVENT_DATA: u32 = 0x0076_0005;
/// Type of an event with ASCII text.
const ASCII: u8 = 0x1a;
/// Bit of that type in event masks.
const ASCII_MASK: u32 = 1 << (32 - ASCII as u32);
/// Bytes of an event's header: length, type, flags, two reserved bytes.
const EVENT_HEADER: usize = 6;
/// Text that one event carries at most.
const TEXT_BYTES: usize = 128;

/// Asks to send text.
pub fn initialise() {
    // Two reserved bytes, the length of a mask, the masks of events to receive and to send, and
    // room for the service processor's own two.
    let mut data = [0; 4 + 4 * 4];
    data[2..4].copy_from_slice(&4_u16.to_be_bytes());
    data[8..12].copy_from_slice(&ASCII_MASK.to_be_bytes());
    sclp::call(WRITE_EVENT_MASK, &data);
}

/// Sends one event with this text.
fn send(text: &[u8]) {
    let mut data = [0; EVENT_HEADER + TEXT_BYTES];
    let length = EVENT_HEADER + text.len();
    data[..2].copy_from_slice(&(length as u16).to_be_bytes());
    data[2] = ASCII;
    data[EVENT_HEADER..length].copy_from_slice(text);
    sclp::call(WRITE_EVENT_DATA, &data[..length]);
}

/// The console, as something to format to.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            let (line, end) = match line.strip_suffix('\n') {
                Some(line) => (line, true),
                None => (line, false),
            };
            line.as_bytes().chunks(TEXT_BYTES).for_each(send);
            if end {
                send(b"\r\n");
            }
        }
        Ok(())
    }
}
