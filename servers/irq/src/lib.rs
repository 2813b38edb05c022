//! A guest's interrupt controllers as pure state machines, and the ledger of every interrupt.
//!
//! One instance per VM. Events go in (a device moved its line, the guest accessed a register),
//! changes of the vCPUs' lines come out; only the process performs anything. Which controllers a guest
//! has is its machine's: a folder each, and [`Chips`] is what all have in common.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod apic;
pub mod chips;
pub mod controller;
pub mod floating;
pub mod ledger;
pub mod persist;
pub mod plic;
mod server;

pub use apic::Apics;
pub use chips::{Access, Chips, Vcpus};
pub use controller::Controller;
pub use floating::Floating;
pub use ledger::Ledger;
pub use plic::{AccessError, ContextSet, LineChanges, Plic};
pub use server::Server;
