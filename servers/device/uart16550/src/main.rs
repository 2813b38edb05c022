//! The device's process.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
rt::entry!(run);

/// Runs the device.
#[cfg(target_os = "none")]
fn run(_argument: u64) -> ! {
    device_uart16550::run()
}

/// Says that this is no program for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("device-uart16550 is a process of a system image: cargo xtask run");
}
