//! A guest's exits with the servers that `cargo xtask run` boots, counted by the guest itself.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use manifest::compiled::Population;
use manifest::{GuestOverrides, Overrides, Size};

use crate::build::system::{self, System};
use crate::emulator::command::MachineArgs;
use crate::emulator::ending::Ending;
use crate::emulator::hercules;
use crate::emulator::kind::Kind;
use crate::emulator::launch::Launch;
use crate::emulator::session::{self, Options};
use crate::machine::Machine;
use crate::progress::Step;
use crate::workspace::Workspace;

use super::measure::Measurement;
use super::traced::Runner;
use super::{TIMEOUT, exact, trace};

/// The guest's memory: folios of 128 MiB down to 2 MiB, so that it meets several faults.
const MEMORY: Size = Size::from_bytes(254 << 20);
/// The same by SIE, where folios are mapped in pages of 4 KiB: one of 32 MiB, and the smallest.
const MEMORY_BY_SIE: Size = Size::from_bytes(34 << 20);
/// The guest's package.
const PACKAGE: &str = "guest-benchmark";

/// What is added to the names of rows that are counted on Bochs: there the guest runs by VMX.
const BY_VMX: &str = "_vmx";

/// Returns what the guest prints on QEMU, which counts instructions.
pub fn measure(
    workspace: &Workspace,
    machine: &Machine,
    emulator: &Path,
    runner: &Runner<'_>,
) -> Result<Vec<Measurement>> {
    let system = build(workspace, machine, MEMORY, "bench-exits")?;
    let command = exact().command(workspace, emulator, &system)?;
    let _step = Step::begin("measuring exits of a guest");
    runner.run(&system, command, &[PACKAGE])
}

/// Returns what the guest prints on Bochs, whose TSC goes by one with each instruction of the only
/// processor.
pub fn by_vmx(workspace: &Workspace, machine: &Machine) -> Result<Vec<Measurement>> {
    let emulator = Kind::Bochs.ensure(workspace, machine, None)?;
    let system = build(workspace, machine, MEMORY, "bench-vmx")?;
    let launch = emulator.launch(workspace, &MachineArgs::default(), &system)?;
    let mut found = measured(&system, launch)?;
    for one in &mut found {
        one.name.push_str(BY_VMX);
    }
    Ok(found)
}

/// Returns what a trace of Hercules has of the guest by SIE and of its host: a guest sees no counter
/// there.
pub fn by_sie(workspace: &Workspace, machine: &Machine) -> Result<Vec<Measurement>> {
    let emulator = Kind::Hercules.ensure(workspace, machine, None)?;
    let system = build(workspace, machine, MEMORY_BY_SIE, "bench-sie")?;
    let launch = hercules::launch(workspace, &emulator.path, &system, Some(trace::FIRST))?;
    let lines = lines(&system, launch)?;
    let folder = workspace.target().join("skerry/traces");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{}-hercules.txt", machine.name));
    fs::write(file, lines.join("\n"))?;
    trace::measurements(&lines)
}

/// Builds the system with the guest on one core.
fn build(workspace: &Workspace, machine: &Machine, memory: Size, name: &str) -> Result<System> {
    let file = format!("bsp/{}/systems/first-guest.toml", machine.name);
    let file = workspace.root().join(file);
    let guest = GuestOverrides {
        kernel: Some(PACKAGE.to_owned()),
        vcpus: Some(1),
        memory: Some(memory),
        population: Some(Population::Lazy),
        ..GuestOverrides::default()
    };
    let overrides = Overrides {
        cores: Some(1),
        guest,
        ..Overrides::default()
    };
    system::build(workspace, &file, &overrides, name)
}

/// Boots the system and returns the measurements that it prints.
fn measured(system: &System, launch: Launch) -> Result<Vec<Measurement>> {
    let lines = lines(system, launch)?;
    let found: Vec<_> = lines
        .iter()
        .filter_map(|line| Measurement::parse(line))
        .collect();
    ensure!(!found.is_empty(), "the guest printed no measurement");
    Ok(found)
}

/// Boots the system and returns all lines of its console.
fn lines(system: &System, launch: Launch) -> Result<Vec<String>> {
    let guests = &system.compiled.system.guests;
    let options = Options {
        guests: guests.iter().map(|guest| guest.name.clone()).collect(),
        timeout: Some(TIMEOUT),
        log: system.log.clone(),
        ..Options::default()
    };
    let _step = Step::begin("measuring exits of a guest");
    let outcome = session::run(launch, &options)?;
    ensure!(outcome.ending == Ending::Clean, "{}", outcome.ending);
    Ok(outcome.lines)
}
