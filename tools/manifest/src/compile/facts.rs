//! The machine's facts, after the command line changed them.

use toml::Spanned;

use crate::machine::Machine;
use crate::refusal::{Place, Problem, Reason};
use crate::size::Size;
use crate::source::SystemSource;

use super::{Overrides, option};

/// Smallest step of memory sizes that whole machines and guests have: one large page.
pub(super) const LARGE_PAGE: Size = Size::from_bytes(2 << 20);

/// What the checks need to know of the machine.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The machine.
    pub(super) machine: &'static Machine,
    /// Cores in use.
    pub(super) cores: u16,
    /// Whether cores beyond `cores` are folded onto them.
    pub(super) fold: bool,
    /// Memory.
    pub(super) memory: Size,
}

impl Facts {
    /// Returns the facts of the machine that `source` names.
    pub(super) fn of(source: &SystemSource, overrides: &Overrides) -> Result<Self, Problem> {
        let name = &source.machine;
        let machine = Machine::find(name.get_ref())
            .ok_or_else(|| Reason::UnknownMachine(name.get_ref().clone()).at(name.span()))?;
        let memory = memory(machine, source, overrides)?;
        let cores = cores(machine, source, overrides)?;
        Ok(Self {
            machine,
            cores,
            fold: overrides.cores.is_some(),
            memory,
        })
    }

    /// Returns the core that the manifest's `core` becomes on this machine.
    pub(super) fn core(&self, core: i64, span: std::ops::Range<usize>) -> Result<u16, Problem> {
        let out_of_range = Reason::CoreOutOfRange {
            core,
            cores: self.cores,
        };
        match u16::try_from(core) {
            Ok(core) if core < self.cores => Ok(core),
            Ok(core) if self.fold => Ok(core % self.cores),
            _ => Err(out_of_range.at(span)),
        }
    }

    /// Returns all cores.
    pub(super) fn all_cores(&self) -> Vec<u16> {
        (0..self.cores).collect()
    }
}

/// Returns the machine's cores.
fn cores(
    machine: &'static Machine,
    source: &SystemSource,
    overrides: &Overrides,
) -> Result<u16, Problem> {
    let (asked, place) = match (overrides.cores, &source.cores) {
        (Some(cores), _) => (i64::from(cores), option("--harts")),
        (None, Some(cores)) => (*cores.get_ref(), Place::Span(cores.span())),
        (None, None) => return Ok(machine.default_cores),
    };
    let bad = Reason::BadCoreCount {
        asked,
        machine: machine.name,
        max: machine.max_cores,
    };
    match u16::try_from(asked) {
        Ok(cores) if (1..=machine.max_cores).contains(&cores) => Ok(cores),
        _ => Err(bad.at_place(place)),
    }
}

/// Returns the machine's memory.
fn memory(
    machine: &Machine,
    source: &SystemSource,
    overrides: &Overrides,
) -> Result<Size, Problem> {
    match (overrides.memory, &source.memory) {
        (Some(size), _) => whole(
            "memory of the machine",
            size,
            LARGE_PAGE,
            option("--memory-host"),
        ),
        (None, Some(size)) => spanned("memory of the machine", size, LARGE_PAGE),
        (None, None) => Ok(Size::from_bytes(machine.default_memory)),
    }
}

/// Returns `size` if it is a multiple of `unit` and not zero.
pub(super) fn whole(
    what: &'static str,
    size: Size,
    unit: Size,
    place: Place,
) -> Result<Size, Problem> {
    if size.bytes() != 0 && size.bytes().is_multiple_of(unit.bytes()) {
        Ok(size)
    } else {
        Err(Reason::BadSize { what, size, unit }.at_place(place))
    }
}

/// Returns a size of the file if it is a multiple of `unit` and not zero.
pub(super) fn spanned(
    what: &'static str,
    size: &Spanned<Size>,
    unit: Size,
) -> Result<Size, Problem> {
    whole(what, *size.get_ref(), unit, Place::Span(size.span()))
}
