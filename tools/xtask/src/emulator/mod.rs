//! Running a system in an emulator: how it is started, its serial line, and how it ended.
//!
//! An emulator is three things ([`launch::Launch`]): a command, the place of the serial line, and what
//! its exit status is worth. A further one is a variant of [`kind::Kind`], an `ensure` in `setup`
//! and a `launch` beside this file.

mod bochs;
pub mod command;
pub mod ending;
pub mod hercules;
pub mod kind;
pub mod launch;
pub mod serial;
pub mod session;
