//! The tests that run on the developer's machine: plain `cargo test`, counted.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::process;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Runs the tests of the workspace's default members and counts them; returns the names of those that
/// fail too.
pub fn run(workspace: &Workspace) -> Result<(Tally, Vec<String>)> {
    let mut command = process::cargo();
    command
        .current_dir(workspace.root())
        .args(["test", "--no-fail-fast"]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(&command)))?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        if let Some(counts) = result(&line) {
            tally += counts;
        }
        failed.extend(failure(&line).map(str::to_owned));
    }
    if !child.wait()?.success() && tally.failed == 0 {
        let command = process::line(&command);
        failed.push(format!("`{command}`, before or beside its tests"));
        tally.failed = 1;
    }
    Ok((tally, failed))
}

/// Returns the name in a line of a test that failed: `test NAME ... FAILED`.
fn failure(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// Returns the counts of a line that closes one test program:
/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn result(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut tally = Tally::default();
    for part in counts.split("; ") {
        let (number, what) = part.split_once(' ')?;
        match what {
            "passed" => tally.passed = number.parse().ok()?,
            "failed" => tally.failed = number.parse().ok()?,
            "ignored" => tally.skipped = number.parse().ok()?,
            _ => break,
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_test_program_is_counted() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; \
                    0 filtered out; finished in 0.00s";
        assert_eq!(
            result(line),
            Some(Tally {
                passed: 3,
                failed: 2,
                skipped: 1
            })
        );
        assert_eq!(result("test a_law ... ok"), None);
    }

    #[test]
    fn a_test_that_failed_is_named() {
        assert_eq!(failure("test a::law ... FAILED"), Some("a::law"));
        assert_eq!(failure("test a::law ... ok"), None);
        assert_eq!(failure("test result: FAILED. 3 passed; 2 failed"), None);
    }
}
