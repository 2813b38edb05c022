//! The loader for UEFI: reads the kernel's ELF file and the boot bundle from the volume that it was
//! itself started from, and begins the kernel by the PVH entry, as any PVH loader does.
//!
//! What goes wrong is said on the firmware's console; then the machine is switched off.
#![cfg_attr(target_os = "uefi", no_std, no_main)]

#[cfg(target_os = "uefi")]
extern crate alloc;

#[cfg(target_os = "uefi")]
mod enter;
#[cfg(target_os = "uefi")]
mod image;
#[cfg(target_os = "uefi")]
mod information;
#[cfg(target_os = "uefi")]
mod load;

#[cfg(not(target_os = "uefi"))]
fn main() {}
