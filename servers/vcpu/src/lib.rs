//! What a guest's processors need besides the hardware: firmware, decoding, lifecycle, boot.
//!
//! ```text
//!   kernel ── Exit ──▶ Machine::exit ── Outcome ──▶ reply to the kernel
//!                          │
//!                          └─ Effects: registers, lines, fences, memory, console, events
//! ```
//! A library generic over [`Effects`]; the machines are modules, so that all decoders are tested
//! on any host. Handlers check everything before the first effect: an exit that met an absent page
//! ([`Absent`]) is simply handled again.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod effects;
pub mod exit;
pub mod lifecycle;
pub mod machine;
pub mod metrics;
pub mod once;
pub mod seats;
#[cfg(target_os = "none")]
pub mod server;

pub use effects::{
    Effects, Event, FenceKind, Line, MemoryError, RegisterError, Start, VcpuId, VcpuSet,
};
pub use exit::{Absent, Access, Exit, Outcome};
pub use lifecycle::{EndReason, Failure, Lifecycle, RebootKind};
pub use machine::Machine;
pub use metrics::Metrics;
