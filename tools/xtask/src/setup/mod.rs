//! Set-up: what a fresh machine lacks is installed, or named in one command to type.

pub mod apt;
pub mod bochs;
pub mod firmware;
pub mod hercules;
pub mod mirror;
pub mod qemu;
pub mod rust;
pub mod tools;
