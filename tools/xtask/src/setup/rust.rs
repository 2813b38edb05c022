//! Rust targets and sources, through rustup.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::progress::Step;

/// Targets that are delivered ready-made; s390x is built from `rust-src`.
const TARGETS: [&str; 3] = [
    "riscv64imac-unknown-none-elf",
    "x86_64-unknown-none",
    "x86_64-unknown-uefi",
];

/// Installs the targets and the sources of the standard library if one is missing.
pub fn ensure() -> Result<()> {
    let sysroot = process::output(process::rustc().args(["--print", "sysroot"]))?;
    let libraries = PathBuf::from(sysroot.trim()).join("lib/rustlib");
    let missing: Vec<_> = TARGETS
        .into_iter()
        .filter(|target| !libraries.join(target).join("lib").is_dir())
        .collect();
    if !missing.is_empty() {
        add("target", &missing)?;
    }
    if !libraries.join("src/rust/library/Cargo.lock").is_file() {
        add("component", &["rust-src"])?;
    }
    Ok(())
}

/// Installs things of one kind.
fn add(kind: &str, what: &[&str]) -> Result<()> {
    let _step = Step::begin(&format!("installing {} with rustup", what.join(", ")));
    let advice = format!("type: rustup {kind} add {}", what.join(" "));
    process::output(Command::new("rustup").args([kind, "add"]).args(what))
        .map(drop)
        .context(advice)
}
