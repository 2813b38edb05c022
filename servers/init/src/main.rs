//! The first process: builds all others from the manifest and watches them.
//!
//! It owns every capability table, every guest's space and vCPUs, and all memory that nobody else
//! was given; what a process may do is exactly what `docs/processes.md` lists.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod audit;
#[cfg(target_os = "none")]
mod bundle;
#[cfg(target_os = "none")]
mod grants;
#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod image;
#[cfg(target_os = "none")]
mod pool;
#[cfg(target_os = "none")]
mod process;
#[cfg(target_os = "none")]
mod stacks;
#[cfg(target_os = "none")]
mod supervise;
#[cfg(target_os = "none")]
mod system;
#[cfg(target_os = "none")]
mod tables;

#[cfg(target_os = "none")]
mod start {
    use abi::boot::SLOT_FIRMWARE;
    use rt::Firmware;
    use rt::heap::{ImageHeap, use_image};

    rt::entry!(main);

    /// Nobody else could give the first process memory.
    static HEAP: ImageHeap<{ 256 << 10 }> = ImageHeap::new();

    /// Builds the system and watches it; a system that cannot be built stops the machine.
    fn main(_: u64) -> ! {
        use_image(&HEAP);
        if let Err(error) = super::system::run() {
            rt::log!("skerry: init cannot build the system: {error}");
            rt::log!("skerry: system ended: status 1");
        }
        let _ = Firmware::own(SLOT_FIRMWARE).shut_down(true);
        rt::spawn::exit()
    }
}

/// On a developer's machine there is no first process.
#[cfg(not(target_os = "none"))]
fn main() {}
