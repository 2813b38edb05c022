//! The repository: where things are, and which crates it has by now.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};

/// The workspace that xtask belongs to.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    metadata: Metadata,
}

impl Workspace {
    /// Finds the workspace and reads its metadata.
    pub fn open() -> Result<Self> {
        let root = root()?;
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .no_deps()
            .exec()
            .context("cannot read the workspace's Cargo files")?;
        Ok(Self { root, metadata })
    }

    /// Returns the folder that holds the workspace.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder for everything that is built.
    pub fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// Returns the folder for what is fetched and kept.
    pub fn cache(&self) -> PathBuf {
        self.root.join(".cache")
    }

    /// Returns all crates of the workspace.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.metadata.workspace_packages().into_iter()
    }

    /// Returns the crate with this name, if it is there yet.
    pub fn find(&self, name: &str) -> Option<&Package> {
        self.packages().find(|package| *package.name == name)
    }

    /// Returns the crate with this name.
    pub fn package(&self, name: &str) -> Result<&Package> {
        self.find(name)
            .with_context(|| format!("package `{name}` is not in the workspace"))
    }

    /// Returns the binary of `package` for the machine family `bsp`: the one named like the
    /// package, or like the package and the machine, or the only one.
    pub fn binary(&self, package: &str, bsp: &str) -> Result<String> {
        let found = self.package(package)?;
        let binaries: Vec<_> = found
            .targets
            .iter()
            .filter(|target| target.is_bin())
            .map(|target| &target.name)
            .collect();
        let for_machine = format!("{package}-{bsp}");
        for wanted in [package, &for_machine] {
            if binaries.iter().any(|name| *name == wanted) {
                return Ok(wanted.to_owned());
            }
        }
        match binaries.as_slice() {
            [only] => Ok((*only).clone()),
            _ => bail!("package `{package}` has no binary `{package}` nor `{for_machine}`"),
        }
    }
}

/// Returns the workspace's folder.
fn root() -> Result<PathBuf> {
    let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(own) => PathBuf::from(own),
        None => std::env::current_dir().context("no current folder")?,
    };
    let is_root = |folder: &&Path| folder.join("tools/xtask/Cargo.toml").is_file();
    let root = start.ancestors().find(is_root);
    root.map(Path::to_path_buf)
        .context("not inside Skerry's repository")
}
