//! A guest's exits with the servers that `cargo xtask run` boots, counted by the guest itself, and the
//! memory server's allocator, counted by that.

use std::path::Path;

use anyhow::{Result, ensure};
use manifest::compiled::Population;
use manifest::{GuestOverrides, Overrides, Size};

use crate::build::system;
use crate::emulator::ending::Ending;
use crate::emulator::launch::Launch;
use crate::emulator::session::{self, Options};
use crate::machine::Machine;
use crate::progress::Step;
use crate::workspace::Workspace;

use super::measure::Measurement;
use super::{TIMEOUT, exact};

/// The guest's memory: folios of 128 MiB down to 2 MiB, so that it meets several faults.
const MEMORY: Size = Size::from_bytes(254 << 20);
/// What the memory server counts of itself before it serves.
const LOAD: &str = "load=1000000";
/// The guest's package.
const PACKAGE: &str = "guest-benchmark";

/// Returns what the guest prints.
pub fn measure(
    workspace: &Workspace,
    machine: &Machine,
    emulator: &Path,
) -> Result<Vec<Measurement>> {
    let file = format!("bsp/{}/systems/first-guest.toml", machine.name);
    let file = workspace.root().join(file);
    let guest = GuestOverrides {
        kernel: Some(PACKAGE.to_owned()),
        vcpus: Some(1),
        memory: Some(MEMORY),
        population: Some(Population::Lazy),
        ..GuestOverrides::default()
    };
    let overrides = Overrides {
        cores: Some(1),
        guest,
        arguments: vec![("mem".to_owned(), LOAD.to_owned())],
        ..Overrides::default()
    };
    let system = system::build(workspace, &file, &overrides, "bench-exits")?;
    let guests = &system.compiled.system.guests;
    let options = Options {
        guests: guests.iter().map(|guest| guest.name.clone()).collect(),
        timeout: Some(TIMEOUT),
        log: system.log.clone(),
        ..Options::default()
    };
    let _step = Step::begin("measuring exits of a guest");
    let outcome = session::run(
        Launch::plain(exact().command(workspace, emulator, &system)?),
        &options,
    )?;
    ensure!(outcome.ending == Ending::Clean, "{}", outcome.ending);
    let found: Vec<_> = outcome
        .lines
        .iter()
        .filter_map(|line| Measurement::parse(line))
        .collect();
    ensure!(!found.is_empty(), "the guest printed no measurement");
    Ok(found)
}
