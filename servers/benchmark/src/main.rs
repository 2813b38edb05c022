//! The image: the first process of its own system.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
rt::entry!(run);

/// Measures everything and switches the machine off.
#[cfg(target_os = "none")]
fn run(_argument: u64) -> ! {
    benchmark::run()
}

/// Says that this is no program for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the benchmark is a system image: cargo xtask bench");
}
