//! Instruction-set descriptions: `riscv,isa-extensions`, ISA strings, and which sets make sense.
//!
//! A description is parsed first (unknown names are ignored), then validated: extensions whose
//! requirements are not met are dropped, until nothing changes. A guest's device tree is made from
//! the validated set.

mod extension;
mod offer;
mod parse;
mod validate;

pub use extension::{Extension, ExtensionSet};
pub use offer::{Offer, features, guest_environment};
pub use parse::{IsaError, from_list, from_string};
pub use validate::{Validated, validate};

/// Width of the general registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Xlen {
    /// 32 bits.
    Rv32,
    /// 64 bits.
    Rv64,
}
