//! `cargo xtask bench`: measures under QEMU's instruction counter, which is exact and repeatable.

mod exits;
mod linux;
mod measure;
mod table;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use manifest::Overrides;

use crate::build::elf;
use crate::build::system;
use crate::emulator::command::MachineArgs;
use crate::emulator::ending::Ending;
use crate::emulator::launch::Launch;
use crate::emulator::session::{self, Options};
use crate::machine::Machine;
use crate::progress::Step;
use crate::setup;
use crate::workspace::Workspace;

use super::check::manifests;
use measure::{Measurement, Unit};

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Prints one JSON object a line in place of the table.
    #[arg(long)]
    json: bool,
    /// Leaves out Linux, which takes most of the time.
    #[arg(long)]
    no_linux: bool,
}

/// The machine that is measured.
const MACHINE: &str = "qemu-virt";
/// The longest that one system may take.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Measures and prints; fails if something could not be measured.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::open()?;
    setup::rust::ensure()?;
    let emulator = setup::qemu::ensure(&workspace, &machine()?.qemu, None)?;
    session::watch_interrupts()?;
    let mut measurements = Vec::new();
    let mut failed = Vec::new();
    for file in manifests(workspace.root())? {
        let stem = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if stem.starts_with("benchmark") {
            let outcome = programs(&workspace, &emulator, &file, &stem);
            collect(&stem, outcome, &mut measurements, &mut failed);
        }
    }
    let guest = exits::measure(&workspace, &emulator);
    collect("exits", guest, &mut measurements, &mut failed);
    if !args.no_linux {
        let native = linux::native(&workspace, &emulator);
        collect(
            "linux-native",
            native.map(|one| vec![one]),
            &mut measurements,
            &mut failed,
        );
        let guest = linux::guest(&workspace, &emulator);
        collect(
            "linux-guest",
            guest.map(|one| vec![one]),
            &mut measurements,
            &mut failed,
        );
    }
    measurement_lines(&measurements, args.json)?;
    failed
        .iter()
        .for_each(|what| eprintln!("not measured: {what}"));
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints the measurements.
fn measurement_lines(measurements: &[Measurement], json: bool) -> Result<()> {
    if json {
        measurements
            .iter()
            .for_each(|one| println!("{}", one.json(MACHINE)));
    } else {
        print!("{}", table::render(measurements)?);
    }
    Ok(())
}

/// Adds what one system gave.
fn collect(
    what: &str,
    outcome: Result<Vec<Measurement>>,
    measurements: &mut Vec<Measurement>,
    failed: &mut Vec<String>,
) {
    match outcome {
        Ok(found) => {
            for one in found {
                if !measurements.iter().any(|known| known.name == one.name) {
                    measurements.push(one);
                }
            }
        }
        Err(error) => failed.push(format!("{what}: {error:#}")),
    }
}

/// Returns what the measured programs of the system `file` print, and the size of its kernel.
fn programs(
    workspace: &Workspace,
    emulator: &Path,
    file: &Path,
    name: &str,
) -> Result<Vec<Measurement>> {
    let overrides = Overrides {
        cores: Some(1),
        ..Overrides::default()
    };
    let system = system::build(workspace, file, &overrides, name)?;
    let guests = &system.compiled.system.guests;
    let options = Options {
        guests: guests.iter().map(|guest| guest.name.clone()).collect(),
        timeout: Some(TIMEOUT),
        log: system.log.clone(),
        ..Options::default()
    };
    let _step = Step::begin(&format!("measuring {name}"));
    let outcome = session::run(Launch::plain(exact().command(emulator, &system)), &options)?;
    ensure!(outcome.ending == Ending::Clean, "{}", outcome.ending);
    let mut found: Vec<_> = outcome
        .lines
        .iter()
        .filter_map(|line| Measurement::parse(line))
        .collect();
    ensure!(!found.is_empty(), "it printed no measurement");
    let text = elf::text_size(&fs::read(&system.kernel)?)?;
    found.push(Measurement {
        name: "kernel_text".to_owned(),
        unit: Unit::Bytes,
        value: text,
    });
    Ok(found)
}

/// Returns a machine that counts instructions.
fn exact() -> MachineArgs {
    MachineArgs {
        icount: true,
        ..MachineArgs::default()
    }
}

/// Returns the facts of the machine that is measured.
fn machine() -> Result<&'static Machine> {
    Machine::find("riscv")
}
