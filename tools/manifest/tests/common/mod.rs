//! A manifest that compiles, and images that are not looked at.
#![allow(dead_code, reason = "every test file uses another part")]

use std::path::{Path, PathBuf};

use manifest::{Compiled, Images, InitrdImage, KernelImage, Machine, Overrides, Refusal, compile};

/// The example of `docs/style.md`, completed.
pub const TWO_GUESTS: &str = include_str!("two-guests.toml");

/// Knows `debian`, `flat` and `ramdisk`.
pub struct FakeImages;

impl Images for FakeImages {
    fn kernel(&mut self, reference: &str, machine: &Machine) -> Result<KernelImage, String> {
        let has_ramdisk = reference == "debian";
        if !has_ramdisk && reference != "flat" {
            return Err(format!("{reference}: no such file"));
        }
        let load = machine.guest_memory_base + machine.flat_image_offset;
        let initrd = has_ramdisk.then(|| InitrdImage {
            file: PathBuf::from("/cache/ramdisk"),
        });
        let file = PathBuf::from("/cache").join(reference);
        Ok(KernelImage {
            file,
            load,
            entry_point: load,
            memory_size: 4096,
            initrd,
        })
    }

    fn initrd(&mut self, reference: &str) -> Result<InitrdImage, String> {
        match reference {
            "ramdisk" => Ok(InitrdImage {
                file: PathBuf::from("/cache/other-ramdisk"),
            }),
            _ => Err(format!("{reference}: no such file")),
        }
    }
}

/// Compiles `text` as it is.
pub fn compiled(text: &str) -> Result<Compiled, Box<Refusal>> {
    compiled_with(text, &Overrides::default())
}

/// Compiles `text` as the command line changes it.
pub fn compiled_with(text: &str, overrides: &Overrides) -> Result<Compiled, Box<Refusal>> {
    compile(Path::new("system.toml"), text, overrides, &mut FakeImages)
}
