//! Builds a whole system: kernel, servers and boot bundle of one manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use logview::Programs as LogPrograms;
use manifest::compiled::ENTRY_NAME;
use manifest::{Compiled, Images, Overrides, Package};

use crate::guest::catalogue::Catalogue;
use crate::machine::Machine;
use crate::workspace::Workspace;

use super::bundle::Writer;
use super::{cargo, elf};

/// A system that can be booted.
#[derive(Debug)]
pub struct System {
    /// The machine that it is for.
    pub machine: &'static Machine,
    /// The checked and compiled manifest.
    pub compiled: Compiled,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The boot bundle.
    pub bundle: PathBuf,
    /// Package and bytes in memory of every process image, the first process's included.
    pub images: Vec<(String, u64)>,
    /// What decodes its log.
    pub log: LogPrograms,
}

/// The programs of a system.
#[derive(Debug)]
pub struct Programs {
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// Package and ELF file of the first process.
    init: (String, Vec<u8>),
    /// Package and ELF file of all others.
    others: Vec<(String, Vec<u8>)>,
}

/// Compiles the manifest `file` with guest images from `images`.
pub fn compile(
    workspace: &Workspace,
    file: &Path,
    overrides: &Overrides,
    images: &mut dyn Images,
) -> Result<Compiled> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the system file {}", file.display()))?;
    let shown = file.strip_prefix(workspace.root()).unwrap_or(file);
    manifest::compile(shown, &text, overrides, images)
        .map_err(|refusal| anyhow::Error::new(*refusal))
}

/// Returns the package of the kernel for a system.
pub fn kernel_package(compiled: &Compiled) -> String {
    format!("bsp-{}", compiled.machine.bsp)
}

/// Returns all packages that a system is made of, each once.
fn packages(compiled: &Compiled) -> BTreeSet<String> {
    let others = compiled.packages.iter().map(|package| package.name.clone());
    others
        .chain([kernel_package(compiled), compiled.init.clone()])
        .collect()
}

/// Returns the packages of a system that the workspace does not have.
pub fn absent(workspace: &Workspace, compiled: &Compiled) -> Vec<String> {
    packages(compiled)
        .into_iter()
        .filter(|name| workspace.find(name).is_none())
        .collect()
}

impl Programs {
    /// Builds the programs of a system.
    pub fn build(workspace: &Workspace, compiled: &Compiled) -> Result<Self> {
        Self::build_with(workspace, compiled, &Features::new())
    }

    /// Builds the programs of a system, some with features.
    fn build_with(workspace: &Workspace, compiled: &Compiled, features: &Features) -> Result<Self> {
        let machine = Machine::find(compiled.machine.bsp)?;
        let packages = packages(compiled);
        let names: Vec<_> = packages.iter().map(String::as_str).collect();
        let mut executables = cargo::build(workspace, &names, machine)?;
        for (package, features) in features {
            ensure!(packages.contains(package), "no part is a {package}");
            let executable = cargo::build_with(workspace, package, machine, &features.join(","))?;
            executables.insert(package.clone(), executable);
        }
        let executable =
            |package: &str| executables.get(package).context("a package was not built");
        let program = |package: &str| Ok((package.to_owned(), read(executable(package)?)?));
        let others = compiled
            .packages
            .iter()
            .map(|package| program(&package.name));
        Ok(Self {
            kernel: executable(&kernel_package(compiled))?.clone(),
            init: program(&compiled.init)?,
            others: others.collect::<Result<_>>()?,
        })
    }

    /// Returns package and bytes in memory of every image; refuses one above its limit.
    pub fn sizes(&self, compiled: &Compiled) -> Result<Vec<(String, u64)>> {
        let mut sizes = vec![(self.init.0.clone(), elf::loaded_size(&self.init.1)?)];
        for (package, (name, bytes)) in compiled.packages.iter().zip(&self.others) {
            sizes.push((name.clone(), checked_size(package, bytes)?));
        }
        Ok(sizes)
    }

    /// Returns what decodes the log of the system.
    fn log(&self, compiled: &Compiled) -> Result<LogPrograms> {
        let programs = || self.others.iter().chain([&self.init]);
        LogPrograms::of_system(&compiled.system, &compiled.init, |package| {
            let program = programs().find(|(name, _)| name == package);
            let (_, bytes) = program.context("a package was not built")?;
            Ok(bytes.clone())
        })
    }

    /// Returns the boot bundle of the system.
    fn bundle(&self, compiled: &Compiled) -> Result<Vec<u8>> {
        let (entry_point, segments) = elf::segments(&self.init.1).context("the first process")?;
        let mut writer = Writer::new(entry_point, segments)?;
        writer.add(ENTRY_NAME, compiled.system.encode()?)?;
        for (name, bytes) in &self.others {
            writer.add(name, elf::stripped(bytes)?)?;
        }
        for file in &compiled.files {
            writer.add(&file.entry, read(&file.file)?)?;
        }
        for (name, text) in &compiled.texts {
            writer.add(name, text.clone().into_bytes())?;
        }
        Ok(writer.finish())
    }
}

/// Features that packages are built with.
pub type Features = BTreeMap<String, Vec<String>>;

/// Builds everything that the manifest `file` names; the bundle gets the name `name`.
pub fn build(
    workspace: &Workspace,
    file: &Path,
    overrides: &Overrides,
    name: &str,
) -> Result<System> {
    build_with(workspace, file, overrides, (name, &Features::new()))
}

/// Builds everything that the manifest `file` names, some of it with features; the bundle gets the
/// name `name`.
pub fn build_with(
    workspace: &Workspace,
    file: &Path,
    overrides: &Overrides,
    (name, features): (&str, &Features),
) -> Result<System> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut catalogue = Catalogue::new(workspace, folder);
    let compiled = compile(workspace, file, overrides, &mut catalogue)?;
    let programs = Programs::build_with(workspace, &compiled, features)?;
    let images = programs.sizes(&compiled)?;
    let bundle = write(workspace, name, &programs.bundle(&compiled)?)?;
    let log = programs.log(&compiled)?;
    Ok(System {
        log,
        machine: Machine::find(compiled.machine.bsp)?,
        compiled,
        kernel: programs.kernel,
        bundle,
        images,
    })
}

/// Returns the bytes in memory of a package's image; refuses one above its limit.
fn checked_size(package: &Package, bytes: &[u8]) -> Result<u64> {
    let size = elf::loaded_size(bytes).with_context(|| format!("package `{}`", package.name))?;
    if let Some(limit) = package.image_max {
        ensure!(
            size <= limit.bytes(),
            "the image of `{}` has {size} bytes of code and data, the manifest's image_max is {limit}",
            package.name
        );
    }
    Ok(size)
}

/// Writes the bundle under the target folder, under a name of its content: systems that are built
/// and run at the same time do not get into each other's way.
fn write(workspace: &Workspace, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let folder = workspace.target().join("skerry");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!(
        "{name}-{:08x}.bundle",
        abi::bundle::crc32(&[bytes])
    ));
    if fs::metadata(&file).is_ok_and(|known| known.len() == bytes.len() as u64) {
        return Ok(file);
    }
    let draft = folder.join(format!("{name}-{}.draft", std::process::id()));
    fs::write(&draft, bytes).with_context(|| format!("cannot write {}", draft.display()))?;
    fs::rename(&draft, &file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Returns the bytes of a file.
fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
