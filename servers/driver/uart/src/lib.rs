//! The driver of the host's serial port: a 16550A (National Semiconductor PC16550D data sheet,
//! June 1995), whose registers are a byte apart, in memory or at I/O ports.
//!
//! ```text
//!  ring from the console ─▶ Port::transmit ─▶ line        interrupt or deadline ─▶ both
//!  ring to the console  ◀─ Port::receive  ◀─ line        bell of the console   ─▶ both
//! ```
//! A byte leaves the ring when the chip takes it, so an empty ring means that all is on its way.
#![no_std]
#![forbid(unsafe_code)]

mod chip;
mod port;
mod registers;
mod server;

pub use chip::{Chip, Ports};
pub use port::{Port, Progress};
pub use server::run;
