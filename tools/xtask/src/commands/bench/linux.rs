//! Linux's uptime at init, on the bare machine and as our guest on the same machine, and the guest's
//! exits.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use manifest::{GuestOverrides, Overrides, Size};

use crate::build::system;
use crate::emulator::ending::Ending;
use crate::emulator::launch::Launch;
use crate::emulator::session::{self, Options, Outcome};
use crate::guest::cache::{self, Files};
use crate::machine::Machine;
use crate::progress::Step;
use crate::workspace::Workspace;

use super::measure::{Measurement, Unit};
use super::{TIMEOUT, exact, recorded};

/// The machine that has it.
pub const MACHINE: &str = "riscv";
/// Memory that Linux has in both cases.
pub const MEMORY: Size = Size::from_bytes(256 << 20);
/// What its init prints before the number of seconds.
const UPTIME: &str = "skerry-init: up after ";

/// How much Linux prints while it boots.
struct Boot {
    /// Words of the command line.
    append: &'static str,
    /// End of the names of its rows.
    suffix: &'static str,
}

impl Boot {
    /// Returns the whole command line; the guest's begins in its manifest.
    fn command_line(&self) -> String {
        format!("console=ttyS0 {}", self.append)
    }
}

/// The boots that are measured: with `quiet`, as systems boot, and with a full log.
const BOOTS: [Boot; 2] = [
    Boot {
        append: "quiet poweroff",
        suffix: "",
    },
    Boot {
        append: "poweroff",
        suffix: "_full_log",
    },
];

/// Returns the rows of both boots: the bare machine's uptime, the guest's, their ratio, and the
/// guest's exits.
pub fn measure(workspace: &Workspace, emulator: &Path) -> Result<Vec<Measurement>> {
    let files = cache::debian(workspace)?;
    recorded::compare(&files)?;
    let mut rows = Vec::new();
    for boot in &BOOTS {
        let native = native(&files, emulator, boot)?;
        let (guest, exits) = guest(workspace, emulator, boot)?;
        let ratio = guest * 1000 / native.max(1);
        let all = [
            ("linux_uptime_native", Unit::Milliseconds, native),
            ("linux_uptime_guest", Unit::Milliseconds, guest),
            ("linux_uptime_ratio", Unit::PerMille, ratio),
            ("linux_exits", Unit::Exits, exits),
        ];
        rows.extend(all.map(|(name, unit, value)| Measurement {
            name: format!("{name}{}", boot.suffix),
            unit,
            value,
            operations: None,
        }));
    }
    Ok(rows)
}

/// Returns the uptime on the bare machine.
fn native(files: &Files, emulator: &Path, boot: &Boot) -> Result<u64> {
    let _step = Step::begin("measuring Linux on the bare machine");
    let mut command = exact().native(Machine::find(MACHINE)?, emulator, (1, MEMORY.bytes()));
    command
        .arg("-kernel")
        .arg(&files.kernel)
        .arg("-initrd")
        .arg(&files.initramfs);
    command.args(["-append", &boot.command_line()]);
    let options = Options {
        timeout: Some(TIMEOUT),
        ..Options::default()
    };
    uptime(&session::run(Launch::plain(command), &options)?)
}

/// Returns the uptime and the number of exits as our guest, with one vCPU on one hart.
fn guest(workspace: &Workspace, emulator: &Path, boot: &Boot) -> Result<(u64, u64)> {
    let machine = Machine::find(MACHINE)?;
    let file = machine.system(workspace.root())?;
    let guest = GuestOverrides {
        append: Some(boot.append.to_owned()),
        vcpus: Some(1),
        memory: Some(MEMORY),
        ..GuestOverrides::default()
    };
    let overrides = Overrides {
        cores: Some(1),
        guest,
        ..Overrides::default()
    };
    let system = system::build(workspace, &file, &overrides, "bench-linux")?;
    let _step = Step::begin("measuring Linux as a guest");
    let guests = &system.compiled.system.guests;
    let options = Options {
        guests: guests.iter().map(|guest| guest.name.clone()).collect(),
        timeout: Some(TIMEOUT),
        log: system.log.clone(),
        ..Options::default()
    };
    let outcome = session::run(
        Launch::plain(exact().command(workspace, emulator, &system)?),
        &options,
    )?;
    let counts: Vec<u64> = outcome
        .lines
        .iter()
        .filter_map(|line| exits(line))
        .collect();
    ensure!(!counts.is_empty(), "the vcpu server told of no exits");
    Ok((uptime(&outcome)?, counts.iter().sum()))
}

/// Returns the number in a line `guest NAME: NUMBER CLASS SERVED-BY` of the vcpu server; lines that
/// divide another one's number give none.
fn exits(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("guest ")?.1.split_once(": ")?;
    let number = rest.split_whitespace().next()?.parse().ok()?;
    (!rest.contains("of these")).then_some(number)
}

/// Returns the uptime that a run's init printed, in milliseconds.
fn uptime(outcome: &Outcome) -> Result<u64> {
    ensure!(outcome.ending == Ending::Clean, "{}", outcome.ending);
    let value = outcome.lines.iter().find_map(|line| milliseconds(line));
    value.context("Linux's init printed no uptime")
}

/// Returns the milliseconds in a line `… up after 1.42 seconds`.
fn milliseconds(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(UPTIME)?;
    let (whole, hundredths) = rest.split_once(' ')?.0.split_once('.')?;
    let hundredths = (hundredths.len() == 2).then(|| hundredths.parse::<u64>().ok())??;
    Some(whole.parse::<u64>().ok()? * 1000 + hundredths * 10)
}

/// Returns the command lines of both boots.
#[cfg(test)]
pub fn command_lines() -> Vec<String> {
    BOOTS.iter().map(Boot::command_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_is_read_exactly() {
        assert_eq!(
            milliseconds("skerry-init: up after 1.42 seconds"),
            Some(1420)
        );
        assert_eq!(
            milliseconds("[linux] skerry-init: up after 0.07 seconds"),
            Some(70)
        );
        assert_eq!(milliseconds("skerry-init: up after a while"), None);
    }
    #[test]
    fn exits_are_counted_once() {
        assert_eq!(
            exits("[log] guest linux:          602 access               irq and devices"),
            Some(602)
        );
        assert_eq!(
            exits("[log] guest linux:           22 call BASE            of these in vcpu"),
            None
        );
        assert_eq!(exits("[linux.vcpu] INFO guest linux: PoweredOff"), None);
    }
}
