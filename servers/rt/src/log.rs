//! The log: lines of plain text, and events.
//!
//! Both go to the log's endpoint on the thread's core (grant `log.C`; where there is none,
//! [`crate::start::SLOT_LOG`]), or, in the first process, to the firmware's console. Text goes piece by piece, and all is lost where nobody takes it: a log never fails.

use crate::device::Firmware;
use crate::message::Outgoing;
use crate::start::SLOT_LOG;
use crate::synchronization::Endpoint;
use abi::boot::SLOT_FIRMWARE;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A line that is being written, collected so that short lines are one message.
struct Line {
    bytes: [u8; Self::SIZE],
    count: usize,
}

impl Line {
    /// Bytes that are collected before they are sent.
    const SIZE: usize = 240;

    /// Sends what was collected.
    fn flush(&mut self) {
        emit(&self.bytes[..self.count]);
        self.count = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.count == Self::SIZE {
                self.flush();
            }
            self.bytes[self.count] = byte;
            self.count += 1;
        }
        Ok(())
    }
}

/// Returns the endpoint that takes the log of the thread that runs.
fn endpoint() -> Endpoint {
    let find = || crate::peer("log", crate::cores::current()).map_or(SLOT_LOG, Endpoint::index);
    Endpoint::own(crate::sys::block().log_slot(find))
}

/// Slot of the endpoint that takes the log of the first process, once there is one.
static FIRST_PROCESS_LOG: AtomicU32 = AtomicU32::new(0);

/// Sends the log of the first process to an endpoint from now on; what that endpoint does not take,
/// as from a thread of another core, goes to the firmware's console all the same.
pub fn send_to(log: Endpoint) {
    FIRST_PROCESS_LOG.store(log.capability().slot().index, Relaxed);
}

/// Sends bytes to whoever takes this process's log.
fn emit(bytes: &[u8]) {
    if crate::boot::info().is_none() {
        let _ = emit_to(endpoint(), bytes);
        return;
    }
    let slot = FIRST_PROCESS_LOG.load(Relaxed);
    if slot != 0 && emit_to(Endpoint::own(slot), bytes).is_ok() {
        return;
    }
    for byte in bytes {
        let _ = Firmware::own(SLOT_FIRMWARE).write_byte(*byte);
    }
}

/// Sends an event to whoever takes this process's log.
pub(crate) fn send_event(event: &[u8]) {
    let words = api::log::encode(event);
    let message = Outgoing::new(api::log::EVENT_LABEL).with_words(words.as_slice());
    if crate::boot::info().is_none() {
        let _ = endpoint().call(&message);
        return;
    }
    let slot = FIRST_PROCESS_LOG.load(Relaxed);
    if slot != 0 && Endpoint::own(slot).call(&message).is_ok() {
        return;
    }
    api::frame::write(api::frame::FIRST_PROCESS, event, |byte| {
        let _ = Firmware::own(SLOT_FIRMWARE).write_byte(byte);
    });
}

/// Sends bytes to an endpoint that takes logs.
fn emit_to(log: Endpoint, bytes: &[u8]) -> Result<(), abi::Error> {
    // A thread without a message page sends what fits in registers.
    let step = if crate::sys::block().message_page() == 0 {
        40
    } else {
        Line::SIZE
    };
    for piece in bytes.chunks(step) {
        let words = api::log::encode(piece);
        let message = Outgoing::new(api::log::LABEL).with_words(words.as_slice());
        log.call(&message)?;
    }
    Ok(())
}

/// Writes formatted text to the log.
pub fn write(text: fmt::Arguments<'_>) {
    let mut line = Line {
        bytes: [0; Line::SIZE],
        count: 0,
    };
    let _ = line.write_fmt(text);
    line.flush();
}

/// Writes a line to the log.
#[macro_export]
macro_rules! log {
    ($($text:tt)*) => {
        $crate::log::write(::core::format_args!("{}\n", ::core::format_args!($($text)*)))
    };
}
