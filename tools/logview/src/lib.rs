//! The log frames of a serial line, decoded.
//!
//! ```text
//!  bytes ─▶ Splitter ─▶ text ──────────────────────▶ bytes
//!                    └▶ frame ─▶ Programs: a line ─┘        Translator: all of it
//! ```
//! `api::frame` says what a frame is on the line; what is in it is a defmt event, whose strings are in
//! the ELF file of the process that logged it. A frame becomes the line `[process] LEVEL message`,
//! where it stood.
#![forbid(unsafe_code)]

mod programs;
mod split;
mod translate;

pub use programs::{Program, Programs};
pub use split::{Piece, Splitter};
pub use translate::Translator;
