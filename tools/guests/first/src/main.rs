//! The first guest: it checks, one law after the other, what a virtual machine promises to the
//! software in it, and powers off with a status.
//!
//! The laws are the same on every machine; `machine` has a module for each. It runs on the bare
//! machine as well, which shows that it is the guest that is right: laws of what only a hypervisor
//! gives are skipped there, with the reason.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod laws;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod report;
#[cfg(target_os = "none")]
mod second;
#[cfg(target_os = "none")]
mod waiting;

/// Says that this is no program for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a guest: cargo xtask test first-guest");
}
