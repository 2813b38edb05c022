//! The kernel's image for s390x.
//!
//! Everything here is mechanism of the machine: entry and return, translation-table formats, the
//! timer, interrupts and the service processor. What happens is decided in `kernel`. Built for a
//! host, the image is an empty program.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod control;
#[cfg(target_os = "none")]
mod cores;
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
mod sclp;
#[cfg(target_os = "none")]
mod sie;
#[cfg(target_os = "none")]
mod timer;
#[cfg(target_os = "none")]
mod trap;

#[cfg(not(target_os = "none"))]
fn main() {}
