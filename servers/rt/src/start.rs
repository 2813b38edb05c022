//! How a process starts: the contract between a process and who made it.
//!
//! | what | where |
//! |---|---|
//! | image | its ELF segments, linked at `0x0020_0000` (`servers/server.ld`); what lies behind the file's bytes is zero |
//! | first thread | at the ELF entry, stack pointer at the end of a stack that the creator mapped and painted ([`crate::stack`]), 16-aligned; first argument register: any number, which becomes the argument of `main` |
//! | message page | [`abi::boot::MESSAGE_PAGE`], bound to the first thread |
//! | grants page | [`GRANTS`], read-only, as [`crate::grant::Table`] describes; the address where the first process has its boot information, told from it by the magic number |
//! | what grants name | pages that the creator maps, from [`MAPPED`] to [`crate::window::FIRST`]; files of the bundle, read-only, from [`FILES`] to [`FILES_END`] |
//! | windows | [`crate::window::FIRST`] to [`crate::window::END`] belong to the process; so does all that is not listed here |
//!
//! Slots of the capability table: 1 the table itself, 2 the space, 3 the first thread, 4 its budget,
//! [`SLOT_LOG`] the endpoint of the log, from [`SLOT_FIRST_GRANT`] on what the grants page names.
//! A slot without a capability is no error until it is used. The thread pointer is the process's
//! own: it holds the address of a [`crate::block::ThreadBlock`].
//!
//! The first process of a system starts as `abi::boot` says, which differs in the slots from 5 on.

use abi::boot;

/// Where the grants page is mapped.
pub const GRANTS: u64 = boot::BOOT_INFO;
/// First address of the pages whose addresses the grants tell; no Rust object lies there.
pub const MAPPED: u64 = 0x1100_0000;
/// First address of the files of the bundle that grants name.
pub const FILES: u64 = 0x4000_0000;
/// End of that part.
pub const FILES_END: u64 = 0x1_0000_0000;
/// Slot of the log's endpoint.
pub const SLOT_LOG: u32 = 8;
/// First slot of the process's grants.
pub const SLOT_FIRST_GRANT: u32 = 16;

/// Declares the function, `fn(u64) -> !`, that the process's first thread runs.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// Runs the process's main function.
        #[allow(unsafe_code, reason = "the runtime calls this name")]
        #[unsafe(no_mangle)]
        fn _rt_main(argument: u64) -> ! {
            let main: fn(u64) -> ! = $main;
            main(argument)
        }
    };
}

#[cfg(target_os = "none")]
unsafe extern "Rust" {
    /// What [`entry!`] declares.
    fn _rt_main(argument: u64) -> !;
}

/// Runs the main function; entered with the thread pointer set.
#[cfg(target_os = "none")]
pub(crate) extern "C" fn begin(argument: u64) -> ! {
    crate::stack::paint_first();
    // SAFETY: `entry!` declares the function with this signature; without it nothing links.
    unsafe { _rt_main(argument) }
}
