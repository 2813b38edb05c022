//! Layouts of x86-64: control registers and translation-table entries.
//!
//! Values only: nothing here reads or writes a register. Sections are those of the Intel "Software
//! Developer's Manual" (SDM) and of the AMD "Architecture Programmer's Manual" volume 2 (APM), by
//! name: their numbers change between editions.
#![no_std]
#![forbid(unsafe_code)]

pub mod control;
pub mod entry;
pub mod feature;
pub mod msr;
pub mod one_reg;
pub mod vmcb;
pub mod vmcs;

pub use control::{Cr0, Cr3, Cr4, Efer};
pub use entry::{EptEntry, Pte};
