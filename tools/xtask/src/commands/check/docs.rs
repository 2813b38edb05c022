//! The documentation.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

use super::Report;

/// Builds the documentation of all host-buildable crates; a warning is an error.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut command = process::cargo();
    command
        .current_dir(workspace.root())
        .args(["doc", "--quiet", "--no-deps"]);
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Report::default())
}
