//! The image for s390x. So far an entry stub: it boots, says so and stops.
//!
//! `arch` proves that the kernel's boundary can be told on this machine; what it cannot do yet, it
//! refuses by stopping the machine.
#![no_std]
#![no_main]

mod arch;
mod console;
mod entry;
mod paging;
mod service;
mod stop;
mod timer;
mod trap;

use arch::S390;
use kernel::arch::Arch;

/// Begins with a stack, on the CPU that was started.
extern "C" fn start() -> ! {
    console::initialise();
    hand_over(&S390)
}

/// Stands where the kernel will take over the machine.
fn hand_over(_machine: &impl Arch) -> ! {
    stop::stop(format_args!(
        "skerry: bsp-s390 is an entry stub; the kernel is not ported to this machine yet"
    ))
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    stop::stop(format_args!("skerry: bsp-s390 {info}"))
}
