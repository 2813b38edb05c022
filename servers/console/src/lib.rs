//! The host log and the guests' consoles on one serial line.
//!
//! ```text
//!  keys ──▶ Keys ──▶ Input: bytes for the focused console, switch, quit, metrics, help
//!  output of console n ──▶ Multiplexer ──▶ wire             Desk: both, over rings
//! ```
//! The focused console writes as it likes; of the others complete lines appear, each with a
//! `[name] ` prefix, between lines of the focused one. Nothing is ever cut or mixed inside a line;
//! what does not fit in a console's buffer is counted and reported.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod desk;
pub mod keys;
pub mod log_lines;
pub mod multiplexer;
mod server;

pub use desk::Desk;
pub use keys::{ConsoleId, Input, Keys};
pub use log_lines::LogLines;
pub use multiplexer::{Mode, Multiplexer};
pub use server::run;

/// Consoles: the host log, 0, and guests 1 to 9.
pub const CONSOLES: usize = 10;

/// What `Ctrl-]` `h` prints.
pub const HELP: &str = "\
Ctrl-] 0..9  show the host log (0) or a guest\r\n\
Ctrl-] q     quit\r\n\
Ctrl-] m     print counters\r\n\
Ctrl-] h     print this\r\n\
Ctrl-] Ctrl-]  send Ctrl-]\r\n";
