//! Programs of the host that images are made with.

use anyhow::{Result, ensure};

use crate::process;
use crate::workspace::Workspace;

use super::apt;

/// Makes sure of programs, each given with the packages that bring it and its parts.
pub fn ensure(workspace: &Workspace, wanted: &[(&str, &[&str])]) -> Result<()> {
    let missing = |program: &str| process::find(program).is_none();
    let mut packages: Vec<_> = wanted
        .iter()
        .filter(|(program, _)| missing(program))
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect();
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        apt::install(workspace, &packages)?;
    }
    for (program, packages) in wanted {
        let packages = packages.join(" ");
        ensure!(
            !missing(program),
            "{packages} installed, but there is no {program} in PATH"
        );
    }
    Ok(())
}
