//! Builds a whole system: kernel, servers and boot bundle of one manifest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use manifest::compiled::ENTRY_NAME;
use manifest::{Compiled, Overrides, Package};

use crate::guest::catalogue::Catalogue;
use crate::workspace::Workspace;

use super::bundle::Writer;
use super::{cargo, elf};

/// A system that can be booted.
#[derive(Debug)]
pub struct System {
    /// The checked and compiled manifest.
    pub compiled: Compiled,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The boot bundle.
    pub bundle: PathBuf,
    /// Package and bytes in memory of every process image, the first process's included.
    pub images: Vec<(String, u64)>,
}

/// Compiles the manifest `file`.
pub fn compile(workspace: &Workspace, file: &Path, overrides: &Overrides) -> Result<Compiled> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the system file {}", file.display()))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut catalogue = Catalogue::new(workspace, folder);
    manifest::compile(&shown(workspace, file), &text, overrides, &mut catalogue)
        .map_err(|refusal| anyhow::Error::new(*refusal))
}

/// Returns `file` as it is shown: relative to the workspace where it is inside.
fn shown(workspace: &Workspace, file: &Path) -> PathBuf {
    file.strip_prefix(workspace.root())
        .unwrap_or(file)
        .to_path_buf()
}

/// Builds everything that the manifest `file` names; the results get the name `name`.
pub fn build(
    workspace: &Workspace,
    file: &Path,
    overrides: &Overrides,
    name: &str,
) -> Result<System> {
    let compiled = compile(workspace, file, overrides)?;
    let machine = compiled.machine;
    let kernel_package = format!("bsp-{}", machine.bsp);
    let mut packages = vec![kernel_package.as_str(), compiled.init.as_str()];
    packages.extend(
        compiled
            .packages
            .iter()
            .map(|package| package.name.as_str()),
    );
    packages.sort_unstable();
    packages.dedup();
    let executables = cargo::build(workspace, &packages, machine.bsp, machine.target)?;
    let executable = |package: &str| executables.get(package).context("a package was not built");

    let init = read(executable(&compiled.init)?)?;
    let (entry_point, segments) = elf::segments(&init).context("the first process")?;
    let mut images = vec![(compiled.init.clone(), elf::memory_size(&init)?)];
    let mut writer = Writer::new(entry_point, segments)?;
    writer.add(ENTRY_NAME, compiled.system.encode()?)?;
    for package in &compiled.packages {
        let bytes = read(executable(&package.name)?)?;
        images.push((package.name.clone(), checked_size(package, &bytes)?));
        writer.add(&package.name, elf::stripped(&bytes)?)?;
    }
    for file in &compiled.files {
        writer.add(&file.entry, read(&file.file)?)?;
    }
    for (name, text) in &compiled.texts {
        writer.add(name, text.clone().into_bytes())?;
    }
    let kernel = executable(&kernel_package)?.clone();
    let bundle = write(workspace, name, &writer.finish())?;
    Ok(System {
        compiled,
        kernel,
        bundle,
        images,
    })
}

/// Returns the bytes in memory of a package's image; refuses one above its limit.
fn checked_size(package: &Package, bytes: &[u8]) -> Result<u64> {
    let size = elf::memory_size(bytes).with_context(|| format!("package `{}`", package.name))?;
    if let Some(limit) = package.image_max {
        ensure!(
            size <= limit.bytes(),
            "the image of `{}` takes {size} bytes, the manifest's image_max is {limit}",
            package.name
        );
    }
    Ok(size)
}

/// Writes the bundle under the target folder.
fn write(workspace: &Workspace, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let folder = workspace.target().join("skerry");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.bundle"));
    fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Returns the bytes of a file.
fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
