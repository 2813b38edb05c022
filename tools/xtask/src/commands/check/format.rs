//! rustfmt.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

use super::Report;

/// Checks the format of all sources.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut command = process::cargo();
    command
        .current_dir(workspace.root())
        .args(["fmt", "--all", "--", "--check"]);
    process::run(&mut command)?;
    Ok(Report::default())
}
