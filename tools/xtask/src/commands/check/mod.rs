//! `cargo xtask check`: what a committer runs, and CI too. Its parts can be run one by one.

mod clippy;
mod deps;
mod direction;
mod docs;
mod format;
mod lines;
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
    /// Lengths of files.
    Lines,
    /// clippy for the host and the three targets.
    Clippy,
    /// The documentation builds without a warning.
    Docs,
    /// Kernel and server images are within their limits.
    Sizes,
    /// Stacks are within their limits.
    Stack,
}

/// What a part found.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong.
    pub wrong: Vec<String>,
    /// What could not be looked at because it is not there.
    pub absent: Vec<String>,
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
            Self::Clippy => clippy::check(workspace),
            Self::Docs => docs::check(workspace),
            Self::Sizes => sizes::check(workspace),
            Self::Stack => stack::check(workspace),
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
    let mut failed = Vec::new();
    for part in parts {
        let name = part.name();
        let report = part.run(&workspace).unwrap_or_else(|error| Report {
            wrong: vec![format!("{error:#}")],
            ..Report::default()
        });
        report
            .notes
            .iter()
            .for_each(|note| println!("{name}: {note}"));
        report
            .absent
            .iter()
            .for_each(|what| println!("{name}: absent: {what}"));
        report
            .wrong
            .iter()
            .for_each(|what| println!("{name}: WRONG: {what}"));
        println!(
            "check {name} ... {}",
            if report.wrong.is_empty() {
                "ok"
            } else {
                "FAILED"
            }
        );
        if !report.wrong.is_empty() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("check failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}
