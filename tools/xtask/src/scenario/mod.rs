//! Scenarios: systems that are booted in the emulator, and what their serial line must tell.
//!
//! One file in `tools/e2e/scenarios` describes one scenario, and perhaps variants of it.

mod audit;
mod conformance;
mod description;
mod judge;
mod runner;

pub use description::{Scenario, load_all};
pub use runner::{prepare, run_all};
