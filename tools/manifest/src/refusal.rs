//! Why a manifest is refused, and where in the file the reason stands.

use std::ops::Range;
use std::path::Path;

use miette::{Diagnostic, NamedSource, SourceSpan};

use crate::machine::Machine;
use crate::size::Size;

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The text is no TOML, or a key is unknown, missing, double or of another type.
    #[error("{0}")]
    Syntax(String),
    /// No such machine.
    #[error("unknown machine `{0}`; known: {names}", names = Machine::names())]
    UnknownMachine(String),
    /// A name is empty, too long, or has characters that a bundle entry cannot have.
    #[error("bad name `{0}`: 1 to {max} letters, digits, `-` or `_`", max = MAX_NAME)]
    BadName(String),
    /// Two things have one name.
    #[error("the name `{0}` is given twice")]
    DuplicateName(String),
    /// A core that the machine does not have.
    #[error("core {core} is out of range: the machine has {cores}, numbered from 0")]
    CoreOutOfRange {
        /// The core that was asked for.
        core: i64,
        /// Cores of the machine.
        cores: u16,
    },
    /// A list of cores without a core, or a word that names none.
    #[error("{0}")]
    BadCores(String),
    /// A number of cores that the machine cannot have.
    #[error("{asked} cores: {machine} has 1 to {max}")]
    BadCoreCount {
        /// The number that was asked for.
        asked: i64,
        /// The machine's name.
        machine: &'static str,
        /// The most cores it can have.
        max: u16,
    },
    /// A priority outside 0 to 63.
    #[error("priority {0} is out of range: 0 (lowest) to 63 (highest)")]
    PriorityOutOfRange(i64),
    /// A size that is zero, unaligned or too small.
    #[error("{what} of {size}: must be a multiple of {unit} and not zero")]
    BadSize {
        /// What has this size.
        what: &'static str,
        /// The size.
        size: Size,
        /// What it must be a multiple of.
        unit: Size,
    },
    /// A `uses` that names nobody.
    #[error("`{user}` uses `{peer}`, but {hint}")]
    UnknownPeer {
        /// The process that uses.
        user: String,
        /// The name that it gives.
        peer: String,
        /// What is known about that name.
        hint: &'static str,
    },
    /// A guest names a template that does not exist.
    #[error("unknown template `{0}`")]
    UnknownTemplate(String),
    /// A guest lacks a server that every guest has.
    #[error("guest `{guest}` needs exactly one server of package `{package}`, it names {found}")]
    ServerCount {
        /// The guest.
        guest: String,
        /// The package that every guest needs once.
        package: &'static str,
        /// How many it has.
        found: usize,
    },
    /// The console is no server.
    #[error("console `{0}` is no server of this manifest")]
    UnknownConsole(String),
    /// A guest without vCPU.
    #[error("guest `{0}` has no core: one vCPU per entry of `cores`")]
    NoCores(String),
    /// Two owners of one device, interrupt line or address.
    #[error("{what} already belongs to `{owner}`: one device, one owner")]
    TwoOwners {
        /// What is owned.
        what: String,
        /// Who has it.
        owner: String,
    },
    /// An address range that is empty, unaligned or past the end of the address space.
    #[error("bad range: {0}")]
    BadRange(String),
    /// A template with a host device.
    #[error("a template cannot own a host device: each of its processes would have it")]
    DeviceInTemplate,
    /// More memory than the machine has.
    #[error("not enough memory: with `{name}` the system needs {needed}, the machine has {has}")]
    TooMuchMemory {
        /// What brings the sum over the limit.
        name: String,
        /// The sum so far.
        needed: Size,
        /// The machine's memory.
        has: Size,
    },
    /// An area for contiguous requests that the machine has no memory for.
    #[error("area {area} is outside the machine's memory: {range}")]
    AreaOutsideMemory {
        /// Which area of the manifest, from 0.
        area: usize,
        /// Where it would be.
        range: String,
    },
    /// Two areas for contiguous requests share memory.
    #[error("area {area} overlaps area {other}")]
    OverlappingAreas {
        /// Which area of the manifest, from 0.
        area: usize,
        /// The one before it that has some of its memory.
        other: usize,
    },
    /// A kernel or initial file system that cannot be used.
    #[error("{0}")]
    BadImage(String),
    /// A guest option for a system that has no guest.
    #[error("this system has no guest to apply it to")]
    NoGuest,
    /// An option names a process that does not exist.
    #[error("no server is named `{0}`")]
    UnknownServer(String),
}

/// The longest name of a server, template, guest or device.
pub(crate) const MAX_NAME: usize = 24;

/// Where a problem stands.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the file.
    Span(Range<usize>),
    /// On the command line.
    Option(&'static str),
}

/// A reason at its place.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    place: Place,
    reason: Reason,
}

impl Reason {
    /// Returns this reason at a place in the file.
    pub(crate) const fn at(self, span: Range<usize>) -> Problem {
        Problem {
            place: Place::Span(span),
            reason: self,
        }
    }

    /// Returns this reason at a place.
    pub(crate) const fn at_place(self, place: Place) -> Problem {
        Problem {
            place,
            reason: self,
        }
    }
}

/// A refused manifest: file, line, column and reason.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{position}: {reason}")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Line, from 1; 0 where the reason stands on the command line.
    pub line: usize,
    /// Column in characters, from 1; 0 where the reason stands on the command line.
    pub column: usize,
    position: String,
    #[source_code]
    text: NamedSource<String>,
    #[label("here")]
    span: Option<SourceSpan>,
}

impl Refusal {
    /// Returns `problem` with the text that it is about.
    pub(crate) fn new(file: &Path, text: &str, problem: Problem) -> Self {
        let file = file.display().to_string();
        let source = NamedSource::new(&file, text.to_owned()).with_language("toml");
        let (line, column, position, span) = match problem.place {
            Place::Option(option) => (0, 0, option.to_owned(), None),
            Place::Span(span) => {
                let (line, column) = line_and_column(text, span.start);
                (
                    line,
                    column,
                    format!("{file}:{line}:{column}"),
                    Some(span.into()),
                )
            }
        };
        Self {
            reason: problem.reason,
            line,
            column,
            position,
            text: source,
            span,
        }
    }
}

/// Returns line and column, both from 1, of byte `at`.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}
