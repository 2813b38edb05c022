//! The driver's process.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
rt::entry!(run);

/// Runs the driver.
#[cfg(target_os = "none")]
fn run(_argument: u64) -> ! {
    driver_sclp::run()
}

/// Says that this is no program for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("driver-sclp is a process of a system image: cargo xtask run");
}
