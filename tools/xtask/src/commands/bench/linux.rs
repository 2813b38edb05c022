//! Linux's uptime at init: on the bare machine, and as our guest on the same machine.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use manifest::{GuestOverrides, Overrides, Size};

use crate::build::system;
use crate::emulator::ending::Ending;
use crate::emulator::launch::Launch;
use crate::emulator::session::{self, Options, Outcome};
use crate::guest::cache;
use crate::machine::Machine;
use crate::progress::Step;
use crate::workspace::Workspace;

use super::measure::{Measurement, Unit};
use super::{TIMEOUT, exact};

/// The machine that has it.
pub const MACHINE: &str = "riscv";
/// Memory that Linux has in both cases.
const MEMORY: Size = Size::from_bytes(256 << 20);
/// What its init prints before the number of seconds.
const UPTIME: &str = "skerry-init: up after ";

/// Returns the uptime on the bare machine.
pub fn native(workspace: &Workspace, emulator: &Path) -> Result<Measurement> {
    let files = cache::debian(workspace)?;
    let _step = Step::begin("measuring Linux on the bare machine");
    let mut command = exact().native(Machine::find(MACHINE)?, emulator, (1, MEMORY.bytes()));
    command
        .arg("-kernel")
        .arg(files.kernel)
        .arg("-initrd")
        .arg(files.initramfs);
    command.args(["-append", "console=ttyS0 poweroff"]);
    let options = Options {
        timeout: Some(TIMEOUT),
        ..Options::default()
    };
    uptime(
        "linux_uptime_native",
        &session::run(Launch::plain(command), &options)?,
    )
}

/// Returns the uptime as our guest, with one vCPU on one hart.
pub fn guest(workspace: &Workspace, emulator: &Path) -> Result<Measurement> {
    let machine = Machine::find(MACHINE)?;
    let file = machine.system(workspace.root())?;
    let append = Some("poweroff".to_owned());
    let guest = GuestOverrides {
        append,
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
    uptime("linux_uptime_guest", &outcome)
}

/// Returns the uptime that a run's init printed.
fn uptime(name: &str, outcome: &Outcome) -> Result<Measurement> {
    ensure!(outcome.ending == Ending::Clean, "{}", outcome.ending);
    let value = outcome.lines.iter().find_map(|line| milliseconds(line));
    let value = value.context("Linux's init printed no uptime")?;
    Ok(Measurement {
        name: name.to_owned(),
        unit: Unit::Milliseconds,
        value,
    })
}

/// Returns the milliseconds in a line `… up after 1.42 seconds`.
fn milliseconds(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(UPTIME)?;
    let (whole, hundredths) = rest.split_once(' ')?.0.split_once('.')?;
    let hundredths = (hundredths.len() == 2).then(|| hundredths.parse::<u64>().ok())??;
    Some(whole.parse::<u64>().ok()? * 1000 + hundredths * 10)
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
}
