//! The memory server: owns the memory of all guests, hands it out by the largest fitting folios,
//! and maps it into the guests' spaces.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod blocks;
#[cfg(target_os = "none")]
mod server;

#[cfg(target_os = "none")]
mod start {
    rt::entry!(main);

    /// Serves for ever.
    fn main(_: u64) -> ! {
        super::server::run()
    }
}

/// On a developer's machine there is no memory to serve.
#[cfg(not(target_os = "none"))]
fn main() {}
