//! Dependency directions, and the authority graph of the manifests against them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Package};
use manifest::Overrides;

use crate::build::system;
use crate::guest::catalogue::NoImages;
use crate::workspace::Workspace;

use super::direction::kind;
use super::{Report, sources};

/// Crates from outside that `api` may use; api crates hold nothing but encoded types.
const API_MAY_USE: [&str; 2] = ["serde", "postcard"];

/// Checks all crates and all manifests.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    for package in workspace.packages() {
        directions(workspace, package, &mut report);
        sources::check_unsafe(workspace, package, &mut report)?;
    }
    sources::check_architecture(workspace, &mut report)?;
    for file in manifests(workspace.root())? {
        authority(workspace, &file, &mut report)?;
    }
    Ok(report)
}

/// Checks the dependencies of one crate.
fn directions(workspace: &Workspace, package: &Package, report: &mut Report) {
    let name = &package.name;
    let Some(own) = kind(workspace, package) else {
        report
            .wrong
            .push(format!("`{name}` lies where docs/style.md knows no crate"));
        return;
    };
    let real = package
        .dependencies
        .iter()
        .filter(|edge| edge.kind != DependencyKind::Development);
    for edge in real {
        let Some(other) = workspace.find(&edge.name).filter(|_| edge.path.is_some()) else {
            if *name == "api" && !API_MAY_USE.contains(&edge.name.as_str()) {
                report
                    .wrong
                    .push(format!("`api` depends on `{}`", edge.name));
            }
            continue;
        };
        let allowed = kind(workspace, other).is_some_and(|kind| own.may_use().contains(&kind));
        if !allowed {
            let other = &other.name;
            report.wrong.push(format!(
                "`{name}` depends on `{other}`: not a direction of style.md"
            ));
        }
    }
}

/// Returns the system manifests of the repository.
pub fn manifests(root: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for machine in fs::read_dir(root.join("bsp")).context("no folder bsp")? {
        let Ok(rows) = fs::read_dir(machine?.path().join("systems")) else {
            continue;
        };
        for row in rows {
            let file = row?.path();
            if file.extension().is_some_and(|ending| ending == "toml") {
                files.push(file);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Checks that every process's package knows the protocol of each peer that it uses.
fn authority(workspace: &Workspace, file: &Path, report: &mut Report) -> Result<()> {
    let compiled = system::compile(workspace, file, &Overrides::default(), &mut NoImages)?;
    let shown = sources::relative(workspace.root(), file);
    let system = &compiled.system;
    for process in &system.processes {
        for link in &process.uses {
            let peer = &system.process(link.peer).image;
            let api = format!("{peer}-api");
            let (Some(user), Some(_)) = (workspace.find(&process.image), workspace.find(&api))
            else {
                continue;
            };
            if !user.dependencies.iter().any(|edge| edge.name == api) {
                let (name, image) = (&process.name, &process.image);
                report.wrong.push(format!(
                    "{shown}: `{name}` uses `{peer}`, but package `{image}` does not know `{api}`"
                ));
            }
        }
    }
    let absent = system::absent(workspace, &compiled);
    if !absent.is_empty() {
        let absent = absent.join(", ");
        report.absent.push(format!("{shown}: package {absent}"));
    }
    Ok(())
}
