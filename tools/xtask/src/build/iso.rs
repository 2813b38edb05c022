//! A bootable CD: GRUB, which loads kernel and bundle by multiboot2.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::tools;
use crate::workspace::Workspace;

use super::system::System;

/// GRUB's folder of what it needs on a PC.
const PLATFORM: &str = "/usr/lib/grub/i386-pc";
/// What GRUB does: what it has to say goes to the serial line, where it is seen.
const SCRIPT: &str = "serial --unit=0 --speed=115200\nterminal_output serial\n\
    multiboot2 /boot/skerry\nmodule2 /boot/bundle\nboot\n";
/// The programs that make it, with their packages.
const TOOLS: [(&str, &[&str]); 3] = [
    ("grub-mkrescue", &["grub-common", "grub-pc-bin"]),
    ("xorriso", &["xorriso"]),
    ("mformat", &["mtools"]),
];

/// Returns the CD of a system, beside its bundle, with a command of GRUB's before it loads the
/// kernel; an equal one is not made again.
pub fn build(workspace: &Workspace, system: &System, command: Option<&str>) -> Result<PathBuf> {
    let (kernel, bundle) = (&system.kernel, &system.bundle);
    let script = format!("{}\n{SCRIPT}", command.unwrap_or_default());
    tools::ensure(workspace, &TOOLS)?;
    let image = fs::read(kernel).with_context(|| format!("cannot read {}", kernel.display()))?;
    let sum = abi::bundle::crc32(&[&image, script.as_bytes()]);
    let stem = bundle.file_stem().unwrap_or_default().to_string_lossy();
    let disc = bundle.with_file_name(format!("{stem}-{sum:08x}.iso"));
    if disc.is_file() {
        return Ok(disc);
    }
    let folder = bundle.with_file_name(format!("{stem}-{}.disc", std::process::id()));
    let grub = folder.join("boot/grub");
    fs::create_dir_all(&grub).with_context(|| format!("no folder {}", grub.display()))?;
    fs::write(grub.join("grub.cfg"), script)?;
    fs::write(folder.join("boot/skerry"), super::elf::stripped(&image)?)?;
    fs::copy(bundle, folder.join("boot/bundle"))?;
    let draft = folder.with_extension("draft");
    let mut command = Command::new("grub-mkrescue");
    command.args(["--modules=multiboot2 serial", "-d", PLATFORM, "-o"]);
    process::output(command.arg(&draft).arg(&folder))?;
    fs::remove_dir_all(&folder)?;
    fs::rename(&draft, &disc).with_context(|| format!("cannot write {}", disc.display()))?;
    Ok(disc)
}
