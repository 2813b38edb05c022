//! Bochs 3.0: unpacked from packages of Debian's suite trixie into the cache, started with its own
//! loader and libraries. Nothing outside the cache is changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::progress::Step;
use crate::workspace::Workspace;

use super::apt::PrivateApt;
use super::mirror::Mirror;

/// The release that it is taken from: 3.0, where 3.1 fails to boot Linux.
const SUITE: &str = "trixie";
/// Its architecture, which has to be the host's.
const ARCHITECTURE: &str = "amd64";
/// The emulator and the firmware that it runs.
const PACKAGES: [&str; 3] = ["bochs", "bochsbios", "vgabios"];
/// What of the packages is kept, in their root.
const KEPT: [&str; 5] = [
    "usr/bin/bochs-bin",
    "usr/lib",
    "usr/lib64",
    "usr/share/bochs",
    "usr/share/vgabios",
];
/// What to do where apt cannot help.
const ADVICE: &str = "cannot fetch Bochs; unpack the packages bochs, bochsbios and vgabios of \
    Debian trixie, and what they depend on, into one folder and name it by --emulator-path";

/// Returns the folder that Bochs is unpacked in, fetching it where it is missing.
pub fn ensure(workspace: &Workspace, chosen: Option<&Path>) -> Result<PathBuf> {
    let root = match chosen {
        Some(folder) => folder.to_path_buf(),
        None => cached(workspace)?,
    };
    for file in [program(&root), loader(&root)] {
        ensure!(file.is_file(), "Bochs has no {}", file.display());
    }
    Ok(root)
}

/// Returns the emulator's program.
pub fn program(root: &Path) -> PathBuf {
    root.join("usr/bin/bochs-bin")
}

/// Returns the dynamic loader that goes with its libraries.
pub fn loader(root: &Path) -> PathBuf {
    root.join("usr/lib64/ld-linux-x86-64.so.2")
}

/// Returns the folder of its libraries.
pub fn libraries(root: &Path) -> PathBuf {
    root.join("usr/lib/x86_64-linux-gnu")
}

/// Returns its folder in the cache, filled.
fn cached(workspace: &Workspace) -> Result<PathBuf> {
    let cache = workspace.cache();
    fs::create_dir_all(&cache).with_context(|| format!("no folder {}", cache.display()))?;
    let lock = File::create(cache.join("bochs.lock")).context("cannot lock the cache")?;
    lock.lock().context("cannot lock the cache")?;
    let root = cache.join("bochs");
    if !root.is_dir() {
        fetch(&cache, &root).context(ADVICE)?;
    }
    Ok(root)
}

/// Fetches the packages and keeps what is needed; the folder appears when all is in it.
fn fetch(cache: &Path, root: &Path) -> Result<()> {
    ensure!(
        std::env::consts::ARCH == "x86_64",
        "its packages run on an x86-64 host only"
    );
    let mirror = Mirror::find()?;
    let _step = Step::begin("fetching Bochs 3.0 with apt (110 MB)");
    let folder = cache.join("apt-bochs");
    let apt = PrivateApt::new(&folder, &mirror.line(SUITE), Some(ARCHITECTURE))?;
    apt.update()?;
    let (whole, draft) = (folder.join("root"), folder.join("kept"));
    for package in apt.download_with_dependencies(&PACKAGES)? {
        process::output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&whole))?;
    }
    for part in KEPT {
        let to = draft.join(part);
        fs::create_dir_all(to.parent().unwrap_or(&draft))?;
        fs::rename(whole.join(part), to).with_context(|| format!("the packages have no {part}"))?;
    }
    fs::rename(&draft, root).with_context(|| format!("cannot make {}", root.display()))?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}
