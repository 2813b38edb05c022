//! `bench --compare REV`: what another commit measures, and the difference.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::machine::Machine;
use crate::process;
use crate::progress::Step;
use crate::workspace::Workspace;

use super::measure::Measurement;

/// Name of the machine that every commit measures without being asked.
const USUAL: &str = "riscv";

/// Builds and measures a commit in a work tree of its own.
pub fn measure(
    workspace: &Workspace,
    revision: &str,
    machine: &Machine,
    no_linux: bool,
) -> Result<Vec<Measurement>> {
    let folder = workspace.target().join("compare");
    let tree = folder.join("tree");
    check_out(workspace, revision, &tree)?;
    let _step = Step::begin(&format!("measuring {revision}"));
    // The commit's own toolchain, not the one that runs us.
    let mut command = Command::new("cargo");
    command
        .current_dir(&tree)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("RUSTUP_TOOLCHAIN")
        .args([
            "run",
            "--quiet",
            "--package",
            "xtask",
            "--",
            "bench",
            "--json",
        ]);
    if machine.name != USUAL {
        command.args(["--machine", machine.name]);
    }
    if no_linux {
        command.arg("--no-linux");
    }
    // It fails where one row of many could not be measured: the others are good.
    let output = command.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Vec<_> = text.lines().filter_map(Measurement::from_json).collect();
    ensure!(
        !found.is_empty(),
        "{revision} measured nothing: {}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(found.into_iter().map(|(_, one)| one).collect())
}

/// Brings a commit into the work tree, which is made where it is not there yet.
fn check_out(workspace: &Workspace, revision: &str, tree: &Path) -> Result<()> {
    let git = |folder: &Path| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder);
        command
    };
    let mut name = git(workspace.root());
    name.args(["rev-parse", "--verify", "--end-of-options"]);
    let commit = process::output(name.arg(format!("{revision}^{{commit}}")))?;
    let commit = commit.trim();
    if tree.join(".git").exists() {
        let mut command = git(tree);
        return process::run(command.args(["checkout", "--quiet", "--force", "--detach", commit]));
    }
    if let Some(folder) = tree.parent() {
        fs::create_dir_all(folder)?;
    }
    // One that was deleted by hand is still known.
    process::run(git(workspace.root()).args(["worktree", "prune"]))?;
    let mut command = git(workspace.root());
    command.args(["worktree", "add", "--quiet", "--detach"]);
    process::run(command.arg(tree).arg(commit))
}

/// Returns the table of differences.
pub fn render(revision: &str, before: &[Measurement], after: &[Measurement]) -> Result<String> {
    let mut table = String::new();
    writeln!(table, "{:40} {revision:>12} {:>12}", "", "here")?;
    let find = |rows: &[Measurement], name: &str| {
        let found = rows.iter().find(|one| one.name == name);
        found.map(|one| one.value)
    };
    let gone = before.iter().filter(|one| find(after, &one.name).is_none());
    for one in after.iter().chain(gone) {
        let pair = (find(before, &one.name), find(after, &one.name));
        let numbers =
            [pair.0, pair.1].map(|number| number.map_or("-".to_owned(), |it| it.to_string()));
        let line = format!(
            "{:40} {:>12} {:>12} {:>18}",
            one.name,
            numbers[0],
            numbers[1],
            difference(pair)
        );
        writeln!(table, "{}", line.trim_end())?;
    }
    Ok(table)
}

/// Returns the difference of a pair, with its share of the first in per cent.
fn difference(pair: (Option<u64>, Option<u64>)) -> String {
    let (Some(before), Some(after)) = pair else {
        return String::new();
    };
    if before == after {
        return "=".to_owned();
    }
    let delta = i128::from(after) - i128::from(before);
    let tenths = delta * 1000 / i128::from(before.max(1));
    let sign = if delta < 0 { '-' } else { '+' };
    let tenths = tenths.unsigned_abs();
    format!("{delta:+} ({sign}{}.{} %)", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::measure::Unit;
    use super::*;

    #[test]
    fn a_difference_is_said_in_numbers_and_in_per_cent() {
        assert_eq!(difference((Some(200), Some(190))), "-10 (-5.0 %)");
        assert_eq!(difference((Some(1000), Some(1001))), "+1 (+0.1 %)");
        assert_eq!(difference((Some(3), Some(3))), "=");
        assert_eq!(difference((None, Some(3))), "");
    }

    #[test]
    fn rows_of_either_side_are_there() {
        let one = |name: &str, value| Measurement {
            name: name.to_owned(),
            unit: Unit::Instructions,
            value,
            operations: None,
        };
        let table = render("abc", &[one("old", 1), one("both", 4)], &[one("both", 2)]);
        let table = table.expect("renders");
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].starts_with("both") && lines[1].ends_with("-2 (-50.0 %)"));
        assert!(lines[2].starts_with("old") && lines[2].ends_with('-'));
    }
}
