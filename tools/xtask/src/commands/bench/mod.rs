//! `cargo xtask bench`: measures under QEMU's instruction counter, which is exact and repeatable, guests
//! by VMX under that of Bochs, and guests by SIE in a trace of Hercules.

mod compare;
mod exits;
mod html;
mod laws;
mod linux;
mod measure;
mod memory;
mod peers;
mod recorded;
mod table;
mod trace;
mod traced;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use manifest::Overrides;

use crate::build::kernel_code::Image;
use crate::build::system;
use crate::emulator::command::MachineArgs;
use crate::emulator::kind::Kind;
use crate::emulator::session;
use crate::machine::{Chosen, Machine};
use crate::progress::Step;
use crate::setup;
use crate::workspace::Workspace;

use super::check::manifests;
use measure::{Measurement, Unit};
use traced::Runner;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The machines to measure: riscv, x86, s390, or several with commas between them.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "riscv",
        value_delimiter = ','
    )]
    machine: Vec<Chosen>,
    /// The emulator: qemu, or, for the exits of guests that it does not run, bochs (VMX) or hercules
    /// (SIE).
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        default_value_t,
        conflicts_with = "compare"
    )]
    emulator: Kind,
    /// Prints one JSON object a line in place of the table.
    #[arg(long)]
    json: bool,
    /// Fails where a row is above its budget.
    #[arg(long)]
    gate: bool,
    /// Leaves out Linux, which takes most of the time.
    #[arg(long)]
    no_linux: bool,
    /// Draws the rows, as bars beside those of others, on a page in this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Takes what `--json` printed before from this file, and measures nothing.
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    read: Option<PathBuf>,
    /// Builds and measures another commit too, in a work tree below `target`, and prints the
    /// difference of each row.
    #[arg(long, value_name = "REV")]
    compare: Option<String>,
    /// Measures nothing but the exits of a guest with its servers.
    #[arg(long, conflicts_with = "compare")]
    only_exits: bool,
    /// Prints where the instructions of these rows are, by function and in their order, and writes a
    /// listing of each below `target`.
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    trace: Vec<String>,
}

/// The longest that one system may take.
const TIMEOUT: Duration = Duration::from_secs(900);

/// What one machine gave.
#[derive(Debug)]
pub struct Measured {
    /// The machine.
    pub machine: &'static Machine,
    /// Its rows.
    pub measurements: Vec<Measurement>,
}

/// Measures and prints; fails if something could not be measured, or is above its budget where
/// that is asked for.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::open()?;
    let mut failed = Vec::new();
    let all = match &args.read {
        Some(file) => read(file)?,
        None => measure(&workspace, args, &mut failed)?,
    };
    failed
        .iter()
        .for_each(|what| eprintln!("not measured: {what}"));
    for one in &all {
        print_rows(one, args.json)?;
        if let Some(revision) = &args.compare {
            let before = compare::measure(&workspace, revision, one.machine, args.no_linux)?;
            print!("{}", compare::render(revision, &before, &one.measurements)?);
        }
        let above = above_budget(one)?;
        above
            .iter()
            .for_each(|line| eprintln!("above its budget: {line}"));
        failed.extend(above.into_iter().filter(|_| args.gate));
        let broken = laws::broken(one.machine.name, &one.measurements);
        broken
            .iter()
            .for_each(|line| eprintln!("forbidden: {line}"));
        failed.extend(broken);
    }
    if let Some(file) = &args.html {
        fs::write(file, html::page(&all)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Measures all machines that are asked for; adds to `failed` what could not be measured.
fn measure(workspace: &Workspace, args: &Args, failed: &mut Vec<String>) -> Result<Vec<Measured>> {
    setup::rust::ensure()?;
    session::watch_interrupts()?;
    let machines = args.machine.iter();
    machines
        .map(|one| machine_rows(workspace, one.0, args, failed))
        .collect()
}

/// Returns the rows of a machine; adds to `failed` what could not be measured.
fn machine_rows(
    workspace: &Workspace,
    machine: &'static Machine,
    args: &Args,
    failed: &mut Vec<String>,
) -> Result<Measured> {
    let mut measurements = Vec::new();
    let mut add = |what: &str, outcome| collect(what, outcome, &mut measurements, failed);
    match args.emulator {
        Kind::Qemu => {}
        Kind::Bochs => {
            add("exits by VMX", exits::by_vmx(workspace, machine));
            return Ok(Measured {
                machine,
                measurements,
            });
        }
        Kind::Hercules => {
            add("exits by SIE", exits::by_sie(workspace, machine));
            return Ok(Measured {
                machine,
                measurements,
            });
        }
    }
    let emulator = setup::qemu::ensure(workspace, &machine.qemu, None)?;
    let runner = Runner::new(workspace, &args.trace)?;
    let programs_too = !args.only_exits;
    for file in manifests(workspace.root())?
        .into_iter()
        .filter(|_| programs_too)
    {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        if stem.starts_with("benchmark") && Machine::of_file(&file) == Some(machine) {
            add(&stem, programs(&runner, workspace, &emulator, &file));
        }
    }
    if programs_too {
        add(
            "the allocator",
            memory::measure(workspace, machine, &emulator),
        );
    }
    match without_servers(workspace, machine) {
        Some(reason) => eprintln!(
            "{}: no rows of guests with their servers: {reason}",
            machine.name
        ),
        None => add(
            "exits",
            exits::measure(workspace, machine, &emulator, &runner),
        ),
    }
    if machine.name == linux::MACHINE && !args.no_linux && programs_too {
        add("linux", linux::measure(workspace, &emulator));
    }
    failed.extend(runner.missed());
    let is_unknown = |row: &&String| !measurements.iter().any(|one| one.name == **row);
    let unknown = args.trace.iter().filter(is_unknown);
    failed.extend(unknown.map(|row| format!("{}: no row `{row}` to trace", machine.name)));
    Ok(Measured {
        machine,
        measurements,
    })
}

/// Returns why a guest's exits are not measured with the servers that guests have on this machine.
fn without_servers(workspace: &Workspace, machine: &Machine) -> Option<&'static str> {
    if machine.name == "s390" {
        return Some("QEMU has no SIE");
    }
    let own = format!("vcpu-{}", machine.name);
    let found = workspace.binary("vcpu", machine.name);
    let is_there = found.is_ok_and(|found| found == own);
    (!is_there).then_some("they do not run there yet")
}

/// Returns what a file of JSON lines has, by machine in the order in which they come.
fn read(file: &Path) -> Result<Vec<Measured>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut all: Vec<Measured> = Vec::new();
    for (board, one) in text.lines().filter_map(Measurement::from_json) {
        let board =
            manifest::Machine::find(&board).with_context(|| format!("no machine `{board}`"))?;
        let machine = Machine::find(board.bsp)?;
        match all.iter_mut().find(|known| known.machine == machine) {
            Some(known) => known.measurements.push(one),
            None => all.push(Measured {
                machine,
                measurements: vec![one],
            }),
        }
    }
    ensure!(!all.is_empty(), "{} has no measurement", file.display());
    Ok(all)
}

/// Prints the rows of a machine.
fn print_rows(measured: &Measured, json: bool) -> Result<()> {
    let machine = measured.machine.name;
    if !json {
        print!("{}", table::render(machine, &measured.measurements)?);
        return Ok(());
    }
    let rows = peers::rows()?;
    for one in &measured.measurements {
        let row = rows.iter().find(|row| row.name == one.name);
        let budget = row.and_then(|row| row.figures(machine).budget);
        println!("{}", one.json(board(measured.machine), budget));
    }
    Ok(())
}

/// Returns the rows that are above their budget, as lines.
fn above_budget(measured: &Measured) -> Result<Vec<String>> {
    let machine = measured.machine.name;
    let lines = table::lines(machine, &measured.measurements)?;
    let above = lines.into_iter().filter_map(|line| {
        let (ours, budget) = (line.ours?.value, line.figures.budget?);
        (ours > budget).then(|| format!("{machine}: {}: {ours} of {budget}", line.title))
    });
    Ok(above.collect())
}

/// Returns a machine's name in manifests.
fn board(machine: &Machine) -> &'static str {
    let boards = ["qemu-virt", "qemu-q35", "qemu-ccw"];
    let is_it =
        |name: &&str| manifest::Machine::find(name).is_some_and(|it| it.bsp == machine.name);
    boards.into_iter().find(is_it).unwrap_or_default()
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
    runner: &Runner<'_>,
    workspace: &Workspace,
    emulator: &Path,
    file: &Path,
) -> Result<Vec<Measurement>> {
    let overrides = Overrides {
        cores: Some(1),
        ..Overrides::default()
    };
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let system = system::build(workspace, file, &overrides, &name)?;
    let _step = Step::begin(&format!("measuring {name}"));
    let command = exact().command(workspace, emulator, &system)?;
    let mut found = runner.run(&system, command, &[])?;
    found.push(Measurement {
        name: "kernel_text".to_owned(),
        unit: Unit::Bytes,
        value: Image::parse(&fs::read(&system.kernel)?)?.code().resident,
        operations: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::MACHINES;

    #[test]
    fn a_row_at_its_budget_is_within_it() {
        let of = |value| Measured {
            machine: &MACHINES[0],
            measurements: vec![Measurement {
                name: "null_system_call".to_owned(),
                unit: Unit::Instructions,
                value,
                operations: None,
            }],
        };
        assert_eq!(above_budget(&of(40)).expect("is good").len(), 0);
        let above = above_budget(&of(41)).expect("is good");
        assert_eq!(above, ["riscv: null system call: 41 of 40"]);
    }

    #[test]
    fn every_machine_has_a_board() {
        for machine in &MACHINES {
            assert_ne!(board(machine), "", "{}", machine.name);
        }
    }
}
