//! cargo-deny: licences, duplicates, sources and advisories of what we depend on (`deny.toml`).

use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

use super::Report;

/// What is checked without a network.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// What cargo-deny says where it has no advisories to compare with.
const NO_DATABASE: &str = "advisory database";

/// Runs cargo-deny where it is installed.
///
/// Advisories need their database: where it cannot be had, that alone is skipped.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    if process::find("cargo-deny").is_none() {
        report
            .skipped
            .push("cargo-deny is not installed (cargo install cargo-deny)".to_owned());
        return Ok(report);
    }
    process::run(deny(workspace, &[]).args(OFFLINE))?;
    report.notes.push(format!("{} ok", OFFLINE.join(", ")));
    match advisories(workspace) {
        Ok(()) => report.notes.push("advisories ok".to_owned()),
        Err(said) if said.contains(NO_DATABASE) => report
            .skipped
            .push("advisories: their database cannot be fetched".to_owned()),
        Err(said) => report.wrong.push(said),
    }
    Ok(report)
}

/// Looks for advisories; without a network, in the database as it was last fetched. Returns what
/// cargo-deny said where it failed.
fn advisories(workspace: &Workspace) -> Result<(), String> {
    let run = |offline: &[&str]| {
        let mut command = deny(workspace, offline);
        process::output(command.arg("advisories"))
            .map(drop)
            .map_err(|error| format!("{error:#}"))
    };
    match run(&[]) {
        Err(said) if said.contains(NO_DATABASE) => run(&["--offline"]),
        other => other,
    }
}

/// Returns the beginning of a command.
fn deny(workspace: &Workspace, options: &[&str]) -> Command {
    let mut command = process::cargo();
    command
        .current_dir(workspace.root())
        .args(["deny", "--log-level", "error"])
        .args(options)
        .args(["check", "--hide-inclusion-graph"]);
    command
}
