//! Ordinary memory: which folios there are, who has them, and as which capabilities.
//!
//! A folio is a power-of-two block, aligned to its size in host memory and, so that the second
//! stage can map it with its largest entries, in the guest's memory too. [`Folios`] knows which are
//! free, [`Deeds`] which capabilities stand for them, and [`Steward`] decides about requests.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod account;
mod area;
mod cover;
mod deeds;
mod descriptor;
mod extent;
mod folios;
mod geometry;
mod kernel;
pub mod load;
mod map;
mod metrics;
mod pin;
mod pool;
mod quota;
pub mod radix;
mod refusal;
mod scatter;
mod steward;

pub use account::{Account, Owner};
pub use area::{Area, ClaimId, Move};
pub use cover::{Cover, Piece};
pub use deeds::{DeedRefusal, Deeds};
pub use descriptor::{Descriptor, State};
pub use extent::Extent;
pub use folios::Folios;
pub use geometry::{FRAME_SHIFT, FrameNumber, Geometry, Gigantic};
pub use kernel::{Kernel, KernelRefusal, Made, Slot};
pub use map::{FrameMap, Memory};
pub use metrics::Metrics;
pub use pool::Want;
pub use quota::Quota;
pub use refusal::Refusal;
pub use scatter::{Entry, ScatterList};
pub use steward::{Block, Client, Decision, Emptying, Fill, Picture, Step, Steward, Touch};
