//! Miri, which finds undefined behaviour, on the crates whose unsafe code runs on this machine.

use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

use super::Report;

/// What is run: package, features and further arguments of the test program.
///
/// A whole kernel on its fake machine is not among them: booting one takes minutes under Miri.
const RUNS: [(&str, &[&str]); 2] = [("arena", &[]), ("abi", &["--lib"])];

/// Runs the tests under Miri where a nightly toolchain has it.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    if process::output(miri(workspace).arg("--version")).is_err() {
        report.skipped.push(
            "no nightly toolchain with Miri (rustup toolchain install nightly -c miri -c rust-src)"
                .to_owned(),
        );
        return Ok(report);
    }
    for (package, arguments) in RUNS {
        let mut command = miri(workspace);
        command
            .args(["test", "--quiet", "--package", package])
            .args(arguments)
            // proptest writes files of failed cases; arenas of tests live for ever.
            .env("PROPTEST_CASES", "4")
            .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-ignore-leaks");
        match process::output(&mut command) {
            Ok(_) => report.notes.push(format!("{package} ok")),
            Err(error) => report.wrong.push(format!("{package}: {error:#}")),
        }
    }
    Ok(report)
}

/// Returns the beginning of a command; the toolchain is not the one of the repository.
fn miri(workspace: &Workspace) -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(workspace.root())
        .args(["run", "nightly", "cargo", "miri"])
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("CARGO_TARGET_DIR", workspace.target().join("miri"));
    command
}
