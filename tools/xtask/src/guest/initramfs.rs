//! The initial file system of Linux guests: busybox and the scripts of `tools/guests/initramfs`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;

/// Folder of the scripts that go to the root of the file system.
const SCRIPTS: &str = "tools/guests/initramfs";

/// Returns the archive with `busybox` and the scripts of the repository at `root`.
pub fn build(root: &Path, busybox: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.folder(folder)?;
    }
    archive.character_device("dev/console", 5, 1)?;
    let program = fs::read(busybox).with_context(|| format!("no {}", busybox.display()))?;
    archive.executable("bin/busybox", &program)?;
    archive.link("bin/sh", "busybox")?;
    for script in scripts(&root.join(SCRIPTS))? {
        let name = script.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read(&script).with_context(|| format!("no {}", script.display()))?;
        archive.executable(&name, &text)?;
    }
    archive.finish()
}

/// Returns the files of `folder` in the order of their names.
fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let rows = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut files = Vec::new();
    for row in rows {
        let path = row?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
