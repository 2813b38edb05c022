//! Stacks: the largest frame of each image, and the high-water marks of the last test run.
//!
//! A bound over the whole call graph is not computed: calls through tables would make it a guess.
//! Each process paints its stacks and reports how much was used when its system ends, as
//! `skerry: stack NAME used N of M`; `cargo xtask test` leaves these lines in its logs.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;

use crate::workspace::Workspace;

use super::Report;

/// A stack of which more than this part of eight is used is too small.
const EIGHTHS: u64 = 7;

/// Checks the high-water marks in the logs of the last test run.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    let mut marks = BTreeMap::new();
    let logs = fs::read_dir(workspace.target().join("skerry/logs"))
        .into_iter()
        .flatten()
        .flatten();
    for log in logs {
        let text = String::from_utf8_lossy(&fs::read(log.path())?).into_owned();
        for mark in text.lines().filter_map(Mark::parse) {
            let known = marks
                .entry(mark.name.clone())
                .or_insert_with(|| mark.clone());
            if mark.used * known.size > known.used * mark.size {
                *known = mark;
            }
        }
    }
    if marks.is_empty() {
        report
            .absent
            .push("high-water marks in logs of `cargo xtask test`".to_owned());
    }
    for mark in marks.values() {
        let line = format!("{} used {} of {} bytes", mark.name, mark.used, mark.size);
        let is_full = mark.used.saturating_mul(8) > mark.size.saturating_mul(EIGHTHS);
        if is_full {
            &mut report.wrong
        } else {
            &mut report.notes
        }
        .push(line);
    }
    Ok(report)
}

/// How much of a stack was used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    name: String,
    used: u64,
    size: u64,
}

impl Mark {
    /// Returns the mark in a line of a log.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("skerry: stack ")?;
        let (name, rest) = rest.split_once(" used ")?;
        let (used, size) = rest.split_once(" of ")?;
        Some(Self {
            name: name.to_owned(),
            used: used.parse().ok()?,
            size: size.trim().parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_from_its_line() {
        let mark = Mark {
            name: "left.vcpu".to_owned(),
            used: 2100,
            size: 16384,
        };
        assert_eq!(
            Mark::parse("skerry: stack left.vcpu used 2100 of 16384"),
            Some(mark)
        );
        assert_eq!(Mark::parse("skerry: stack left.vcpu used some"), None);
    }
}
