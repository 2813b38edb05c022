//! clippy, for the host and for the three machines.

use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

use super::Report;
use super::direction::{Kind, kind};

/// A machine's target and what is built for it.
struct Target {
    /// Its name for rustc.
    name: &'static str,
    /// The image.
    image: &'static str,
    /// Whether the servers are built for it too.
    servers: bool,
    /// Whether `core` and `alloc` are built from source.
    builds_core: bool,
}

/// The three machines.
const TARGETS: [Target; 3] = [
    Target {
        name: "riscv64imac-unknown-none-elf",
        image: "bsp-riscv",
        servers: true,
        builds_core: false,
    },
    Target {
        name: "x86_64-unknown-none",
        image: "bsp-x86",
        servers: false,
        builds_core: false,
    },
    Target {
        name: "s390x-unknown-none-softfloat",
        image: "bsp-s390",
        servers: false,
        builds_core: true,
    },
];

/// Runs clippy everywhere; a warning is an error.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    let mut host = clippy(workspace);
    host.arg("--all-targets");
    note(&mut report, "host", finish(&mut host));
    for target in &TARGETS {
        let packages = packages(workspace, target, &mut report);
        let outcome = packages
            .iter()
            .try_for_each(|package| on_target(workspace, target, package));
        note(&mut report, target.name, outcome);
    }
    Ok(report)
}

/// Returns the crates that are there of those that belong on a target.
fn packages(workspace: &Workspace, target: &Target, report: &mut Report) -> Vec<String> {
    let mut packages = Vec::new();
    if workspace.find(target.image).is_some() {
        packages.push(target.image.to_owned());
    } else {
        report
            .absent
            .push(format!("package `{}` for {}", target.image, target.name));
    }
    if target.servers {
        let servers = workspace.packages().filter(|package| {
            matches!(
                kind(workspace, package),
                Some(Kind::Init | Kind::Server | Kind::Device | Kind::Driver | Kind::Runtime)
            )
        });
        packages.extend(servers.map(|package| package.name.to_string()));
    }
    packages
}

/// Runs clippy on one crate for a target: alone, as it is built, for features that another crate
/// asks of a common dependency (a heap, say) are not its own.
fn on_target(workspace: &Workspace, target: &Target, package: &str) -> Result<()> {
    let mut command = clippy(workspace);
    command.args(["--target", target.name, "--package", package]);
    if target.builds_core {
        command
            .arg("-Zbuild-std=core,alloc")
            .env("RUSTC_BOOTSTRAP", "1");
    }
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
