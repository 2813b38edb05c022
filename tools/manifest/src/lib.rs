//! The system manifest: which processes and guests a system has, and what each may use.
//!
//! ```text
//!  system.toml ──source──▶ checked ──compile──▶ compiled::System ──postcard──▶ bundle entry "manifest" ──▶ init
//! ```
//!
//! Without the feature `std` only the compiled form is here, for `init`, which has no file system.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod compiled;

#[cfg(feature = "std")]
mod compile;
#[cfg(feature = "std")]
mod machine;
#[cfg(feature = "std")]
mod refusal;
#[cfg(feature = "std")]
mod size;
#[cfg(feature = "std")]
mod source;

#[cfg(feature = "std")]
pub use compile::images::{Images, InitrdImage, KernelImage};
#[cfg(feature = "std")]
pub use compile::{BundleFile, Compiled, GuestOverrides, Overrides, Package, compile};
#[cfg(feature = "std")]
pub use machine::Machine;
#[cfg(feature = "std")]
pub use refusal::{Reason, Refusal};
#[cfg(feature = "std")]
pub use size::{BadSize, Size};
