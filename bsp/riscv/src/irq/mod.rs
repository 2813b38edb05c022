//! External interrupts of the host: a PLIC, or APLIC and IMSIC, whichever the machine has.

pub mod aia;
pub mod plic;

use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

/// Lines that the kernel has objects for.
pub const LINES: u32 = 128;

/// Returns a 32-bit register of a controller at a physical address.
fn register(physical: u64) -> Option<&'static AtomicU32> {
    let pointer = NonNull::new(crate::paging::virtual_of(physical) as *mut AtomicU32)?;
    // SAFETY: the callers name registers of an interrupt controller, which the direct map covers
    // for ever; they are 32-bit words that take aligned accesses, and any value.
    Some(unsafe { pointer.as_ref() })
}

/// Lets interrupts through to this core.
pub fn start_core() {
    if aia::is_present() {
        aia::start_core()
    } else {
        plic::start_core()
    }
}

/// Masks a line on all cores.
pub fn mask(line: u32) {
    if aia::is_present() {
        aia::mask(line)
    } else {
        plic::mask(line)
    }
}

/// Unmasks a line for the core that runs this.
pub fn unmask(line: u32) {
    if aia::is_present() {
        aia::unmask(line)
    } else {
        plic::unmask(line)
    }
}

/// Takes the line that interrupts this core and masks it; `None` when there is no more.
pub fn claim() -> Option<u32> {
    if aia::is_present() {
        aia::claim()
    } else {
        plic::claim()
    }
}
