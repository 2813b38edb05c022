//! Capabilities: slots, the derivation tree, and the lock that serialises their management.

pub mod derivation;
pub mod lock;
pub(crate) mod right;
pub mod slot;
pub mod table;

pub use slot::{Role, Slot, SlotRef, Tag};
