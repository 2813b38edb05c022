//! Layouts of s390x: PSWs, control registers, the prefix area, program interruptions,
//! address-space-control elements and translation-table entries.
//!
//! Values only: nothing here reads or writes a register. Bits are declared in the order of the
//! manual, bit 0 being the most significant. Chapters are those of the "z/Architecture Principles
//! of Operation" (PoP, SA22-7832).
#![no_std]
#![forbid(unsafe_code)]

pub mod control;
pub mod entry;
pub mod feature;
pub mod lowcore;
pub mod one_reg;
pub mod program;
pub mod psw;
pub mod sclp;
pub mod sie;

pub use control::{Asce, Cr0};
pub use entry::{PageEntry, RegionEntry, SegmentEntry, TableType};
pub use program::{Identification, ProgramException};
pub use psw::{AddressSpace, PswMask};
