//! Hercules, the emulator of machines with SIE: a package of the machine's own release.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::workspace::Workspace;

use super::tools;

/// The program, and the package that has it.
const NAME: &str = "hercules";

/// Returns the emulator's program, installing it where it is missing.
pub fn ensure(workspace: &Workspace, chosen: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = chosen {
        ensure!(path.is_file(), "there is no {}", path.display());
        return Ok(path.to_path_buf());
    }
    tools::ensure(workspace, &[(NAME, &[NAME])])?;
    process::find(NAME).context("hercules went away")
}
