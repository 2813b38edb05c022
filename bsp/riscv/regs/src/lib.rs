//! Layouts of RISC-V: control registers, page-table entries, instructions, register ids, ISA strings,
//! the device tree.
//!
//! Values only: nothing here reads or writes a register. The bsp and the vcpu server share it.
//! Sections are those of "The RISC-V Instruction Set Manual", volume I (unprivileged) and volume II
//! (privileged), release 20250508.
#![no_std]
#![forbid(unsafe_code)]

pub mod cause;
pub mod csr;
pub mod environment;
pub mod instruction;
pub mod interrupt;
pub mod isa;
pub mod one_reg;
pub mod pte;
pub mod status;
pub mod translation;
pub mod trap_instruction;
pub mod tree;

pub use cause::{Cause, Exception, Interrupt};
pub use instruction::Gpr;
pub use isa::{Extension, ExtensionSet, Xlen};
pub use one_reg::Register;

/// Declares an integer enum together with its decoder and the list of its members.
macro_rules! numbered {
    ($(#[$outer:meta])* pub enum $name:ident: $int:ty { $($(#[$inner:meta])* $variant:ident = $value:expr,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($int)]
        pub enum $name { $($(#[$inner])* $variant = $value,)+ }

        impl $name {
            /// Every member, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the member with this number, or `None` where there is none.
            #[must_use]
            pub const fn from_number(number: u64) -> Option<Self> {
                $(if number == $value { return Some(Self::$variant); })+
                None
            }

            /// Returns the number of this member.
            #[must_use]
            pub const fn number(self) -> u64 {
                self as u64
            }
        }
    };
}
pub(crate) use numbered;
