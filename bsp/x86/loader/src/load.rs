//! The way from the firmware to the kernel.

use crate::enter::Doorway;
use crate::image::Image;
use crate::information::Information;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::slice;
use uefi::boot::{self, AllocateType, MemoryType};
use uefi::fs::FileSystem;
use uefi::runtime::{self, ResetType};
use uefi::table::cfg::ConfigTableEntry;
use uefi::{CStr16, Status, cstr16, system};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// The kernel's file, on the volume that we come from.
const KERNEL: &CStr16 = cstr16!("\\skerry\\kernel");
/// The boot bundle.
const BUNDLE: &CStr16 = cstr16!("\\skerry\\bundle");

/// Why the kernel cannot be started.
pub type Refusal = &'static str;

/// Begins here.
#[uefi::entry]
fn main() -> Status {
    match prepare() {
        Ok(prepared) => prepared.start(),
        Err(reason) => refuse(reason),
    }
}

/// Says why the kernel cannot be started, and switches off.
fn refuse(reason: Refusal) -> ! {
    uefi::println!("skerry: cannot start: {reason}");
    runtime::reset(ResetType::SHUTDOWN, Status::LOAD_ERROR, None)
}

/// Says where this program, which cannot go on, was wrong.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    uefi::println!("skerry: panic: {info}");
    runtime::reset(ResetType::SHUTDOWN, Status::ABORTED, None)
}

/// All that the kernel needs, in memory that stays as it is without the firmware.
struct Prepared {
    information: Information,
    doorway: Doorway,
}

/// Loads everything.
fn prepare() -> Result<Prepared, Refusal> {
    let volume = boot::get_image_file_system(boot::image_handle());
    let mut volume = FileSystem::new(volume.map_err(|_| "the loader comes from no volume")?);
    let kernel = read(&mut volume, KERNEL).ok_or("there is no \\skerry\\kernel to read")?;
    let bundle = read(&mut volume, BUNDLE).ok_or("there is no \\skerry\\bundle to read")?;
    let entry_point = Image::parse(&kernel)?.load()?;
    let mut module = Pages::new(bundle.len() as u64)?;
    module.bytes()[..bundle.len()].copy_from_slice(&bundle);
    let module = (module.base(), bundle.len() as u64);
    Ok(Prepared {
        information: Information::new(module, root_pointer())?,
        doorway: Doorway::new(entry_point)?,
    })
}

impl Prepared {
    /// Leaves the firmware and begins the kernel.
    fn start(mut self) -> ! {
        // SAFETY: nothing of the firmware's is used from here on: no file is open, and the map that
        // comes back is never freed.
        let map = unsafe { boot::exit_boot_services(None) };
        self.information.take_memory(&map);
        self.doorway.enter(self.information.base())
    }
}

/// Returns the bytes of a file.
fn read(volume: &mut FileSystem, path: &CStr16) -> Option<Vec<u8>> {
    volume.read(path).ok().filter(|bytes| !bytes.is_empty())
}

/// Returns where ACPI's root pointer is, or 0.
fn root_pointer() -> u64 {
    system::with_config_table(|table| {
        let find = |kind| table.iter().find(|entry| entry.guid == kind);
        let found = find(ConfigTableEntry::ACPI2_GUID).or(find(ConfigTableEntry::ACPI_GUID));
        found.map_or(0, |entry| entry.address as u64)
    })
}

/// Zeroed pages that are ours for good, below 4 GiB, where the kernel's first instructions reach.
pub struct Pages {
    start: NonNull<u8>,
    length: usize,
}

impl Pages {
    /// Takes pages for so many bytes, wherever they are.
    pub fn new(bytes: u64) -> Result<Self, Refusal> {
        let place = AllocateType::MaxAddress(u64::from(u32::MAX));
        Self::take(place, MemoryType::LOADER_DATA, bytes).ok_or("too little memory")
    }

    /// Takes a page for instructions.
    pub fn for_code() -> Result<Self, Refusal> {
        let place = AllocateType::MaxAddress(u64::from(u32::MAX));
        Self::take(place, MemoryType::LOADER_CODE, PAGE).ok_or("too little memory")
    }

    /// Takes the pages at an address.
    pub fn at(base: u64, bytes: u64) -> Result<Self, Refusal> {
        let place = AllocateType::Address(base);
        let pages = Self::take(place, MemoryType::LOADER_DATA, bytes);
        pages.ok_or("the memory that the kernel is linked for is not free")
    }

    /// Takes pages.
    fn take(place: AllocateType, kind: MemoryType, bytes: u64) -> Option<Self> {
        let count = usize::try_from(bytes.div_ceil(PAGE)).ok()?;
        let start = boot::allocate_pages(place, kind, count).ok()?;
        let mut pages = Self {
            start,
            length: count * PAGE as usize,
        };
        pages.bytes().fill(0);
        Some(pages)
    }

    /// Returns the physical address, which is the address: the firmware maps memory onto itself.
    pub fn base(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Returns the bytes.
    pub const fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the firmware gave us these pages, and nobody frees them; no other `Pages` has them,
        // and this one is borrowed for as long as the slice.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}
