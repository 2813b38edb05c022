//! `cargo xtask test`: host tests, then the scenarios in the emulator.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;

use crate::emulator::kind::Kind;
use crate::emulator::session;
use crate::host_tests;
use crate::machine::{Chosen, Machine};
use crate::progress::Step;
use crate::scenario::{self, Scenario};
use crate::setup;
use crate::workspace::Workspace;

use crate::tally::Tally;

/// Options of `test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs only scenarios whose name contains this, and no host tests.
    #[arg(value_name = "SCENARIO")]
    only: Option<String>,
    /// Runs only scenarios of this machine (riscv, x86 or s390), and no host tests.
    #[arg(long, value_name = "NAME")]
    machine: Option<Chosen>,
    /// Runs only scenarios of this emulator, and no host tests.
    #[arg(long, value_enum, value_name = "NAME")]
    emulator: Option<Kind>,
    /// Runs no host tests.
    #[arg(long)]
    no_host: bool,
    /// Runs no emulator.
    #[arg(long)]
    no_emulator: bool,
    /// Lists the scenarios and runs nothing.
    #[arg(long)]
    list: bool,
}

/// Runs the tests and closes with their counts.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::open()?;
    let mut scenarios = scenario::load_all(workspace.root())?;
    if let Some(only) = &args.only {
        scenarios.retain(|scenario| scenario.name.contains(only.as_str()));
    }
    if let Some(Chosen(machine)) = args.machine {
        scenarios.retain(|scenario| Machine::of_file(&scenario.system) == Some(machine));
    }
    if let Some(emulator) = args.emulator {
        scenarios.retain(|scenario| scenario.machine.emulator == emulator);
    }
    if args.list {
        scenarios
            .iter()
            .for_each(|scenario| println!("{}", scenario.name));
        return Ok(ExitCode::SUCCESS);
    }
    session::watch_interrupts()?;
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    let some = args.only.is_some() || args.machine.is_some() || args.emulator.is_some();
    if !args.no_host && !some {
        (tally, failed) = host_tests::run(&workspace)?;
    }
    if !args.no_emulator {
        let (pending, ready) = scenarios
            .into_iter()
            .partition(|scenario| scenario.pending.is_some());
        tally += skip(pending);
        tally += emulate(&workspace, ready, &mut failed)?;
    }
    // What a long log is looked at for stands at its end.
    failed.iter().for_each(|name| println!("FAILED: {name}"));
    println!("{tally}");
    Ok(if tally.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says which scenarios are not run yet, and why.
fn skip(pending: Vec<Scenario>) -> Tally {
    let skipped = pending.len() as u64;
    for scenario in pending {
        let reason = scenario.pending.unwrap_or_default();
        println!("scenario {} ... skipped: {reason}", scenario.name);
    }
    Tally {
        skipped,
        ..Tally::default()
    }
}

/// Runs the scenarios, and adds the names of those that fail to `failed`.
fn emulate(
    workspace: &Workspace,
    scenarios: Vec<Scenario>,
    failed: &mut Vec<String>,
) -> Result<Tally> {
    setup::rust::ensure()?;
    let mut tally = Tally::default();
    let mut jobs = Vec::new();
    let mut reasons = BTreeSet::new();
    {
        let _step = Step::begin("building the systems of all scenarios");
        for scenario in scenarios {
            let name = scenario.name.clone();
            match scenario::prepare(workspace, scenario) {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    tally.failed += 1;
                    println!("scenario {name} ... FAILED to build");
                    failed.push(format!("scenario {name}, its build"));
                    reasons.insert(format!("{error:#}"));
                }
            }
        }
    }
    reasons.iter().for_each(|reason| println!("    {reason}"));
    for finding in scenario::run_all(workspace, jobs)? {
        tally += finding.tally;
        if !finding.wrong.is_empty() {
            failed.push(format!("scenario {}", finding.name));
        }
    }
    Ok(tally)
}
