//! UEFI firmware for a PC: OVMF, as a distribution packages it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

use super::apt;

/// The package.
const PACKAGE: &str = "ovmf";
/// Where distributions put the image that has code and variables in one file.
const PLACES: [&str; 3] = [
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/qemu/OVMF.fd",
    "/usr/share/edk2/ovmf/OVMF.fd",
];

/// Returns the firmware, installing it where it is missing.
pub fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(file) = installed() {
        return Ok(file);
    }
    apt::install(workspace, &[PACKAGE])?;
    installed().with_context(|| format!("{PACKAGE} was installed, but has no OVMF.fd"))
}

/// Returns the installed firmware.
fn installed() -> Option<PathBuf> {
    let all = PLACES.iter().map(Path::new);
    all.map(Path::to_path_buf).find(|file| file.is_file())
}
