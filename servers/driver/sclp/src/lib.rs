//! The driver of the console that the service processor (SCLP) of an s390x machine has: a terminal
//! of ASCII bytes, or, where that is all there is, lines in EBCDIC.
//!
//! ```text
//!  ring from the console ─▶ Link::next ─▶ control block ─▶ Firmware: start
//!  ring to the console  ◀─ Link::answered ◀─ control block ◀─ Firmware: collect ◀─ service signal
//! ```
//! One call is under way at a time. Bytes leave the ring when the service processor has answered, so
//! an empty ring means that all was shown. On a console of lines every byte is kept too, written as
//! `api::line_mode` says, and so are keys: a `%` at the end of a typed line keeps its end back.
#![no_std]
#![forbid(unsafe_code)]

mod link;
mod server;

pub use link::{BLOCK_BYTES, Console, Link, Start};
pub use server::run;
