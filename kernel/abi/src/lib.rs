//! The contract between the kernel and user land: numbers, error codes, rights and message layout.
//!
//! Everything here is ABI. Numbers are appended, never renumbered; `docs/abi.md` describes the
//! calls in prose.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod bundle;
pub mod call;
pub mod error;
pub mod exit;
pub mod fault;
pub mod message;
pub mod node;
pub mod object;
pub mod port;
pub mod register;
pub mod rights;
pub mod slot;

pub use call::{CallNumber, CallWord};
pub use error::Error;
pub use message::{DeliveryKind, MessageInfo};
pub use object::ObjectKind;
pub use port::PortRange;
pub use rights::Rights;
pub use slot::SlotAddress;

/// Version of this contract, answered by [`CallNumber::Identify`] on slot 0.
pub const VERSION: u64 = 1;

/// Bytes of the smallest page that every machine maps.
pub const PAGE_SIZE: u64 = 4096;

/// Base-two logarithm of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

/// The most cores that one system uses.
pub const MAX_CORES: usize = 64;

/// Priorities run from 0 (lowest) to `PRIORITIES - 1` (highest).
pub const PRIORITIES: usize = 64;
