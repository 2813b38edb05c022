//! Dependency directions, and the authority graph of the manifests against them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Package};
use manifest::compiled::System;
use manifest::{Images, InitrdImage, KernelImage, Machine, Overrides};

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
    let text = fs::read_to_string(file)?;
    let shown = file.strip_prefix(workspace.root()).unwrap_or(file);
    let compiled = manifest::compile(shown, &text, &Overrides::default(), &mut NoImages);
    let system = match compiled {
        Ok(compiled) => compiled.system,
        Err(refusal) => {
            report.wrong.push(refusal.to_string());
            return Ok(());
        }
    };
    for process in &system.processes {
        for link in &process.uses {
            let peer = &system.process(link.peer).image;
            let api = format!("{peer}-api");
            let (Some(user), Some(_)) = (workspace.find(&process.image), workspace.find(&api))
            else {
                continue;
            };
            if !user.dependencies.iter().any(|edge| edge.name == api) {
                let (shown, name, image) = (shown.display(), &process.name, &process.image);
                report.wrong.push(format!(
                    "{shown}: `{name}` uses `{peer}`, but package `{image}` does not know `{api}`"
                ));
            }
        }
    }
    report
        .absent
        .extend(absent_packages(workspace, &system, shown));
    Ok(())
}

/// Returns what is said of packages that a system names and the workspace lacks.
fn absent_packages(workspace: &Workspace, system: &System, file: &Path) -> Vec<String> {
    let mut names: Vec<_> = system
        .processes
        .iter()
        .map(|process| &process.image)
        .collect();
    names.sort();
    names.dedup();
    names.retain(|name| workspace.find(name).is_none());
    names
        .iter()
        .map(|name| format!("package `{name}` of {}", file.display()))
        .collect()
}

/// Stands in for guest images where only the authority graph is looked at.
struct NoImages;

impl Images for NoImages {
    fn kernel(&mut self, _: &str, machine: &Machine) -> Result<KernelImage, String> {
        let load = machine.guest_memory_base;
        let file = std::path::PathBuf::new();
        Ok(KernelImage {
            file,
            load,
            entry_point: load,
            memory_size: 0,
            is_linux: true,
            initrd: None,
        })
    }

    fn initrd(&mut self, _: &str) -> Result<InitrdImage, String> {
        Ok(InitrdImage {
            file: std::path::PathBuf::new(),
        })
    }
}
