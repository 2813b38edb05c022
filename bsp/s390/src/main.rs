//! The image for s390x. So far an entry stub: it boots, says so and stops.
//!
//! `machine` proves that the kernel's boundary can be told on this machine; what it cannot do yet,
//! it refuses by stopping the machine. Built for a host, the image is an empty program.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod frame;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod paging;
#[cfg(target_os = "none")]
mod sclp;
#[cfg(target_os = "none")]
mod stop;
#[cfg(target_os = "none")]
mod timer;

/// Begins with a stack, on the CPU that was started.
#[cfg(target_os = "none")]
extern "C" fn start() -> ! {
    console::initialise();
    hand_over(&machine::S390)
}

/// Stands where the kernel will take over the machine.
#[cfg(target_os = "none")]
fn hand_over(_machine: &impl kernel::arch::Arch) -> ! {
    stop::stop(format_args!(
        "skerry: bsp-s390 is an entry stub; the kernel is not ported to this machine yet"
    ))
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    stop::stop(format_args!("skerry: bsp-s390 {info}"))
}

#[cfg(not(target_os = "none"))]
fn main() {}
