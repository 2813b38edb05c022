//! A guest's interrupt controllers as pure state machines, and the ledger of every interrupt.
//!
//! One instance per VM. Events go in (a device moved its line, the guest accessed a register),
//! changes of the vCPUs' external interrupt lines come out; nothing is performed here.
#![no_std]
#![forbid(unsafe_code)]

pub mod ledger;
pub mod persist;
pub mod plic;

pub use ledger::Ledger;
pub use plic::{AccessError, ContextSet, LineChanges, Plic};
