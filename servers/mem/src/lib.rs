//! Guest memory: which folios make up a guest's RAM.
//!
//! A folio is a power-of-two block, aligned to its size in host memory and, so that the second
//! stage can map it with its largest entries, in the guest's memory too.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod plan;

pub use plan::{Folio, Plan, PlanError, Range, plan};
