//! What only the first process has: the boot information and the bundle.

use abi::boot::{BOOT_INFO, BUNDLE, BootInfo, MAGIC};

/// Returns the boot information, or `None` in any other process.
#[must_use]
pub fn info() -> Option<&'static BootInfo> {
    if cfg!(not(target_os = "none")) {
        return None;
    }
    // SAFETY: boot information or grants page, there is initialised read-only memory at this
    // address for as long as the process lives, and any bit pattern is a valid BootInfo.
    let info = unsafe { &*(BOOT_INFO as *const BootInfo) };
    (info.magic == MAGIC).then_some(info)
}

/// Returns the boot bundle; empty in any other process than the first.
#[must_use]
pub fn bundle() -> &'static [u8] {
    let length = info()
        .and_then(|info| usize::try_from(info.bundle_length).ok())
        .unwrap_or(0);
    if length == 0 {
        return &[];
    }
    // SAFETY: the kernel mapped this many bytes of the bundle there, read-only, for good.
    unsafe { core::slice::from_raw_parts(BUNDLE as *const u8, length) }
}
