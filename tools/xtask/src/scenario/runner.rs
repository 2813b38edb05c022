//! Builds scenarios one after the other and runs them two at a time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use manifest::Size;

use crate::build::cargo;
use crate::build::system::{self, System};
use crate::emulator::launch::Launch;
use crate::emulator::session::{self, Options, Outcome};
use crate::guest::catalogue;
use crate::machine::Machine;
use crate::progress;
use crate::tally::Tally;
use crate::trace::Tracer;
use crate::trace::verdict::{Law, Verdict};
use crate::workspace::Workspace;

use super::description::Scenario;
use super::judge::judge;

/// The most emulators that run at a time.
const AT_A_TIME: usize = 2;
/// Lines of the serial line that are shown of a failed scenario.
const TAIL: usize = 30;

/// A scenario whose system is built, or whose guest is, where it is without one.
pub struct Job {
    scenario: Scenario,
    system: Option<System>,
    launch: Launch,
    tracer: Option<Tracer>,
}

/// What a scenario came to.
pub struct Finding {
    /// Its name.
    pub name: String,
    /// Its counts.
    pub tally: Tally,
    /// What is wrong; empty if nothing is.
    pub wrong: Vec<String>,
    /// Last lines of the serial line.
    tail: Vec<String>,
    /// How long it took.
    took: Duration,
    /// Where the whole serial line was written.
    log: PathBuf,
}

/// Memory of a bare machine, if the scenario does not say.
const NATIVE_MEMORY: u64 = 64 << 20;
/// Its processors, likewise.
const NATIVE_PROCESSORS: u16 = 2;

/// Builds the system of a scenario.
pub fn prepare(workspace: &Workspace, mut scenario: Scenario) -> Result<Job> {
    if let Some(guest) = &scenario.native {
        let launch = native(workspace, &scenario, guest)?;
        return Ok(Job {
            scenario,
            system: None,
            launch,
            tracer: None,
        });
    }
    let file = workspace.root().join(&scenario.system);
    let name = format!("test-{}", scenario.name);
    if let Some(code) = &scenario.code {
        let folder = workspace.target().join("skerry");
        fs::create_dir_all(&folder)?;
        let kernel = folder.join(format!("{name}.flat"));
        fs::write(&kernel, code)?;
        scenario.overrides.guest.kernel = Some(kernel.to_string_lossy().into_owned());
    }
    let features = &scenario.server_features;
    let mut system = system::build_with(workspace, &file, &scenario.overrides, (&name, features))?;
    if !scenario.kernel_features.is_empty() {
        let features = scenario.kernel_features.join(",");
        let package = system::kernel_package(&system.compiled);
        system.kernel = cargo::build_with(workspace, &package, system.machine, &features)?;
    }
    if let Some(damage) = scenario.bundle {
        let mut bytes = fs::read(&system.bundle)?;
        damage.apply(&mut bytes);
        system.bundle.set_extension(format!("{damage:?}"));
        fs::write(&system.bundle, bytes)?;
    }
    let emulator = scenario
        .machine
        .emulator
        .ensure(workspace, system.machine, None)?;
    let launch = emulator.launch(workspace, &scenario.machine, &system)?;
    let traced = scenario.trace.map(|_| Tracer::build(workspace));
    Ok(Job {
        scenario,
        system: Some(system),
        launch,
        tracer: traced.transpose()?,
    })
}

/// Returns what boots the guest `package` on the bare machine that the system would have.
fn native(workspace: &Workspace, scenario: &Scenario, package: &str) -> Result<Launch> {
    let machine = Machine::of_file(&scenario.system).context("no machine has this system")?;
    let chosen = scenario.machine.emulator;
    let emulator = chosen.ensure(workspace, machine, None)?;
    let overrides = &scenario.overrides;
    let memory = overrides.memory.map_or(NATIVE_MEMORY, Size::bytes);
    let size = (overrides.cores.unwrap_or(NATIVE_PROCESSORS), memory);
    let mut command = scenario.machine.native(machine, &emulator.path, size);
    let kernel = catalogue::own(workspace, package, machine)?;
    command.arg("-kernel").arg(kernel);
    if let Some(append) = &overrides.guest.append {
        command.args(["-append", append]);
    }
    Ok(Launch::plain(command))
}

/// Runs all jobs and prints each one's finding as it comes.
pub fn run_all(workspace: &Workspace, jobs: Vec<Job>) -> Result<Vec<Finding>> {
    let logs = workspace.target().join("skerry/logs");
    fs::create_dir_all(&logs)?;
    let bar = progress::bar(jobs.len() as u64);
    let waiting = Mutex::new(jobs.into_iter().enumerate());
    let findings = Mutex::new(BTreeMap::new());
    let next = || waiting.lock().ok().and_then(|mut jobs| jobs.next());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((index, job)) = next() {
                    let finding = run(job, &logs);
                    bar.suspend(|| finding.print());
                    bar.inc(1);
                    if let Ok(mut findings) = findings.lock() {
                        findings.insert(index, finding);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    Ok(findings
        .into_inner()
        .unwrap_or_default()
        .into_values()
        .collect())
}

/// Lets QEMU note resets of an x86 machine that nobody traces.
fn noting(mut launch: Launch, scenario: &Scenario, logs: &Path) -> Launch {
    let program = Path::new(launch.command.get_program()).file_name();
    if program == Some("qemu-system-x86_64".as_ref()) {
        launch.note_resets(logs.join(format!("{}.resets", scenario.name)));
    }
    launch
}

/// Runs one job.
fn run(job: Job, logs: &Path) -> Finding {
    let started = Instant::now();
    let scenario = &job.scenario;
    let system = job.system.as_ref();
    let described = system.map(|system| &system.compiled.system);
    let guests = described.map_or(&[][..], |system| &system.guests);
    let options = Options {
        guests: guests.iter().map(|guest| guest.name.clone()).collect(),
        timeout: Some(scenario.timeout),
        interactive: false,
        show: false,
        log: system.map(|system| system.log.clone()).unwrap_or_default(),
        line_mode: scenario.machine.has_lines(),
        keys: scenario.keys.clone(),
    };
    let log = logs.join(format!("{}.log", scenario.name));
    let ran = match (job.tracer, scenario.trace, system) {
        (Some(tracer), Some(law), Some(system)) => {
            traced(&tracer, law, system, job.launch, &options)
        }
        _ => session::run(noting(job.launch, scenario, logs), &options)
            .map(|outcome| (outcome, Verdict::default())),
    };
    let (tally, wrong, lines) = match ran {
        Ok((outcome, verdict)) => {
            let (tally, wrong) = judge(scenario, described, &outcome, verdict.wrong);
            let lines = outcome.lines.into_iter().chain(verdict.report);
            (tally, wrong, lines.collect())
        }
        Err(error) => (
            Tally {
                failed: 1,
                ..Tally::default()
            },
            vec![format!("{error:#}")],
            vec![],
        ),
    };
    let _ = fs::write(&log, lines.join("\n") + "\n");
    let tail = lines[lines.len().saturating_sub(TAIL)..].to_vec();
    Finding {
        name: scenario.name.clone(),
        tally,
        wrong,
        tail,
        took: started.elapsed(),
        log,
    }
}

/// Runs a system and holds what it executes to a law.
fn traced(
    tracer: &Tracer,
    law: Law,
    system: &System,
    launch: Launch,
    options: &Options,
) -> Result<(Outcome, Verdict)> {
    let watch = law.watch(system)?;
    let (outcome, watch) = tracer.run(launch.command, options, law.depth(), watch)?;
    let verdict = watch.judge(&outcome)?;
    Ok((outcome, verdict))
}

impl Finding {
    /// Prints the finding: one line if all is well, the reasons and the last lines otherwise.
    fn print(&self) {
        let seconds = self.took.as_secs_f32();
        let cases = self.tally.passed + self.tally.failed + self.tally.skipped;
        let outcome = if self.wrong.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        println!(
            "scenario {} ... {outcome} ({cases} cases, {seconds:.1} s)",
            self.name
        );
        for reason in &self.wrong {
            println!("    {reason}");
        }
        if !self.wrong.is_empty() {
            self.tail.iter().for_each(|line| println!("    | {line}"));
            println!("    the whole line: {}", self.log.display());
        }
    }
}
