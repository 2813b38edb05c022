//! The longest paths of the kernel with interrupts off, as the last test run traced them.
//!
//! `cargo xtask test` traces the conformance suite of each machine, and its log ends with a line
//! `path INSTRUCTIONS  CASE` for the longest of each call's cases (`docs/latency.md`).

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::machine::MACHINES;
use crate::workspace::Workspace;

use super::Report;

/// The most instructions from an entry into the kernel to the return.
const LIMIT: u64 = 5_000;

/// The longest path of a log: its name, how many instructions, and which case's.
type Longest = (String, u64, String);

/// Checks the paths in the logs of the last test run.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut found = Vec::new();
    let rows = fs::read_dir(workspace.target().join("skerry/logs"));
    for row in rows.into_iter().flatten() {
        let file = row?.path();
        let bytes = fs::read(&file)?;
        found.extend(longest(&file, &String::from_utf8_lossy(&bytes)));
    }
    found.sort();
    Ok(judge(&found))
}

/// Returns the longest path that a log tells of.
fn longest(file: &Path, log: &str) -> Option<Longest> {
    let name = file.file_stem()?.to_string_lossy().into_owned();
    let (length, case) = log.lines().filter_map(path).max()?;
    Some((name, length, case.to_owned()))
}

/// Reads a line that tells of a path.
fn path(line: &str) -> Option<(u64, &str)> {
    let (length, case) = line.strip_prefix("path ")?.trim_start().split_once("  ")?;
    Some((length.parse().ok()?, case))
}

/// Judges the longest path of each log.
fn judge(found: &[Longest]) -> Report {
    let mut report = Report::default();
    if found.len() < MACHINES.len() {
        let (count, all) = (found.len(), MACHINES.len());
        let text =
            format!("traces of `cargo xtask test`: {count} of {all} machines' paths are known");
        report.absent.push(text);
    }
    for (name, length, case) in found {
        let line = format!("{name}: {length} of {LIMIT} instructions: {case}");
        let is_long = *length > LIMIT;
        if is_long {
            &mut report.wrong
        } else {
            &mut report.notes
        }
        .push(line);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_of_a_log_counts() {
        let log = "case Map: a page ... ok\npath   4609  Map: a page ... ok\n     120    locate\npath   4814  Delete: it ... ok\n";
        let found = longest(Path::new("logs/x86-conformance.log"), log);
        let expected = (
            "x86-conformance".to_owned(),
            4814,
            "Delete: it ... ok".to_owned(),
        );
        assert_eq!(found, Some(expected));
        assert_eq!(
            longest(Path::new("a.log"), "path finder  x\npath 12\n"),
            None
        );
    }

    #[test]
    fn a_path_of_the_limit_is_good_and_a_longer_one_is_wrong() {
        let of = |length| ("one".to_owned(), length, "Map".to_owned());
        let good = judge(&[of(1), of(2), of(LIMIT)]);
        assert!(good.wrong.is_empty() && good.absent.is_empty());
        let bad = judge(&[of(LIMIT + 1)]);
        assert_eq!((bad.wrong.len(), bad.absent.len()), (1, 1));
    }
}
