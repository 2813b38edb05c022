//! What a scenario asks of its trace, and whether the run keeps it.

use std::collections::BTreeSet;

use ::trace::operation::Machine;
use ::trace::record::Record;
use anyhow::{Context, Result};

use crate::build::system::System;
use crate::emulator::session::Outcome;

use super::breakdown::Breakdown;
use super::image::{Attribution, Image};
use super::known::Book;
use super::lines::Lines;
use super::longest::{Longest, Path};
use super::{Depth, Sink};

/// Functions of each path that are told of.
const FUNCTIONS: usize = 5;
/// Shared lines that are told of.
const SHARED: usize = 16;

/// What is asked of a run's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// No path of the kernel with interrupts off has more instructions than this.
    LongestPath(usize),
    /// No core accesses a line that another core's round trip stores to.
    PrivateLines,
}

/// What watches a run.
#[derive(Debug)]
pub enum Watch {
    /// Paths, and the limit.
    Paths(Box<Longest>, usize),
    /// Lines.
    Lines(Box<Lines>),
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong.
    pub wrong: Vec<String>,
    /// What was found, for a person.
    pub report: Vec<String>,
}

impl Law {
    /// Returns what has to be recorded.
    pub const fn depth(self) -> Depth {
        match self {
            Self::LongestPath(_) => Depth::Instructions,
            Self::PrivateLines => Depth::Accesses,
        }
    }

    /// Returns what watches a run of the system.
    pub fn watch(self, system: &System) -> Result<Watch> {
        let machine = Machine::named(system.machine.name).context("unknown machine")?;
        let book = Book::new(machine, Image::read("kernel", &system.kernel)?);
        Ok(match self {
            Self::LongestPath(limit) => Watch::Paths(Box::new(Longest::new(book)), limit),
            Self::PrivateLines => {
                let cores = system.compiled.system.cores;
                Watch::Lines(Box::new(Lines::new(book, cores)))
            }
        })
    }
}

impl Sink for Watch {
    fn take(&mut self, record: &Record) {
        match self {
            Self::Paths(paths, _) => paths.take(record),
            Self::Lines(lines) => lines.take(record),
        }
    }
}

impl Watch {
    /// Judges the run.
    pub fn judge(&self, outcome: &Outcome) -> Result<Verdict> {
        match self {
            Self::Paths(paths, limit) => judge_paths(paths, *limit, outcome),
            Self::Lines(lines) => judge_lines(lines),
        }
    }
}

/// Returns what tells functions of the kernel.
fn attribution(book: &Book) -> Result<Attribution<'_>> {
    Attribution::new([book.kernel()].into_iter(), book.all())
}

/// Judges paths: the longest of each call's cases.
fn judge_paths(paths: &Longest, limit: usize, outcome: &Outcome) -> Result<Verdict> {
    let lines = outcome.lines.iter();
    let cases: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("case "))
        .collect();
    let mut verdict = Verdict::default();
    if paths.marks() == 0 || paths.marks() != cases.len() {
        let count = paths.marks();
        let text = format!("{} cases and {count} marks in the trace", cases.len());
        verdict.wrong.push(text);
    }
    let attribution = attribution(&paths.book)?;
    let mut seen = BTreeSet::new();
    for path in paths.paths() {
        let case = cases
            .get(path.mark)
            .copied()
            .unwrap_or("(behind the last case)");
        if !seen.insert(call(case)) {
            continue;
        }
        let length = path.piece.len();
        verdict.report.push(format!("path {length:6}  {case}"));
        verdict.report.extend(parts(paths, path, &attribution));
        if length > limit {
            let text = format!("{length} instructions with interrupts off, of {limit}: {case}");
            verdict.wrong.push(text);
        }
    }
    Ok(verdict)
}

/// Returns the call that a case is of.
fn call(case: &str) -> &str {
    case.split([' ', ':']).next().unwrap_or(case)
}

/// Returns where most instructions of a path are, as lines.
fn parts(paths: &Longest, path: &Path, attribution: &Attribution<'_>) -> Vec<String> {
    let instructions = path
        .piece
        .iter()
        .filter_map(|number| paths.book.get(*number));
    let (firmware, code): (Vec<_>, Vec<_>) = instructions.partition(|known| known.is_firmware);
    let code = code.iter().map(|known| known.instruction);
    let mut parts = Breakdown::new(attribution, code).by_source();
    if !firmware.is_empty() {
        parts.insert(0, (firmware.len() as u64, "firmware".to_owned()));
    }
    let shown = parts.into_iter().take(FUNCTIONS);
    shown
        .map(|(count, name)| format!("     {count:6}    {name}"))
        .collect()
}

/// Judges lines.
fn judge_lines(lines: &Lines) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let trips = lines.trips();
    verdict.report.push(format!(
        "round trips of each core: {trips:?}, {} lines that they store to",
        lines.stored()
    ));
    if !lines.is_enough() {
        let text = format!("too few round trips were made: {trips:?}");
        verdict.wrong.push(text);
    }
    let attribution = attribution(&lines.book)?;
    let place = |number: u32| {
        let known = lines.book.get(number)?;
        let (_, place) = attribution.place(&known.instruction);
        let function = place.functions.first().map_or("a program", String::as_str);
        Some(format!("{:#x} ({function})", known.instruction.address))
    };
    let name = |number| place(number).unwrap_or_default();
    let shared = lines.shared();
    for one in shared.iter().take(SHARED) {
        let (core, store) = one.stores;
        let (other, access) = one.accesses;
        verdict.wrong.push(format!(
            "core {core} stores to the line {:#x} at {}, core {other} accesses it at {}",
            one.address,
            name(store),
            name(access)
        ));
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_of_a_call() {
        assert_eq!(
            call("Retype TreeTooDeep: memory inside memory ... ok"),
            "Retype"
        );
        assert_eq!(call("Map: every order ... ok"), "Map");
    }
}
