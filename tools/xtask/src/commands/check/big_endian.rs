//! Host tests as programs of a big-endian machine: s390x Linux, run by QEMU's user emulation.
//!
//! What is tested: wire formats, manifest and bundle with their golden bytes, register layouts, and
//! the servers' pure parts.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

use super::Report;

/// The target.
const TARGET: &str = "s390x-unknown-linux-gnu";
/// Its linker, with the C library behind it.
const LINKER: &str = "s390x-linux-gnu-gcc";
/// The emulator of its programs.
const EMULATOR: &str = "qemu-s390x";
/// Where the C library of the target is.
const LIBRARIES: &str = "/usr/s390x-linux-gnu";
/// What one installs.
const ADVICE: &str = "no s390x programs here (apt install gcc-s390x-linux-gnu qemu-user; \
                      rustup target add s390x-unknown-linux-gnu)";
/// The packages whose tests are run.
const PACKAGES: [&str; 18] = [
    "abi",
    "api",
    "arena",
    "conformance",
    "console",
    "device-uart16550",
    "guest-memory",
    "irq",
    "irq-api",
    "manifest",
    "mem",
    "mem-api",
    "riscv-regs",
    "rt",
    "s390-regs",
    "vcpu",
    "vcpu-api",
    "x86-regs",
];

/// Runs the tests where the tools are installed.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    if !has_tools()? {
        report.skipped.push(ADVICE.to_owned());
        return Ok(report);
    }
    let mut command = process::cargo();
    command
        .current_dir(workspace.root())
        .args(["test", "--quiet", "--target", TARGET])
        .env("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .env(
            "CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER",
            format!("{EMULATOR} -L {LIBRARIES}"),
        )
        .env("PROPTEST_CASES", "64");
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    match process::output(&mut command) {
        Ok(_) => report.notes.push(format!("{} packages ok", PACKAGES.len())),
        Err(error) => report.wrong.push(format!("{error:#}")),
    }
    Ok(report)
}

/// Returns whether linker, emulator and the target's libraries are there.
fn has_tools() -> Result<bool> {
    let sysroot = process::output(process::rustc().args(["--print", "sysroot"]))?;
    let libraries = PathBuf::from(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET);
    Ok(libraries.join("lib").is_dir()
        && process::find(LINKER).is_some()
        && process::find(EMULATOR).is_some())
}
