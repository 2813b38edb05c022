//! `cargo xtask check`: what a committer runs, and CI too. Its parts can be run one by one.

mod atomics;
mod big_endian;
mod clippy;
mod deny;
mod deps;
mod direction;
mod docs;
mod format;
mod lines;
mod miri;
mod paths;
mod sizes;
mod sources;
mod stack;

pub use deps::manifests;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::setup;
use crate::workspace::Workspace;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The parts to run; all of them if none is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// A part of the check, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// rustfmt.
    Format,
    /// Dependency directions, unsafe code and machine-dependent code in their places.
    Deps,
    /// Lengths of files, and amounts of code.
    Lines,
    /// Licences, duplicates and advisories of what we depend on.
    Deny,
    /// clippy for the host and the three targets.
    Clippy,
    /// The documentation builds without a warning.
    Docs,
    /// Kernel and server images are within their limits.
    Sizes,
    /// No atomic read-modify-write on the way of calls and replies.
    Atomics,
    /// Stacks are within their limits.
    Stack,
    /// Paths of the kernel with interrupts off are within their limit.
    Paths,
    /// Tests under Miri.
    Miri,
    /// Tests as programs of a big-endian machine.
    BigEndian,
}

/// What a part found.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong.
    pub wrong: Vec<String>,
    /// What could not be looked at because it is not there.
    pub absent: Vec<String>,
    /// What was not done because this machine lacks a tool or a network.
    pub skipped: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

impl Part {
    /// Runs this part.
    fn run(self, workspace: &Workspace) -> Result<Report> {
        match self {
            Self::Format => format::check(workspace),
            Self::Deps => deps::check(workspace),
            Self::Lines => lines::check(workspace),
            Self::Deny => deny::check(workspace),
            Self::Clippy => clippy::check(workspace),
            Self::Docs => docs::check(workspace),
            Self::Sizes => sizes::check(workspace),
            Self::Atomics => atomics::check(workspace),
            Self::Stack => stack::check(workspace),
            Self::Paths => paths::check(workspace),
            Self::Miri => miri::check(workspace),
            Self::BigEndian => big_endian::check(workspace),
        }
    }

    /// Returns its name on the command line.
    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// Runs the parts that are asked for; all run even if one fails.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::open()?;
    setup::rust::ensure()?;
    let parts = if args.parts.is_empty() {
        Part::value_variants()
    } else {
        &args.parts
    };
    let (mut failed, mut skipped) = (Vec::new(), 0);
    for part in parts {
        let name = part.name();
        let report = part.run(&workspace).unwrap_or_else(|error| Report {
            wrong: vec![format!("{error:#}")],
            ..Report::default()
        });
        report.print(&name);
        skipped += report.skipped.len();
        if !report.wrong.is_empty() {
            failed.push(name);
        }
    }
    println!("{}", closing(parts.len(), &failed, skipped));
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns the last line: how many parts passed, failed, and what was not done.
fn closing(parts: usize, failed: &[String], skipped: usize) -> String {
    let names = if failed.is_empty() {
        String::new()
    } else {
        format!(" ({})", failed.join(", "))
    };
    let passed = parts - failed.len();
    format!(
        "check: {passed} passed, {} failed{names}, {skipped} skipped",
        failed.len()
    )
}

impl Report {
    /// Prints what was found, and whether it is good.
    fn print(&self, name: &str) {
        let kinds = [
            ("", &self.notes),
            ("absent: ", &self.absent),
            ("skipped: ", &self.skipped),
            ("WRONG: ", &self.wrong),
        ];
        for (kind, lines) in kinds {
            lines
                .iter()
                .for_each(|line| println!("{name}: {kind}{line}"));
        }
        let verdict = if self.wrong.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        println!("check {name} ... {verdict}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_what_was_not_done() {
        assert_eq!(closing(3, &[], 2), "check: 3 passed, 0 failed, 2 skipped");
        let failed = ["deps".to_owned()];
        assert_eq!(
            closing(3, &failed, 0),
            "check: 2 passed, 1 failed (deps), 0 skipped"
        );
    }
}
