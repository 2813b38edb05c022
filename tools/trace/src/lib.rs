//! What a trace of an emulated machine looks like.
//!
//! The plugin `tracer` writes it inside the emulator, `cargo xtask` reads it as it comes: both speak of
//! [`record::Record`]s. [`operation`] tells from an instruction's bytes what is special about it.
#![forbid(unsafe_code)]

pub mod operation;
pub mod record;
