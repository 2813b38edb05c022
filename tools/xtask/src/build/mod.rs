//! From crates and a manifest to a kernel and a boot bundle.

pub mod bundle;
pub mod cargo;
pub mod disk;
pub mod elf;
pub mod iso;
pub mod kernel_code;
pub mod reach;
pub mod system;
