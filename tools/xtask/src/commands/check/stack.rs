//! Stacks: the largest frame of each image, and the high-water marks of the last test run.
//!
//! A bound over the whole call graph is not computed: calls through tables would make it a guess.
//! init paints the stacks of all processes and its own, and prints when the system ends how much was
//! used of the fullest of each: `skerry: stack NAME used N of M`. `cargo xtask test` leaves these
//! lines in its logs; logs without any prove nothing, and that is a failure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;

use anyhow::Result;

use crate::workspace::Workspace;

use super::Report;

/// A stack of which more than this part of eight is used is too small.
const EIGHTHS: u64 = 7;

/// Checks the high-water marks in the logs of the last test run.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut logs = Vec::new();
    let rows = fs::read_dir(workspace.target().join("skerry/logs"))
        .into_iter()
        .flatten();
    for row in rows {
        let bytes = fs::read(row?.path())?;
        logs.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(judge(&logs))
}

/// Judges the marks in these logs.
fn judge(logs: &[String]) -> Report {
    let mut report = Report::default();
    let mut marks = BTreeMap::new();
    for mark in logs
        .iter()
        .flat_map(|log| log.lines())
        .filter_map(Mark::parse)
    {
        match marks.entry(mark.name.clone()) {
            Entry::Vacant(place) => drop(place.insert(mark)),
            Entry::Occupied(mut known) if known.get().is_emptier_than(&mark) => {
                known.insert(mark);
            }
            Entry::Occupied(_) => {}
        }
    }
    if logs.is_empty() {
        report
            .absent
            .push("logs of `cargo xtask test`: no high-water mark is known".to_owned());
    } else if marks.is_empty() {
        report.wrong.push(format!(
            "no `skerry: stack` line in any of the {} logs of `cargo xtask test`",
            logs.len()
        ));
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
    report
}

/// How much of a stack was used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    name: String,
    used: u64,
    size: u64,
}

impl Mark {
    /// Tells whether a larger part of the other one was used.
    const fn is_emptier_than(&self, other: &Self) -> bool {
        self.used.saturating_mul(other.size) < other.used.saturating_mul(self.size)
    }

    /// Returns the mark in a line of a log. An emulator that is stopped may leave part of a line: a
    /// stack is whole pages, and a number without its last digits is not.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("skerry: stack ")?;
        let (name, rest) = rest.split_once(" used ")?;
        let (used, size) = rest.split_once(" of ")?;
        let size = size.trim().parse().ok().filter(is_whole_pages)?;
        Some(Self {
            name: name.to_owned(),
            used: used.parse().ok()?,
            size,
        })
    }
}

/// Tells whether so many bytes are whole pages.
const fn is_whole_pages(bytes: &u64) -> bool {
    bytes.is_multiple_of(abi::PAGE_SIZE)
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
        let behind = Mark::parse("[log] skerry: stack mem used 8 of 4096\r");
        assert_eq!(behind.expect("a mark").name, "mem");
        for line in [
            "skerry: stack left.vcpu used some",
            "skerry: stack left.vcpu used 1 of",
            "skerry: stack left.vcpu used -1 of 4096",
            "stack left.vcpu used 1 of 4096",
            "skerry: stack left.vcpu used 1200 of 819",
            "skerry: stack left.vcpu used 5808 of 655",
        ] {
            assert_eq!(Mark::parse(line), None, "{line}");
        }
    }

    /// Judges logs of these lines.
    fn judged(logs: &[&str]) -> Report {
        judge(&logs.iter().map(|log| (*log).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn logs_without_a_mark_are_wrong_and_no_logs_are_absent() {
        let none = judged(&[]);
        assert!(none.wrong.is_empty() && none.absent.len() == 1);
        let silent = judged(&["skerry: started mem", "EXIT: STATUS=1"]);
        assert!(silent.absent.is_empty() && silent.wrong.len() == 1);
    }

    #[test]
    fn the_fullest_stack_of_all_logs_counts_and_seven_eighths_are_the_limit() {
        let one = "skerry: stack mem used 3584 of 4096\nskerry: stack irq used 1 of 4096\n";
        let good = judged(&[one, "skerry: stack mem used 64 of 4096\n"]);
        assert!(good.wrong.is_empty() && good.absent.is_empty());
        assert!(
            good.notes
                .contains(&"mem used 3584 of 4096 bytes".to_owned())
        );
        let bad = judged(&[one, "skerry: stack mem used 3585 of 4096\n"]);
        assert_eq!(bad.wrong, ["mem used 3585 of 4096 bytes"]);
    }
}
