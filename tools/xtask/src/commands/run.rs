//! `cargo xtask run`: boots a system in the emulator.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use manifest::compiled::LogLevel;
use manifest::{GuestOverrides, Overrides, Size};

use crate::build::system::{self, System};
use crate::emulator::command::MachineArgs;
use crate::emulator::ending::Ending;
use crate::emulator::session::{self, Options};
use crate::machine::Chosen;
use crate::setup;
use crate::workspace::Workspace;

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub system: SystemArgs,
    #[command(flatten)]
    pub emulated: MachineArgs,
    /// Reads no keys and ends when the last guest has powered off.
    #[arg(long)]
    batch: bool,
    /// Ends the machine after this time, with exit status 124.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Which system, and what the command line changes in it.
#[derive(Clone, Debug, clap::Args)]
pub struct SystemArgs {
    /// The machine, if the system does not say: riscv, x86 or s390.
    #[arg(long, value_name = "NAME", default_value = "riscv")]
    machine: Chosen,
    /// The system manifest, in place of the machine's own.
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
    /// Cores of the machine; cores that the manifest names beyond them are folded onto them.
    #[arg(long, value_name = "N")]
    harts: Option<u16>,
    /// Memory of the machine, as 2G.
    #[arg(long, value_name = "SIZE")]
    memory_host: Option<Size>,
    /// How much is logged.
    #[arg(long, value_enum, value_name = "LEVEL")]
    log: Option<Level>,
    /// The first guest's kernel: a Linux Image, an ELF file, or a flat image (.bin .flat .img).
    #[arg(long, value_name = "PATH")]
    guest: Option<PathBuf>,
    /// The first guest's initial file system.
    #[arg(long, value_name = "PATH")]
    initrd: Option<PathBuf>,
    /// Text added to the first guest's command line; our init knows the words `poweroff`,
    /// `reboot` and `selftest`.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: Option<String>,
    /// The first guest's memory, as 256M.
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// The first guest's number of vCPUs.
    #[arg(long, value_name = "N")]
    vcpus: Option<u16>,
    /// How often the first guest may reboot; a reboot beyond that ends it.
    #[arg(long, value_name = "N")]
    reboots: Option<u32>,
    /// Text for a server, as `conformance=seed=3`.
    #[arg(long = "argument", value_name = "SERVER=TEXT", value_parser = argument)]
    arguments: Vec<(String, String)>,
    /// A text entry of the boot bundle, as `races=seed=3`.
    #[arg(long = "text", value_name = "NAME=TEXT", value_parser = argument)]
    texts: Vec<(String, String)>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => Self::Off,
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

/// Returns name and text of an `--argument` or a `--text`.
fn argument(text: &str) -> Result<(String, String), String> {
    let (server, value) = text.split_once('=').ok_or("write NAME=TEXT")?;
    Ok((server.to_owned(), value.to_owned()))
}

impl SystemArgs {
    /// Returns the manifest to use.
    pub fn file(&self, workspace: &Workspace) -> Result<PathBuf> {
        match &self.system {
            Some(file) => absolute(file),
            None => self.machine.0.system(workspace.root()),
        }
    }

    /// Returns what the command line changes in the manifest.
    pub fn overrides(&self) -> Result<Overrides> {
        let path = |path: &Option<PathBuf>| -> Result<Option<String>> {
            let path = path.as_deref().map(absolute).transpose()?;
            Ok(path.map(|path| path.to_string_lossy().into_owned()))
        };
        let guest = GuestOverrides {
            population: None,
            kernel: path(&self.guest)?,
            initrd: path(&self.initrd)?,
            append: self.append.clone(),
            memory: self.memory,
            vcpus: self.vcpus,
            reboots: self.reboots,
        };
        Ok(Overrides {
            cores: self.harts,
            memory: self.memory_host,
            log: self.log.map(LogLevel::from),
            guest,
            arguments: self.arguments.clone(),
            texts: self.texts.clone(),
        })
    }

    /// Builds the system.
    pub fn build(&self, workspace: &Workspace) -> Result<System> {
        let file = self.file(workspace)?;
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        system::build(workspace, &file, &self.overrides()?, &name)
    }
}

/// Returns `path` as seen from anywhere: cargo may have changed the current folder.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("bad path {}", path.display()))
}

/// Boots the system and returns the exit status that tells how it ended.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::open()?;
    setup::rust::ensure()?;
    let system = args.system.build(&workspace)?;
    let emulated = &args.emulated;
    let chosen = emulated.emulator_path.as_deref();
    let emulator = emulated
        .emulator
        .ensure(&workspace, system.machine, chosen)?;
    session::watch_interrupts()?;
    let guests = system
        .compiled
        .system
        .guests
        .iter()
        .map(|guest| guest.name.clone())
        .collect();
    let options = Options {
        guests,
        timeout: args.timeout.map(Duration::from_secs),
        interactive: !args.batch && std::io::stdin().is_terminal(),
        show: true,
        log: system.log.clone(),
        line_mode: args.emulated.line_mode,
        keys: Vec::new(),
    };
    let outcome = session::run(emulator.launch(&workspace, emulated, &system)?, &options)?;
    if outcome.ending != Ending::Clean {
        eprintln!("xtask: {}", outcome.ending);
    }
    Ok(outcome.ending.exit_code())
}
