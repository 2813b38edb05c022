//! Running a system in QEMU: its command line, its serial line, and how it ended.

pub mod command;
pub mod ending;
pub mod serial;
pub mod session;
