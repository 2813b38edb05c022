//! A bootable CD: GRUB, which loads kernel and bundle by multiboot2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::tools;
use crate::workspace::Workspace;

/// GRUB's folder of what it needs on a PC.
const PLATFORM: &str = "/usr/lib/grub/i386-pc";
/// What GRUB does.
const SCRIPT: &str = "multiboot2 /boot/skerry\nmodule2 /boot/bundle\nboot\n";
/// The programs that make it, with their packages.
const TOOLS: [(&str, &[&str]); 3] = [
    ("grub-mkrescue", &["grub-common", "grub-pc-bin"]),
    ("xorriso", &["xorriso"]),
    ("mformat", &["mtools"]),
];

/// Returns the CD with this kernel and bundle, beside the bundle; an equal one is not made again.
pub fn build(workspace: &Workspace, kernel: &Path, bundle: &Path) -> Result<PathBuf> {
    tools::ensure(workspace, &TOOLS)?;
    let image = fs::read(kernel).with_context(|| format!("cannot read {}", kernel.display()))?;
    let sum = abi::bundle::crc32(&[&image]);
    let stem = bundle.file_stem().unwrap_or_default().to_string_lossy();
    let disc = bundle.with_file_name(format!("{stem}-{sum:08x}.iso"));
    if disc.is_file() {
        return Ok(disc);
    }
    let folder = bundle.with_file_name(format!("{stem}-{}.disc", std::process::id()));
    let grub = folder.join("boot/grub");
    fs::create_dir_all(&grub).with_context(|| format!("no folder {}", grub.display()))?;
    fs::write(grub.join("grub.cfg"), SCRIPT)?;
    fs::write(folder.join("boot/skerry"), super::elf::stripped(&image)?)?;
    fs::copy(bundle, folder.join("boot/bundle"))?;
    let draft = folder.with_extension("draft");
    let mut command = Command::new("grub-mkrescue");
    command.args(["--modules=multiboot2", "-d", PLATFORM, "-o"]);
    process::output(command.arg(&draft).arg(&folder))?;
    fs::remove_dir_all(&folder)?;
    fs::rename(&draft, &disc).with_context(|| format!("cannot write {}", disc.display()))?;
    Ok(disc)
}
