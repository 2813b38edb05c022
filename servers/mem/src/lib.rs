//! Guest memory: which folios make up a guest's RAM.
//!
//! A folio is a power-of-two block, aligned to its size in host memory and, so that the second
//! stage can map it with its largest entries, in the guest's memory too.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod account;
mod area;
mod descriptor;
mod extent;
mod folios;
mod geometry;
pub mod load;
mod map;
mod metrics;
mod pin;
pub mod plan;
mod pool;
pub mod radix;
mod refusal;
mod scatter;

pub use account::{Account, Owner};
pub use area::{Area, ClaimId, Move};
pub use descriptor::{Descriptor, State};
pub use extent::Extent;
pub use folios::Folios;
pub use geometry::{FRAME_SHIFT, FrameNumber, Geometry, Gigantic};
pub use map::{FrameMap, Memory};
pub use metrics::Metrics;
pub use plan::{Folio, Plan, PlanError, Range, plan};
pub use pool::Want;
pub use refusal::Refusal;
pub use scatter::{Entry, ScatterList};
