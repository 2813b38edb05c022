//! The subcommands, one file each.

pub mod bench;
pub mod check;
pub mod image;
pub mod run;
pub mod test;
