//! The runtime of every server: entry, system calls, typed handles, messages, threads, log.
//!
//! System calls that change what is mapped or what is bound are safe functions: they can stop a
//! thread, as every fault can, and what a server does to its own address space is its own affair
//! (`docs/safety.md`). The unsafe code here is the trap instruction, the thread block behind the
//! thread pointer, and the memory that the kernel shares with a thread.
#![cfg_attr(not(test), no_std)]

pub mod block;
pub mod boot;
pub mod capability;
pub mod client;
pub mod cores;
pub mod device;
pub mod event;
pub mod grant;
pub mod guest;
#[cfg(all(feature = "heap", target_os = "none"))]
pub mod heap;
pub mod lock;
pub mod log;
pub mod memory;
pub mod message;
pub mod mmio;
#[cfg(target_os = "none")]
mod panic;
pub mod seed;
pub mod serve;
pub mod spawn;
pub mod stack;
pub mod start;
pub mod synchronization;
pub mod sys;
pub mod thread;
pub mod touch;
pub mod window;

pub use abi;
pub use api;
pub use defmt;

pub use capability::{Capability, Identity};
pub use cores::{endpoint_of, peer, run_on_cores};
pub use device::{Firmware, Interrupt, InterruptControl, IoPorts};
pub use grant::grant;
pub use guest::{GuestSpace, Vcpu};
pub use lock::TicketLock;
pub use memory::{Frame, Space, Untyped};
pub use message::{Incoming, Outgoing};
pub use serve::{ReplyAction, serve};
pub use synchronization::{Endpoint, Notification, Reply};
pub use thread::{Budget, Thread};
pub use touch::touch;
