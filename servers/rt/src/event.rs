//! Events: what a server logs with `defmt`, below a level that the manifest chooses.
//!
//! The macros [`error!`](crate::error) to [`trace!`](crate::trace) take defmt's format strings. An
//! event is collected in a buffer of the thread that logs it, so threads do not wait for each other,
//! and sent whole; `tools/logview` prints it with the strings of the server's ELF file. Lines that
//! somebody relies on without that file are written with [`log!`](crate::log!).

use api::frame::MAX_EVENT;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

/// How much is logged; the numbers are those of grant `log-level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Only what went wrong.
    Error = 1,
    /// Also what looks wrong.
    Warn = 2,
    /// Also milestones.
    Info = 3,
    /// Also decisions.
    Debug = 4,
    /// Also every event.
    Trace = 5,
}

/// The level of a process that was not told one.
const DEFAULT: u8 = Level::Info as u8;
/// Nobody asked for the level yet.
const UNKNOWN: u8 = u8::MAX;
/// The level.
static LEVEL: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Returns whether events of `level` are logged.
#[must_use]
#[inline]
pub fn enabled(level: Level) -> bool {
    let known = LEVEL.load(Relaxed);
    level as u8 <= if known == UNKNOWN { look_up() } else { known }
}

/// Finds out what the creator of the process wants.
#[cold]
fn look_up() -> u8 {
    let granted = crate::grant::value("log-level");
    let level = granted.and_then(|level| u8::try_from(level).ok());
    let level = level.unwrap_or(DEFAULT).min(Level::Trace as u8);
    LEVEL.store(level, Relaxed);
    level
}

/// Sets the level, as the number of grant `log-level`: 0 is nothing at all. For the first process,
/// which nobody grants anything.
pub fn set_level(level: u8) {
    LEVEL.store(level.min(Level::Trace as u8), Relaxed);
}

/// An event in the making. A thread has one.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Bytes of the event and 1 more, or [`IDLE`]: an idle buffer is all zeros, so that a static with
    /// one, and perhaps a stack, takes no room in the file.
    state: AtomicUsize,
    bytes: [AtomicU8; MAX_EVENT],
}

/// No event is being made.
const IDLE: usize = 0;

impl Buffer {
    /// Returns an idle buffer.
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicUsize::new(IDLE),
            bytes: [const { AtomicU8::new(0) }; MAX_EVENT],
        }
    }

    /// Begins an event.
    ///
    /// # Panics
    ///
    /// Where formatting an event makes another.
    fn begin(&self) {
        assert!(self.state.swap(1, Relaxed) == IDLE, "an event in an event");
    }

    /// Adds bytes; those that do not fit are only counted.
    fn add(&self, bytes: &[u8]) {
        let state = self.state.load(Relaxed);
        let places = self.bytes.get(state.wrapping_sub(1)..).unwrap_or_default();
        for (place, byte) in places.iter().zip(bytes) {
            place.store(*byte, Relaxed);
        }
        self.state.store(state.saturating_add(bytes.len()), Relaxed);
    }

    /// Ends the event and gives it to `send`, or its length where it did not fit.
    fn end(&self, send: impl FnOnce(Result<&[u8], usize>)) {
        let mut event = [0; MAX_EVENT];
        for (to, from) in event.iter_mut().zip(&self.bytes) {
            *to = from.load(Relaxed);
        }
        let count = self.state.swap(IDLE, Relaxed).saturating_sub(1);
        send(event.get(..count).ok_or(count));
    }
}

/// Sends an event; one that is too long becomes a line that says so.
fn send(event: Result<&[u8], usize>) {
    match event {
        Ok(event) => crate::log::send_event(event),
        Err(bytes) => crate::log!("an event of {bytes} bytes is lost, {MAX_EVENT} are the most"),
    }
}

/// Returns the buffer of the thread that runs, or `None` on a host, where events go nowhere.
fn own() -> Option<&'static Buffer> {
    cfg!(target_os = "none").then(|| &crate::sys::block().event)
}

/// defmt's way out.
#[defmt::global_logger]
struct Logger;

// SAFETY: each thread has a buffer of its own, made of atomics, and its events do not nest: `begin`
// sees to it.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        if let Some(buffer) = own() {
            buffer.begin();
        }
    }

    unsafe fn flush() {}

    unsafe fn release() {
        if let Some(buffer) = own() {
            buffer.end(send);
        }
    }

    unsafe fn write(bytes: &[u8]) {
        if let Some(buffer) = own() {
            buffer.add(bytes);
        }
    }
}

// Lines are in their order; a time would be one more number that differs between runs.
defmt::timestamp!("");

/// Logs an event of one level with one of defmt's macros.
#[doc(hidden)]
#[macro_export]
macro_rules! event {
    ($level:ident, $macro:ident, $($event:tt)*) => {
        if $crate::event::enabled($crate::event::Level::$level) {
            use $crate::defmt;
            defmt::$macro!($($event)*);
        }
    };
}

/// Logs what went wrong.
#[macro_export]
macro_rules! error {
    ($($event:tt)*) => { $crate::event!(Error, error, $($event)*) };
}

/// Logs what looks wrong.
#[macro_export]
macro_rules! warn {
    ($($event:tt)*) => { $crate::event!(Warn, warn, $($event)*) };
}

/// Logs a milestone.
#[macro_export]
macro_rules! info {
    ($($event:tt)*) => { $crate::event!(Info, info, $($event)*) };
}

/// Logs a decision.
#[macro_export]
macro_rules! debug {
    ($($event:tt)*) => { $crate::event!(Debug, debug, $($event)*) };
}

/// Logs an event of which there are many.
#[macro_export]
macro_rules! trace {
    ($($event:tt)*) => { $crate::event!(Trace, trace, $($event)*) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what an event of these parts comes to.
    fn made(buffer: &Buffer, parts: &[&[u8]]) -> Result<Vec<u8>, usize> {
        let mut outcome = Err(0);
        buffer.begin();
        parts.iter().for_each(|part| buffer.add(part));
        buffer.end(|event| outcome = event.map(<[u8]>::to_vec));
        outcome
    }

    #[test]
    fn an_event_is_all_its_parts_or_a_length() {
        let buffer = Buffer::new();
        assert_eq!(made(&buffer, &[b"ab", b"", b"c"]), Ok(b"abc".to_vec()));
        assert_eq!(made(&buffer, &[&[7; MAX_EVENT]]), Ok(vec![7; MAX_EVENT]));
        let long: &[&[u8]] = &[&[7; MAX_EVENT - 1], b"ab", b"c"];
        assert_eq!(made(&buffer, long), Err(MAX_EVENT + 2));
        assert_eq!(made(&buffer, &[b"d"]), Ok(b"d".to_vec()), "and is usable");
    }

    #[test]
    #[should_panic(expected = "an event in an event")]
    fn events_do_not_nest() {
        let buffer = Buffer::new();
        buffer.begin();
        buffer.begin();
    }

    #[test]
    fn events_up_to_the_level_are_logged() {
        assert!(
            enabled(Level::Info) && !enabled(Level::Debug),
            "the default"
        );
        set_level(4);
        assert!(enabled(Level::Debug) && !enabled(Level::Trace));
        set_level(0);
        assert!(!enabled(Level::Error));
        crate::error!("{=u8} goes nowhere, and need not", 1);
        set_level(200);
        assert!(enabled(Level::Trace));
        crate::trace!("this goes nowhere on a host: {=u64:#x}", 2);
    }
}
