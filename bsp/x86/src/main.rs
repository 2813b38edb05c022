//! The kernel's image for x86-64.
//!
//! Everything here is mechanism of the machine: entry and return, translation-table formats, the
//! timer, interrupts and guests. What happens is decided in `kernel`.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod apic;
#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod cores;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod descriptor;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod float;
#[cfg(target_os = "none")]
mod frame;
#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod irq;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod paging;
#[cfg(target_os = "none")]
mod percore;
#[cfg(target_os = "none")]
mod power;
#[cfg(target_os = "none")]
mod svm;
#[cfg(target_os = "none")]
mod timer;
#[cfg(target_os = "none")]
mod trap;
#[cfg(target_os = "none")]
mod vmx;

#[cfg(not(target_os = "none"))]
fn main() {}
