//! A guest's serial port: the 16550A with its two 16-byte FIFOs, as a pure state machine.
//!
//! ```text
//!  guest access ─▶ request ─▶ device ─▶ Effects { interrupt level, drain, line event }
//!  host input  ─▶ device (refuses when full)          output bytes ─▶ taken by the port
//!  port: the device and the ring that it shares with the console
//! ```
//! The line is infinitely fast: a written byte is sent at once, and four character times pass
//! between any two accesses. Registers are those of the National Semiconductor PC16550D data
//! sheet (June 1995), section 8.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod device;
pub mod exit_line;
pub mod metrics;
pub mod persist;
pub mod port;
pub mod registers;
pub mod request;
mod server;

pub use device::{Effects, Uart};
pub use exit_line::ExitStatus;
pub use metrics::Metrics;
pub use port::Port;
pub use request::{Request, Response};
pub use server::run;
