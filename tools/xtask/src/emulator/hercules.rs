//! Hercules: a z/Architecture machine whose CPUs have SIE.
//!
//! It loads (IPL of an `.ins` file) a flat image, the bundle, and the two words that tell the kernel
//! where the bundle is. Its console is its own log, to which the machine's lines go as they are. It
//! takes no keys, and its exit status is 0 whatever happened: how the machine ended is told by the
//! PSW of the disabled wait that ends it.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::build::elf;
use crate::build::system::System;
use crate::workspace::Workspace;

use super::launch::{Launch, Line, Verdict};

/// Address of the bundle's address and length, as Linux has those of its initial ramdisk.
const BUNDLE_WORDS: u64 = 0x1_0408;
/// What the bundle's address is a multiple of.
const BUNDLE_ALIGN: u64 = 1 << 20;
/// Returns what boots `system`; `trace` is the address of the first instruction of a guest, from which on
/// all instructions are in the log until the guest loads a PSW.
pub fn launch(
    workspace: &Workspace,
    program: &Path,
    system: &System,
    trace: Option<u64>,
) -> Result<Launch> {
    let described = &system.compiled.system;
    let name = system.bundle.file_stem().unwrap_or_default();
    let name = format!("{}-{}", name.to_string_lossy(), described.cores);
    let folder = workspace.target().join("skerry/hercules").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("no folder {}", folder.display()))?;
    let kernel = fs::read(&system.kernel).context("cannot read the kernel")?;
    let bundle = fs::read(&system.bundle).context("cannot read the bundle")?;
    let (image, end) = elf::flat(&kernel)?;
    let at = end.next_multiple_of(BUNDLE_ALIGN);
    ensure!(
        at + bundle.len() as u64 <= described.memory,
        "the bundle does not fit into the machine's memory"
    );
    let place = [at, bundle.len() as u64].map(u64::to_be_bytes).concat();
    let load = format!("image 0x0\nbundle {at:#x}\nplace {BUNDLE_WORDS:#x}\n");
    let configuration = configuration((described.cores, described.memory));
    for (name, content) in [
        ("image", &image[..]),
        ("bundle", &bundle),
        ("place", &place),
        ("system.ins", load.as_bytes()),
        ("configuration", configuration.as_bytes()),
        ("commands", commands(trace).as_bytes()),
    ] {
        let file = folder.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut command = Command::new(program);
    command
        .args(["-d", "-f", "configuration"])
        .env("HERCULES_RC", "commands")
        .current_dir(&folder);
    Ok(Launch {
        command,
        line: Line::Output,
        verdict: Verdict::Wait,
        resets: None,
    })
}

/// Returns the commands at the start: end with the first CPU that waits for ever, trace what is asked
/// for, and load the system.
fn commands(trace: Option<u64>) -> String {
    let mut text = String::new();
    let mut rule = |message: &str, command| {
        let _ = writeln!(text, "hao tgt {message}\nhao cmd {command}");
    };
    rule("HHCCP011I", "quit");
    if let Some(address) = trace {
        // The CPU tells of the breakpoint and then stands still until it is told to go on: so no
        // instruction behind it is missed. Told so before it stands still, it would not hear of it.
        rule(&format!("^SIE: PSW=[0-9A-F ]* {address:016X} INST="), "t+");
        rule("HHCPN040I Instruction tracing on", "sh sleep 2");
        rule("Instruction tracing on", "g");
        rule("^SIE: .* INST=B2B2", "t-");
        let _ = writeln!(text, "traceopt noregs\nb {address:x}");
    }
    text.push_str("ipl system.ins\n");
    text
}

/// Returns the configuration of a machine with this many cores and bytes of memory.
fn configuration((cores, memory): (u16, u64)) -> String {
    let mut text = String::new();
    let rows = [
        "CPUSERIAL 002623".to_owned(),
        "CPUMODEL 2097".to_owned(),
        format!("MAINSIZE {}", memory >> 20),
        format!("NUMCPU {cores}"),
        format!("MAXCPU {cores}"),
        "ARCHMODE z/Arch".to_owned(),
        "OSTAILOR QUIET".to_owned(),
        // Else its CPUs are threads of nice value 15, which every other program of this machine holds up
        // just where one CPU waits for another.
        "CPUPRIO 0".to_owned(),
        // There has to be a device.
        "0009 3215-C".to_owned(),
    ];
    for row in rows {
        let _ = writeln!(text, "{row}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_begins_at_the_breakpoint_before_the_machine_is_loaded() {
        let plain = commands(None);
        assert_eq!(plain, "hao tgt HHCCP011I\nhao cmd quit\nipl system.ins\n");
        let traced = commands(Some(0x2000));
        assert!(traced.ends_with("\ntraceopt noregs\nb 2000\nipl system.ins\n"));
        assert!(traced.contains(" 0000000000002000 INST=\nhao cmd t+\n"));
    }

    #[test]
    fn a_machine_has_the_cores_and_the_memory_that_were_asked_for() {
        let text = configuration((2, 512 << 20));
        for row in ["MAINSIZE 512\n", "NUMCPU 2\n", "MAXCPU 2\n", "CPUPRIO 0\n"] {
            assert!(text.contains(row), "{row} is not in {text}");
        }
    }
}
