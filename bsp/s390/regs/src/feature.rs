//! Feature bits of the boot information.

/// A page whose entry forbids it cannot be executed: the machine has the
/// instruction-execution-protection facility.
pub const NO_EXECUTE: u64 = 1;
