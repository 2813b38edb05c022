//! Processes: the servers of the host, and what they have in common with those of guests.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::compiled::{GuestIndex, HostDevice, Process, SbiCall, SbiTouch};
use crate::refusal::{Place, Problem, Reason};
use crate::size::Size;
use crate::source::{
    CoresSource, ProcessSource, SbiCallSource, SbiTouchSource, SystemSource, in_order,
};

use super::facts::{Facts, spanned};
use super::{Package, option};

/// Page size that stacks and memories are counted in.
const PAGE: Size = Size::from_bytes(4096);
/// Stack of a thread if the manifest does not say.
const DEFAULT_STACK: Size = Size::from_bytes(16 << 10);
/// Memory of a process if the manifest does not say.
const DEFAULT_MEMORY: Size = Size::from_bytes(256 << 10);
/// Priorities end below this number (`abi::PRIORITIES`).
const PRIORITIES: u8 = 64;

/// A process whose peers and cores may not be known yet.
pub(super) struct Draft<'a> {
    /// What is known.
    pub(super) process: Process,
    /// How the manifest describes it.
    pub(super) source: &'a ProcessSource,
    /// Where it is named, for the sum of all memory.
    pub(super) place: Place,
    /// Name of its template or server, by which peers in the same guest know it.
    pub(super) role: String,
    /// Whether the manifest names its cores, so that they are not derived.
    pub(super) cores_are_given: bool,
}

/// Which process a draft is made for.
pub(super) struct Identity {
    /// Its unique name.
    pub(super) name: String,
    /// Its name among peers.
    pub(super) role: String,
    /// Its guest.
    pub(super) guest: Option<GuestIndex>,
    /// Where it is named.
    pub(super) place: Place,
}

/// Returns a draft for each server, in the manifest's order.
pub(super) fn servers<'a>(
    source: &'a SystemSource,
    facts: &Facts,
) -> Result<Vec<Draft<'a>>, Problem> {
    in_order(&source.server)
        .into_iter()
        .map(|(name, process)| {
            let own = name.get_ref().clone();
            let place = Place::Span(name.span());
            draft(
                Identity {
                    name: own.clone(),
                    role: own,
                    guest: None,
                    place,
                },
                process,
                facts,
            )
        })
        .collect()
}

/// Returns the draft of one process.
pub(super) fn draft<'a>(
    identity: Identity,
    source: &'a ProcessSource,
    facts: &Facts,
) -> Result<Draft<'a>, Problem> {
    let given = source
        .cores
        .as_ref()
        .map(|cores| given_cores(cores, facts))
        .transpose()?;
    let device = source.device.as_ref().map(|source| {
        let device = source.get_ref();
        let registers = super::devices::host_registers(device, facts.machine, source.span())?;
        let (space, base, size) = registers.unwrap_or_default();
        Ok::<_, Problem>(HostDevice {
            base,
            size,
            irq: device.irq,
            space,
        })
    });
    let device = device.transpose()?;
    let cores_are_given = given.is_some();
    let process = Process {
        name: identity.name,
        image: source.package.get_ref().clone(),
        priority: priority(&source.priority)?,
        stack: size_or("stack", source.stack.as_ref(), DEFAULT_STACK)?,
        memory: size_or("memory", source.memory.as_ref(), DEFAULT_MEMORY)?,
        cores: given.unwrap_or_default(),
        uses: Vec::new(),
        guest: identity.guest,
        device,
        grants: source.grants.clone(),
        arguments: source.arguments.clone(),
        panic_on_sbi: source.panic_on_sbi.map(sbi_call),
        touch_on_sbi: None,
        quota: size_or("quota", source.quota.as_ref(), Size::from_bytes(0))?,
        own_budget: source.own_budget,
        pins: size_or("pins", source.pins.as_ref(), Size::from_bytes(0))?,
    };
    Ok(Draft {
        process,
        source,
        place: identity.place,
        role: identity.role,
        cores_are_given,
    })
}

/// Returns the compiled form of an SBI call.
pub(super) const fn sbi_call(source: SbiCallSource) -> SbiCall {
    SbiCall {
        extension: source.extension,
        function: source.function,
    }
}

/// Returns the compiled form of an SBI call and an address.
pub(super) const fn sbi_touch(source: SbiTouchSource) -> SbiTouch {
    SbiTouch {
        call: SbiCall {
            extension: source.extension,
            function: source.function,
        },
        address: source.address,
    }
}

/// Returns a checked priority.
fn priority(priority: &Spanned<i64>) -> Result<u8, Problem> {
    match u8::try_from(*priority.get_ref()) {
        Ok(number) if number < PRIORITIES => Ok(number),
        _ => Err(Reason::PriorityOutOfRange(*priority.get_ref()).at(priority.span())),
    }
}

/// Returns whole pages of a size, or the default.
fn size_or(
    what: &'static str,
    size: Option<&Spanned<Size>>,
    default: Size,
) -> Result<u64, Problem> {
    size.map_or(Ok(default), |size| spanned(what, size, PAGE))
        .map(Size::bytes)
}

/// Returns the cores that the manifest names for a process, ascending, each once.
fn given_cores(source: &Spanned<CoresSource>, facts: &Facts) -> Result<Vec<u16>, Problem> {
    let bad = |text: &str| Reason::BadCores(text.to_owned()).at(source.span());
    let mut cores = match source.get_ref() {
        CoresSource::Word(word) if word == "all" => facts.all_cores(),
        CoresSource::Word(_) => return Err(bad("cores: a list of numbers, or \"all\"")),
        CoresSource::List(list) if list.is_empty() => return Err(bad("a server needs a core")),
        CoresSource::List(list) => list
            .iter()
            .map(|core| facts.core(*core, source.span()))
            .collect::<Result<Vec<_>, _>>()?,
    };
    cores.sort_unstable();
    cores.dedup();
    Ok(cores)
}

/// Gives servers the arguments of the command line.
pub(super) fn apply_arguments(
    drafts: &mut [Draft<'_>],
    arguments: &[(String, String)],
) -> Result<(), Problem> {
    for (name, text) in arguments {
        let draft = drafts.iter_mut().find(|draft| draft.process.name == *name);
        match draft {
            Some(draft) => draft.process.arguments.clone_from(text),
            None => {
                return Err(Reason::UnknownServer(name.clone()).at_place(option("--argument")));
            }
        }
    }
    Ok(())
}

/// Returns each package once, with the smallest limit that the manifest gives for its image.
pub(super) fn packages(drafts: &[Draft<'_>]) -> Vec<Package> {
    let mut packages: BTreeMap<&str, Option<Size>> = BTreeMap::new();
    for draft in drafts {
        let limit = draft.source.image_max.as_ref().map(|size| *size.get_ref());
        let known = packages
            .entry(draft.source.package.get_ref())
            .or_insert(limit);
        *known = match (*known, limit) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    let package = |(name, image_max): (&str, _)| Package {
        name: name.to_owned(),
        image_max,
    };
    packages.into_iter().map(package).collect()
}
