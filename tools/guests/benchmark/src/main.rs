//! Counts, as the guest sees them, the instructions of its exits: from the instruction that exits to
//! the next one. Its servers are those of the system that it runs in. On s390x, where it cannot count
//! them, it marks where they are in a trace.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(all(target_os = "none", target_arch = "riscv64"))]
mod riscv;
#[cfg(all(target_os = "none", not(target_arch = "s390x")))]
mod rows;
#[cfg(all(target_os = "none", target_arch = "s390x"))]
mod s390;
#[cfg(all(target_os = "none", target_arch = "x86_64"))]
mod x86;

/// Stops: there is nobody to tell.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Says that this is no program for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a guest: cargo xtask bench");
}
