//! Builds bare-metal crates with cargo and says where the executables are.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::Message;

use crate::machine::Machine;
use crate::process;
use crate::workspace::Workspace;

/// Builds one binary of each of `packages` for `machine`; returns package name → executable.
pub fn build(
    workspace: &Workspace,
    packages: &[&str],
    machine: &Machine,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = process::cargo();
    command
        .current_dir(workspace.root())
        .args(["build", "--release", "--target", machine.target]);
    build_core(&mut command, machine);
    command.arg("--message-format=json-render-diagnostics");
    let mut wanted = Vec::new();
    for package in packages {
        let binary = workspace.binary(package, machine.name)?;
        command.args(["--package", package, "--bin", &binary]);
        wanted.push(((*package).to_owned(), binary));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(&command)))?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut executables = BTreeMap::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        let Message::CompilerArtifact(artifact) = message? else {
            continue;
        };
        if let Some(executable) = artifact.executable {
            executables.insert(artifact.target.name, executable.into_std_path_buf());
        }
    }
    let status = child.wait()?;
    ensure!(
        status.success(),
        "building {} for {} failed",
        packages.join(", "),
        machine.target
    );
    wanted
        .into_iter()
        .map(|(package, binary)| {
            let executable = executables.get(&binary).cloned();
            Ok((
                package,
                executable.with_context(|| format!("cargo made no `{binary}`"))?,
            ))
        })
        .collect()
}

/// Builds the one binary of a package for `machine` with features of it, beside what is built without
/// them; returns the executable.
pub fn build_with(
    workspace: &Workspace,
    package: &str,
    machine: &Machine,
    features: &str,
) -> Result<PathBuf> {
    let folder = workspace.target().join("features").join(features);
    let mut command = process::cargo();
    command
        .current_dir(workspace.root())
        .args(["build", "--quiet", "--release", "--target", machine.target])
        .args(["--package", package, "--features", features])
        .arg("--target-dir")
        .arg(&folder);
    build_core(&mut command, machine);
    process::run(&mut command)?;
    Ok(folder.join(machine.target).join("release").join(package))
}

/// Builds the one binary of a package for a target that is no machine's; returns the executable.
pub fn build_for(workspace: &Workspace, package: &str, target: &str) -> Result<PathBuf> {
    let mut command = process::cargo();
    command.current_dir(workspace.root()).args([
        "build",
        "--quiet",
        "--release",
        "--target",
        target,
        "--package",
        package,
    ]);
    process::run(&mut command)?;
    let file = workspace
        .target()
        .join(target)
        .join("release")
        .join(package);
    Ok(file.with_extension("efi"))
}

/// Lets a cargo command build `core` and `alloc` where there are none for the machine's target.
pub fn build_core(command: &mut Command, machine: &Machine) {
    if machine.builds_core {
        command
            .arg("-Zbuild-std=core,alloc")
            .env("RUSTC_BOOTSTRAP", "1");
    }
}
