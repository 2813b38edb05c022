//! Registers of a device of the host.

use crate::grant;
use abi::PAGE_SIZE;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use volatile::VolatileRef;
use zerocopy::FromBytes;

/// Whether the registers were taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the registers of the process's device (grant `device`): once, and only where they are
/// mapped. `T` is their layout, within the first page.
#[must_use]
pub fn device<T: FromBytes>() -> Option<VolatileRef<'static, T>> {
    const {
        assert!(
            size_of::<T>() as u64 <= PAGE_SIZE,
            "registers fill one page"
        )
    };
    let address = grant::value("device")?;
    let aligned = address.is_multiple_of(align_of::<T>() as u64);
    if !aligned || !grant::is_mapped(address, PAGE_SIZE) || TAKEN.swap(true, Relaxed) {
        return None;
    }
    let registers = NonNull::new(address as *mut T)?;
    // SAFETY: the creator mapped the device there for good, in a part of the space without Rust
    // objects; any bits are a valid `T`; `TAKEN` lets nobody have them twice.
    Some(unsafe { VolatileRef::new(registers) })
}
