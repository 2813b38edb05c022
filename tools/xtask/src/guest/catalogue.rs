//! Finds the guest images that a manifest or the command line names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use manifest::{Images, InitrdImage, KernelImage, Machine};

use crate::build::cargo;
use crate::machine;
use crate::workspace::Workspace;

use super::{cache, image};

/// Name of the cached Debian kernel.
const DEBIAN: &str = "debian";

/// Folder of our own guests, in the repository.
const OWN: &str = "tools/guests";

/// Files beside a manifest, our own guests, and the guest cache.
pub struct Catalogue<'a> {
    workspace: &'a Workspace,
    folder: &'a Path,
}

impl<'a> Catalogue<'a> {
    /// Returns the catalogue for a manifest in `folder`.
    pub const fn new(workspace: &'a Workspace, folder: &'a Path) -> Self {
        Self { workspace, folder }
    }

    /// Returns the kernel in `file` with a flat form of it.
    fn kernel_file(&self, file: PathBuf, machine: &Machine) -> Result<KernelImage> {
        let bytes = read(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let flat = image::unpack(&name, &bytes, machine)
            .with_context(|| format!("{} cannot be a guest", file.display()))?;
        let kept = match flat.bytes {
            Some(bytes) => self.keep(&bytes)?,
            None => file,
        };
        Ok(KernelImage {
            file: kept,
            load: flat.load,
            entry_point: flat.entry_point,
            memory_size: flat.memory_size,
            initrd: None,
        })
    }

    /// Writes an unpacked image to a file named by its contents.
    fn keep(&self, bytes: &[u8]) -> Result<PathBuf> {
        let folder = self.workspace.target().join("skerry");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("guest-{:08x}.flat", abi::bundle::crc32(&[bytes])));
        fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// Returns a guest of ours, built for `machine`.
    fn own(&self, package: &str, machine: &Machine) -> Result<KernelImage> {
        let file = own(
            self.workspace,
            package,
            machine::Machine::find(machine.bsp)?,
        )?;
        self.kernel_file(file, machine)
    }

    /// Returns the cached kernel with our initial file system.
    fn debian(&self, machine: &Machine) -> Result<KernelImage> {
        let files = cache::debian(self.workspace)?;
        let kernel = self.kernel_file(files.kernel, machine)?;
        Ok(KernelImage {
            initrd: Some(InitrdImage {
                file: files.initramfs,
            }),
            ..kernel
        })
    }
}

impl Images for Catalogue<'_> {
    fn kernel(&mut self, reference: &str, machine: &Machine) -> Result<KernelImage, String> {
        let found = match reference {
            DEBIAN => self.debian(machine),
            package if is_own(self.workspace, package) => self.own(package, machine),
            path => self.kernel_file(self.folder.join(path), machine),
        };
        found.map_err(|error| format!("{error:#}"))
    }

    fn initrd(&mut self, reference: &str) -> Result<InitrdImage, String> {
        let file = self.folder.join(reference);
        match read(&file) {
            Ok(_) => Ok(InitrdImage { file }),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// Stands in for guest images where a system is only looked at.
pub struct NoImages;

impl Images for NoImages {
    fn kernel(&mut self, _: &str, machine: &Machine) -> Result<KernelImage, String> {
        let load = machine.guest_memory_base;
        let file = PathBuf::new();
        Ok(KernelImage {
            file,
            load,
            entry_point: load,
            memory_size: 0,
            initrd: None,
        })
    }

    fn initrd(&mut self, _: &str) -> Result<InitrdImage, String> {
        Ok(InitrdImage {
            file: PathBuf::new(),
        })
    }
}

/// Tells whether `reference` names a package of `tools/guests`.
fn is_own(workspace: &Workspace, reference: &str) -> bool {
    let folder = workspace.root().join(OWN);
    let package = workspace.find(reference);
    package.is_some_and(|package| package.manifest_path.starts_with(folder))
}

/// Builds a guest of ours for `machine` and returns its ELF file.
pub fn own(workspace: &Workspace, package: &str, machine: &machine::Machine) -> Result<PathBuf> {
    let mut programs = cargo::build(workspace, &[package], machine)?;
    programs.remove(package).context("the guest was not built")
}

/// Returns the bytes of a file.
fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
