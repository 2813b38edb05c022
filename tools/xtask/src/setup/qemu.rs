//! The emulator: QEMU 10 or newer.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::machine::Qemu;
use crate::process;
use crate::workspace::Workspace;

use super::apt;

/// The oldest release that has what we need.
const MIN_VERSION: u32 = 10;

/// Returns the emulator to use, installing it where it is missing or too old.
pub fn ensure(workspace: &Workspace, qemu: &Qemu, chosen: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = chosen {
        return match version(path) {
            Some(version) if version >= MIN_VERSION => Ok(path.to_path_buf()),
            Some(version) => bail!(
                "{} is QEMU {version}, {MIN_VERSION} is needed",
                path.display()
            ),
            None => bail!("{} is no QEMU that runs here", path.display()),
        };
    }
    if let Some(path) = installed(qemu) {
        return Ok(path);
    }
    apt::install_newer(workspace, qemu.package, MIN_VERSION)?;
    match installed(qemu) {
        Some(path) => Ok(path),
        None => bail!(
            "{} was installed, but there is no {} {MIN_VERSION} in PATH",
            qemu.package,
            qemu.program
        ),
    }
}

/// Returns the installed emulator if it is new enough.
fn installed(qemu: &Qemu) -> Option<PathBuf> {
    process::find(qemu.program)
        .filter(|path| version(path).is_some_and(|found| found >= MIN_VERSION))
}

/// Returns the major version of an emulator.
fn version(program: &Path) -> Option<u32> {
    major(&process::output(Command::new(program).arg("--version")).ok()?)
}

/// Returns the major number in `QEMU emulator version 10.0.2 (…)`.
fn major(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("version ")?;
    rest.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(
            major("QEMU emulator version 10.0.2 (Debian 1:10.0.2)\nCopyright"),
            Some(10)
        );
        assert_eq!(major("QEMU emulator version 7.2.19"), Some(7));
        assert_eq!(major("something else"), None);
    }
}
