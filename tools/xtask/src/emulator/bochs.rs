//! Bochs: a PC whose processor has VMX with all that belongs to it.
//!
//! It boots a CD, has its serial line on a socket, and its exit status is 1 whatever happened. The
//! build that we use begins in its debugger and has no display without a window but RFB.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::iso;
use crate::build::system::System;
use crate::setup::bochs;
use crate::workspace::Workspace;

use super::command::MachineArgs;
use super::launch::{self, Launch, Verdict};

/// The processor: all of VMX, PCID, and the timer by deadlines.
const MODEL: &str = "sapphire_rapids";
/// Instructions a second of the machine's own time, which is also the frequency of its TSC. Time
/// follows the instructions only, so that a slow host changes nothing.
const INSTRUCTIONS_PER_SECOND: u64 = 100_000_000;

/// Returns what boots `system` from a CD.
pub fn launch(
    workspace: &Workspace,
    root: &Path,
    args: &MachineArgs,
    system: &System,
) -> Result<Launch> {
    let disc = iso::build(workspace, system, args.grub.as_deref())?;
    let name = system.bundle.file_stem().unwrap_or_default();
    let folder = workspace.target().join("skerry/bochs").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("no folder {}", folder.display()))?;
    let (line, port) = launch::socket()?;
    let described = &system.compiled.system;
    let text = configuration(
        root,
        &disc,
        &folder,
        port,
        (described.cores, described.memory),
    );
    let (file, start) = (folder.join("bochsrc"), folder.join("start"));
    fs::write(&file, text).context("cannot write Bochs's configuration")?;
    // The debugger's first command: continue.
    fs::write(&start, "c\n").context("cannot write Bochs's first command")?;
    let libraries = bochs::libraries(root);
    let plugins = libraries.join("bochs/plugins");
    let mut command = Command::new(bochs::loader(root));
    command
        .arg("--library-path")
        .arg(format!("{}:{}", libraries.display(), plugins.display()))
        .arg(bochs::program(root))
        .arg("-q")
        .arg("-f")
        .arg(file)
        .arg("-rc")
        .arg(start)
        .env("BXSHARE", root.join("usr/share/bochs"))
        .env("LTDL_LIBRARY_PATH", plugins);
    Ok(Launch {
        command,
        line,
        verdict: Verdict::Line,
        resets: None,
    })
}

/// Returns the configuration of a machine with this many cores and bytes of memory.
fn configuration(
    root: &Path,
    disc: &Path,
    folder: &Path,
    port: u16,
    (cores, memory): (u16, u64),
) -> String {
    let mut text = String::new();
    let share = root.join("usr/share");
    let megabytes = memory >> 20;
    let rows = [
        format!(
            "cpu: model={MODEL}, count={cores}, ips={INSTRUCTIONS_PER_SECOND}, reset_on_triple_fault=0, ignore_bad_msrs=0"
        ),
        format!("memory: guest={megabytes}, host={megabytes}"),
        format!(
            "romimage: file={}",
            quoted(&share.join("bochs/BIOS-bochs-latest"))
        ),
        format!(
            "vgaromimage: file={}",
            quoted(&share.join("vgabios/vgabios.bin"))
        ),
        "boot: cdrom".to_owned(),
        format!(
            "ata0-master: type=cdrom, path={}, status=inserted",
            quoted(disc)
        ),
        format!("com1: enabled=1, mode=socket-client, dev=localhost:{port}"),
        "display_library: rfb, options=\"timeout=0\"".to_owned(),
        format!("log: {}", folder.join("log").display()),
        "panic: action=fatal".to_owned(),
        "error: action=report".to_owned(),
        "info: action=report".to_owned(),
        "debug: action=ignore".to_owned(),
        "clock: sync=none, time0=local".to_owned(),
        "plugin_ctrl: speaker=0, gameport=0, es1370=0, sb16=0, voodoo=0, unmapped=1".to_owned(),
    ];
    for row in rows {
        let _ = writeln!(text, "{row}");
    }
    text
}

/// Returns a path in quotes, as Bochs takes paths with spaces.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_the_cores_memory_and_line_that_were_asked_for() {
        let paths = ["/r o", "/d.iso", "/f"].map(Path::new);
        let text = configuration(paths[0], paths[1], paths[2], 4711, (2, 512 << 20));
        for row in [
            "cpu: model=sapphire_rapids, count=2,",
            "memory: guest=512, host=512",
            "romimage: file=\"/r o/usr/share/bochs/BIOS-bochs-latest\"",
            "path=\"/d.iso\"",
            "dev=localhost:4711",
        ] {
            assert!(text.contains(row), "{row} is not in {text}");
        }
    }
}
