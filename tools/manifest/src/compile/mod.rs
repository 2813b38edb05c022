//! From the manifest as written to the compiled form, checking on the way.

mod cores;
mod devices;
mod facts;
mod guests;
pub(crate) mod images;
mod memory;
mod names;
mod peers;
mod processes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::compiled::{FORMAT, LogLevel, Population, ProcessIndex, System};
use crate::machine::Machine;
use crate::refusal::{Place, Problem, Reason, Refusal};
use crate::size::Size;
use crate::source::SystemSource;

use images::Images;

/// What the command line changes in a manifest.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Cores of the machine; cores that the manifest names beyond them are folded onto them.
    pub cores: Option<u16>,
    /// Memory of the machine.
    pub memory: Option<Size>,
    /// How much is logged.
    pub log: Option<LogLevel>,
    /// Changes to the first guest.
    pub guest: GuestOverrides,
    /// Arguments of servers: name and text.
    pub arguments: Vec<(String, String)>,
    /// Text entries of the bundle, new ones and others for those of the manifest.
    pub texts: Vec<(String, String)>,
}

/// What the command line changes in the first guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestOverrides {
    /// Another kernel; it loses the manifest's initial file system, and unless it is Linux also
    /// the manifest's command line.
    pub kernel: Option<String>,
    /// Another initial file system.
    pub initrd: Option<String>,
    /// Text added to the command line.
    pub append: Option<String>,
    /// Another size of memory.
    pub memory: Option<Size>,
    /// Another time at which its memory is mapped.
    pub population: Option<Population>,
    /// Another number of vCPUs, spread over the machine's cores.
    pub vcpus: Option<u16>,
    /// Another limit of reboots.
    pub reboots: Option<u32>,
}

/// A package that has to be built for the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name; also the name of its bundle entry.
    pub name: String,
    /// The limit on its image.
    pub image_max: Option<Size>,
}

/// A file that goes into the boot bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFile {
    /// Name of the entry.
    pub entry: String,
    /// The file.
    pub file: PathBuf,
}

/// A checked and compiled manifest, and what has to be in the bundle with it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The compiled form.
    pub system: System,
    /// The machine.
    pub machine: &'static Machine,
    /// Package of the first process.
    pub init: String,
    /// Packages of all other processes, each once.
    pub packages: Vec<Package>,
    /// Guest images, each once.
    pub files: Vec<BundleFile>,
    /// Entries of the bundle that are text, by name: parameters of test images.
    pub texts: BTreeMap<String, String>,
}

/// Compiles the manifest `text`, which was read from `file`.
///
/// # Errors
///
/// The first thing that is wrong with it, with its place.
pub fn compile(
    file: &Path,
    text: &str,
    overrides: &Overrides,
    images: &mut dyn Images,
) -> Result<Compiled, Box<Refusal>> {
    let refuse = |problem| Box::new(Refusal::new(file, text, problem));
    let source: SystemSource = toml::from_str(text).map_err(|error| {
        let reason = Reason::Syntax(error.message().to_owned());
        refuse(reason.at(error.span().unwrap_or(0..0)))
    })?;
    Compiler {
        source: &source,
        overrides,
        images,
    }
    .run()
    .map_err(refuse)
}

/// One compilation.
struct Compiler<'a> {
    source: &'a SystemSource,
    overrides: &'a Overrides,
    images: &'a mut dyn Images,
}

impl Compiler<'_> {
    /// Runs the steps, each of which needs the ones before.
    fn run(self) -> Result<Compiled, Problem> {
        let facts = facts::Facts::of(self.source, self.overrides)?;
        names::check(self.source)?;
        let mut drafts = processes::servers(self.source, &facts)?;
        let mut files = Vec::new();
        let mut guests = guests::Guests {
            source: self.source,
            overrides: &self.overrides.guest,
            facts: &facts,
            images: self.images,
            drafts: &mut drafts,
            files: &mut files,
        };
        let guests = guests.all()?;
        peers::resolve(&mut drafts, self.source)?;
        cores::derive(&mut drafts);
        devices::check_host(self.source, facts.machine)?;
        processes::apply_arguments(&mut drafts, &self.overrides.arguments)?;
        memory::check(&drafts, &guests, &facts)?;
        let packages = processes::packages(&drafts);
        let texts = self.texts();
        let system = System {
            format: FORMAT,
            machine: facts.machine.name.to_owned(),
            cores: facts.cores,
            memory: facts.memory.bytes(),
            log: self.overrides.log.or(self.source.log).unwrap_or_default(),
            console: self.console()?,
            processes: drafts.into_iter().map(|draft| draft.process).collect(),
            guests: guests.into_iter().map(|(_, guest)| guest).collect(),
            areas: memory::areas(self.source, &facts)?,
        };
        let init = self
            .source
            .init
            .as_ref()
            .map_or("init", |init| init.get_ref().as_str());
        let init = init.to_owned();
        Ok(Compiled {
            system,
            machine: facts.machine,
            init,
            packages,
            files,
            texts,
        })
    }

    /// Returns the text entries, those of the command line last.
    fn texts(&self) -> BTreeMap<String, String> {
        let own = self
            .source
            .text
            .iter()
            .map(|(name, text)| (name.get_ref(), text));
        let given = self.overrides.texts.iter().map(|(name, text)| (name, text));
        own.chain(given)
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect()
    }

    /// Returns the index of the server that the manifest calls the console.
    fn console(&self) -> Result<Option<ProcessIndex>, Problem> {
        let Some(console) = &self.source.console else {
            return Ok(None);
        };
        let servers = crate::source::in_order(&self.source.server);
        let at = servers
            .iter()
            .position(|(name, _)| name.get_ref() == console.get_ref());
        match at {
            Some(index) => Ok(Some(process_index(index))),
            None => Err(Reason::UnknownConsole(console.get_ref().clone()).at(console.span())),
        }
    }
}

/// Returns the index of the process at `position`.
fn process_index(position: usize) -> ProcessIndex {
    ProcessIndex(u16::try_from(position).unwrap_or(u16::MAX))
}

/// Returns the place of an option of the command line.
const fn option(name: &'static str) -> Place {
    Place::Option(name)
}
