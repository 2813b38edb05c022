//! What sources say about themselves: where unsafe and machine-dependent code may be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use cargo_metadata::Package;

use crate::workspace::Workspace;

use super::Report;
use super::direction::kind;

/// Folders in which code may depend on the machine that it is compiled for.
const MAY_KNOW_THE_MACHINE: [&str; 4] = [
    "bsp/",
    "servers/rt/src/sys/",
    "servers/guest-memory/src/copy/",
    "tools/guests/",
];
/// The attribute that every other crate has.
const FORBID: &str = "#![forbid(unsafe_code)]";
/// The macro of `rt` that declares a process's entry; it expands to an unsafe attribute, so a root
/// that calls it cannot forbid unsafe code.
const ENTRY: &str = "rt::entry!(";
/// What such a root says instead if it has modules of its own; `allow` is searched for in them.
const DENY: &str = "#![deny(unsafe_code)]";

/// Checks that the roots of a crate forbid unsafe code, unless it is one of those that need it.
pub fn check_unsafe(workspace: &Workspace, package: &Package, report: &mut Report) -> Result<()> {
    if kind(workspace, package).is_none_or(|kind| kind.may_be_unsafe()) {
        return Ok(());
    }
    for target in &package.targets {
        if !(target.is_lib() || target.is_bin() || target.is_proc_macro()) {
            continue;
        }
        let text = fs::read_to_string(&target.src_path)?;
        let file = target.src_path.as_std_path();
        if !forbids(&text) || (!text.contains(FORBID) && allows(file)?) {
            let shown = file
                .strip_prefix(workspace.root())
                .unwrap_or(file)
                .display();
            report.wrong.push(format!("{shown} lacks {FORBID}"));
        }
    }
    Ok(())
}

/// Tells whether the root `text` of a crate keeps unsafe code out.
fn forbids(text: &str) -> bool {
    let code: Vec<_> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//") && *line != DENY)
        .collect();
    let has_modules = code
        .iter()
        .any(|line| line.ends_with(';') && line.starts_with("mod "));
    let is_entry = text.contains(ENTRY) && !code.iter().any(|line| line.contains("unsafe"));
    text.contains(FORBID) || (is_entry && (text.contains(DENY) || !has_modules))
}

/// Tells whether a source beside the root `file` of a crate, or below it, allows unsafe code again.
fn allows(file: &Path) -> Result<bool> {
    let mut files = Vec::new();
    collect(file.parent().unwrap_or(file), &mut files)?;
    for file in files {
        if fs::read_to_string(file)?.contains("allow(unsafe_code") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks that only the machine's own folders ask which machine they are compiled for.
pub fn check_architecture(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let asks = concat!("target", "_arch");
    for file in rust_files(workspace.root())? {
        let shown = relative(workspace.root(), &file);
        if MAY_KNOW_THE_MACHINE
            .iter()
            .any(|folder| shown.starts_with(folder))
        {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        for (number, line) in (1..).zip(text.lines()) {
            if line.contains(asks) && !line.trim_start().starts_with("//") {
                report
                    .wrong
                    .push(format!("{shown}:{number} asks for {asks}"));
            }
        }
    }
    Ok(())
}

/// Returns `file` relative to `root`.
pub fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root)
        .unwrap_or(file)
        .to_string_lossy()
        .into_owned()
}

/// Returns all Rust sources of the repository.
pub fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in ["kernel", "servers", "bsp", "tools"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    Ok(files)
}

/// Adds the sources in `folder` and below; a folder that is not there has none.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(rows) = fs::read_dir(folder) else {
        return Ok(());
    };
    for row in rows {
        let path = row?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_forbids_unsafe_code_or_only_declares_its_entry() {
        assert!(forbids("//! A.\n#![forbid(unsafe_code)]\n"));
        assert!(forbids("//! Not unsafe.\n#![no_std]\nrt::entry!(main);\n"));
        assert!(!forbids("rt::entry!(main);\nfn f() { unsafe { g() } }\n"));
        assert!(!forbids("fn main() {}\n"));
        assert!(!forbids("mod server;\nrt::entry!(main);\n"));
        assert!(forbids(
            "#![deny(unsafe_code)]\nmod server;\nrt::entry!(main);\n"
        ));
    }
}
