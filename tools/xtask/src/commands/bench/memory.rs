//! The memory server's allocator: what its operations take as the server itself counts them, and how
//! much of the free memory is in fragments behind many of them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use manifest::Overrides;

use crate::build::system;
use crate::emulator::ending::Ending;
use crate::emulator::launch::Launch;
use crate::emulator::session::{self, Keys, Options};
use crate::machine::Machine;
use crate::progress::Step;
use crate::workspace::Workspace;

use super::measure::Measurement;
use super::{TIMEOUT, exact};

/// What makes the server compare itself with a plain buddy.
const FEATURE: &str = "load-beside-buddy";
/// In its last line.
const LAST: &str = "mem: load: a plain buddy";
/// Switches the machine off.
const QUIT: &str = "\u{1d}q";

/// Returns what the server prints of its load.
pub fn measure(
    workspace: &Workspace,
    machine: &Machine,
    emulator: &Path,
) -> Result<Vec<Measurement>> {
    let file = format!("bsp/{}/systems/memory-load.toml", machine.name);
    let file = workspace.root().join(file);
    let features = BTreeMap::from([("mem".to_owned(), vec![FEATURE.to_owned()])]);
    let name = ("bench-memory", &features);
    let system = system::build_with(workspace, &file, &Overrides::default(), name)?;
    let _step = Step::begin("measuring the memory server's allocator");
    let command = exact().command(workspace, emulator, &system)?;
    let options = Options {
        timeout: Some(TIMEOUT),
        log: system.log.clone(),
        keys: vec![Keys {
            after: LAST.to_owned(),
            keys: QUIT.to_owned(),
        }],
        ..Options::default()
    };
    let outcome = session::run(Launch::plain(command), &options)?;
    ensure!(outcome.ending == Ending::Clean, "{}", outcome.ending);
    let lines = outcome.lines.iter();
    let found: Vec<_> = lines.filter_map(|line| Measurement::parse(line)).collect();
    ensure!(!found.is_empty(), "it printed no measurement");
    Ok(found)
}
