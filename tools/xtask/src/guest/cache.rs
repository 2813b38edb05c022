//! The guest cache: Debian's kernel and busybox, fetched once and verified by apt.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::progress::Step;
use crate::setup::apt::PrivateApt;
use crate::setup::mirror::Mirror;
use crate::workspace::Workspace;

use super::initramfs;

/// The release that guests are taken from.
const SUITE: &str = "trixie";
/// The architecture of RISC-V guests.
const ARCHITECTURE: &str = "riscv64";
/// The meta-package that names the current kernel.
const META: &str = "linux-image-riscv64";
/// What to do where apt cannot help.
const ADVICE: &str = "cannot fetch the Debian guest; put a riscv64 Linux Image at \
    .cache/debian-riscv64/kernel and a static busybox at .cache/debian-riscv64/busybox, or name \
    other files by --guest and --initrd";

/// A kernel and its initial file system.
#[derive(Clone, Debug)]
pub struct Files {
    /// The Linux `Image`.
    pub kernel: PathBuf,
    /// The archive with our init.
    pub initramfs: PathBuf,
}

/// Returns Debian's kernel and our initial file system, fetching what is not in the cache.
pub fn debian(workspace: &Workspace) -> Result<Files> {
    let folder = workspace.cache().join(format!("debian-{ARCHITECTURE}"));
    fs::create_dir_all(&folder).with_context(|| format!("no folder {}", folder.display()))?;
    let lock = File::create(folder.join("lock")).context("cannot lock the guest cache")?;
    lock.lock().context("cannot lock the guest cache")?;
    let (kernel, busybox) = (folder.join("kernel"), folder.join("busybox"));
    if !kernel.is_file() || !busybox.is_file() {
        fetch(workspace, &kernel, &busybox).context(ADVICE)?;
    }
    let initramfs = folder.join("initramfs");
    let archive = initramfs::build(workspace.root(), &busybox)?;
    if fs::read(&initramfs).ok().as_ref() != Some(&archive) {
        replace(&initramfs, &archive)?;
    }
    Ok(Files { kernel, initramfs })
}

/// Fetches both packages and keeps one file of each.
fn fetch(workspace: &Workspace, kernel: &Path, busybox: &Path) -> Result<()> {
    let mirror = Mirror::find()?;
    let _step = Step::begin("fetching Debian's riscv64 kernel and busybox with apt (110 MB)");
    let folder = workspace.cache().join(format!("apt-{ARCHITECTURE}"));
    let apt = PrivateApt::new(&folder, &mirror.line(SUITE), Some(ARCHITECTURE))?;
    apt.update()?;
    let depends = apt.depends(META)?;
    let is_kernel = |name: &&String| name.starts_with("linux-image-");
    let image = depends
        .iter()
        .find(is_kernel)
        .context("the kernel's meta-package names none")?;
    let packages = apt.download(&[image, "busybox-static"])?;
    keep(&packages[0], "./boot/vmlinux-*", kernel)?;
    keep(&packages[1], "*bin/busybox", busybox)?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Unpacks the one file of `package` that matches `pattern` to `to`.
fn keep(package: &Path, pattern: &str, to: &Path) -> Result<()> {
    let mut unpack = Command::new("dpkg-deb");
    unpack
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = unpack.spawn().context("cannot start dpkg-deb")?;
    let stream = child.stdout.take().context("dpkg-deb has no output")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--to-stdout", "--wildcards", pattern])
        .stdin(stream);
    let output = tar.output().context("cannot start tar")?;
    let status = child.wait()?;
    let shown = package.display();
    ensure!(
        status.success(),
        "`{}` failed: {status}",
        process::line(&unpack)
    );
    ensure!(
        output.status.success() && !output.stdout.is_empty(),
        "{shown} has no {pattern}"
    );
    replace(to, &output.stdout)
}

/// Writes a file so that it is never seen half-written.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let partial = file.with_extension("partial");
    fs::write(&partial, bytes).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, file).with_context(|| format!("cannot write {}", file.display()))
}
