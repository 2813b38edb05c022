//! The kernel's conformance suite.
//!
//! It is the first process of a system and has the machine to itself. Each case gets fresh untyped
//! memory; when it ends, everything that was made of that memory is revoked, so no case sees
//! another. One case, one line of output. With an entry `races` in the bundle it runs
//! [`races`] instead.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod case;
pub mod cases;
pub mod context;
mod coverage;
pub mod crew;
pub mod guest;
pub mod machine;
pub mod program;
pub mod races;
pub mod suite;

pub use suite::run;
