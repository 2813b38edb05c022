//! The log: lines of plain text.
//!
//! Text goes to the log's endpoint ([`crate::start::SLOT_LOG`]), or, in the first process, to the
//! firmware's console. It goes piece by piece and is lost where nobody takes it: a log never fails.

use crate::device::Firmware;
use crate::message::Outgoing;
use crate::start::SLOT_LOG;
use crate::synchronization::Endpoint;
use abi::Error;
use abi::boot::SLOT_FIRMWARE;
use core::fmt::{self, Write};

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

/// Returns the log's endpoint on the core that the thread runs on; [`SLOT_LOG`] is the one on the
/// core of the process's first thread.
fn on_this_core() -> Option<Endpoint> {
    let (_, core) = crate::capability::identify_kernel().ok()?;
    let is_here =
        |name: &str| name.strip_prefix("log.").and_then(|core| core.parse().ok()) == Some(core);
    let grant = crate::grant::grants()
        .iter()
        .find(|grant| is_here(grant.name()))?;
    Some(Endpoint::own(grant.index()))
}

/// Sends bytes to whoever takes this process's log.
fn emit(bytes: &[u8]) {
    if crate::boot::info().is_some() {
        for byte in bytes {
            let _ = Firmware::own(SLOT_FIRMWARE).write_byte(*byte);
        }
        return;
    }
    // A thread without a message page sends what fits in registers.
    let step = if crate::sys::block().message_page() == 0 {
        40
    } else {
        Line::SIZE
    };
    for piece in bytes.chunks(step) {
        let words = api::log::encode(piece);
        let message = Outgoing::new(api::log::LABEL).with_words(words.as_slice());
        if Endpoint::own(SLOT_LOG).call(&message) == Err(Error::WrongCore) {
            let _ = on_this_core().map(|endpoint| endpoint.call(&message));
        }
    }
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
