//! clippy, for the host and for the three machines.

use std::process::Command;

use anyhow::Result;

use crate::build::cargo::build_core;
use crate::build::disk;
use crate::machine::{MACHINES, Machine};
use crate::process;
use crate::workspace::Workspace;

use super::Report;
use super::direction::{Kind, kind};

/// Runs clippy everywhere; a warning is an error.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    let mut host = clippy(workspace);
    host.arg("--all-targets");
    note(&mut report, "host", finish(&mut host));
    let mut loader = clippy(workspace);
    loader.args(["--target", disk::TARGET, "--package", disk::LOADER]);
    note(&mut report, disk::TARGET, finish(&mut loader));
    for machine in &MACHINES {
        let packages = packages(workspace, machine, &mut report);
        let outcome = packages
            .iter()
            .try_for_each(|package| on_target(workspace, machine, package));
        note(&mut report, machine.target, outcome);
    }
    Ok(report)
}

/// Returns the crates that are there of those that belong on a target.
fn packages(workspace: &Workspace, machine: &Machine, report: &mut Report) -> Vec<String> {
    let mut packages = Vec::new();
    let image = format!("bsp-{}", machine.name);
    if workspace.find(&image).is_some() {
        packages.push(image);
    } else {
        report
            .absent
            .push(format!("package `{image}` for {}", machine.target));
    }
    let belongs = |kind| match kind {
        Kind::Guest => true,
        Kind::Init | Kind::Server | Kind::Device | Kind::Driver | Kind::Runtime => machine.servers,
        _ => false,
    };
    let others = workspace.packages();
    let others = others.filter(|package| kind(workspace, package).is_some_and(belongs));
    packages.extend(others.map(|package| package.name.to_string()));
    packages
}

/// Runs clippy on one crate for a target: alone, as it is built, for features that another crate
/// asks of a common dependency (a heap, say) are not its own.
fn on_target(workspace: &Workspace, machine: &Machine, package: &str) -> Result<()> {
    let mut command = clippy(workspace);
    command.args(["--target", machine.target, "--package", package]);
    build_core(&mut command, machine);
    finish(&mut command)
}

/// Returns the beginning of a command.
fn clippy(workspace: &Workspace) -> Command {
    let mut command = process::cargo();
    command
        .current_dir(workspace.root())
        .args(["clippy", "--quiet"]);
    command
}

/// Runs the command with its last words.
fn finish(command: &mut Command) -> Result<()> {
    process::run(command.args(["--", "-D", "warnings"]))
}

/// Adds what came of a run.
fn note(report: &mut Report, what: &str, outcome: Result<()>) {
    match outcome {
        Ok(()) => report.notes.push(format!("{what} ok")),
        Err(error) => report.wrong.push(format!("{what}: {error:#}")),
    }
}
