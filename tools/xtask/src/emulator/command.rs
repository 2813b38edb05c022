//! QEMU's command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde::Deserialize;

use crate::build::system::System;
use crate::build::{disk, iso};
use crate::machine::{Machine, Qemu};
use crate::setup::firmware;
use crate::workspace::Workspace;

use super::kind::Kind;

/// What can be chosen about the emulated machine.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MachineArgs {
    /// The processor, as QEMU names it.
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,
    /// Gives a RISC-V machine AIA (APLIC and IMSIC) in place of its PLIC.
    #[arg(long)]
    pub aia: bool,
    /// Gives an s390x machine a console of lines (SCLP line mode) in place of its terminal.
    #[arg(long)]
    pub line_mode: bool,
    /// A further property of QEMU's `-M`, as `aia-guests=5`.
    #[arg(long = "machine-option", value_name = "KEY=VALUE")]
    pub machine_options: Vec<String>,
    /// Processors of the machine, where they are not as many as the system has cores.
    #[arg(long, value_name = "N")]
    pub processors: Option<u16>,
    /// NUMA nodes that the machine's memory is divided among, in equal parts.
    #[arg(long, value_name = "N")]
    pub nodes: Option<u8>,
    /// A command for GRUB, before it loads the kernel.
    #[arg(long, value_name = "COMMAND")]
    pub grub: Option<String>,
    /// Runs deterministically: one instruction is one nanosecond of the machine's time.
    #[arg(long)]
    pub icount: bool,
    /// The emulator.
    #[arg(long, value_enum, value_name = "NAME", default_value_t)]
    pub emulator: Kind,
    /// How the machine is booted.
    #[arg(long, value_enum, value_name = "HOW")]
    pub boot: Option<Boot>,
    /// The emulator's program, where it is not the installed one; for Bochs the folder that its
    /// packages are unpacked in.
    #[arg(long, value_name = "PATH")]
    pub emulator_path: Option<PathBuf>,
}

/// How a machine is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// The emulator itself loads kernel and bundle.
    Kernel,
    /// A PC's BIOS loads GRUB from a CD.
    Disc,
    /// A PC's UEFI firmware loads our loader from a disk.
    Uefi,
}

impl MachineArgs {
    /// Tells whether the machine's console shows lines alone, as that of Hercules does.
    pub fn has_lines(&self) -> bool {
        self.line_mode || self.emulator == Kind::Hercules
    }

    /// Returns the value of QEMU's `-M`.
    fn machine(&self, qemu: &Qemu) -> String {
        let aia = self.aia.then_some("aia=aplic-imsic,aia-guests=5");
        let options = aia
            .into_iter()
            .chain(self.machine_options.iter().map(String::as_str));
        std::iter::once(qemu.machine)
            .chain(options)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Returns the command that boots `system`, and makes what it is booted from.
    pub fn command(
        &self,
        workspace: &Workspace,
        emulator: &Path,
        system: &System,
    ) -> Result<Command> {
        let described = &system.compiled.system;
        let processors = self.processors.unwrap_or(described.cores);
        let size = (processors, described.memory);
        let mut command = self.native(system.machine, emulator, size);
        match self.boot.unwrap_or(Boot::Kernel) {
            Boot::Kernel => {
                command.arg("-kernel").arg(&system.kernel);
                command.arg("-initrd").arg(&system.bundle);
            }
            Boot::Disc => {
                let disc = iso::build(workspace, system, self.grub.as_deref())?;
                command.arg("-cdrom").arg(disc);
            }
            Boot::Uefi => {
                let disk = disk::build(workspace, &system.kernel, &system.bundle)?;
                command.arg("-bios").arg(firmware::ensure(workspace)?);
                let drive = format!("format=raw,snapshot=on,file={}", disk.display());
                command.arg("-drive").arg(drive);
            }
        }
        Ok(command)
    }

    /// Returns a command for a machine with this many cores and bytes of memory that has nothing to
    /// boot yet. Its serial line is on standard input and output; no key is taken from the guest
    /// for a monitor.
    pub fn native(
        &self,
        machine: &Machine,
        emulator: &Path,
        (cores, memory): (u16, u64),
    ) -> Command {
        let qemu = &machine.qemu;
        let mut command = Command::new(emulator);
        let usual = if self.icount {
            qemu.counted_cpu
        } else {
            qemu.cpu
        };
        let cpu = self.cpu.as_deref().unwrap_or(usual);
        command.args(["-M", &self.machine(qemu), "-cpu", cpu]);
        command.args([
            "-smp",
            &cores.to_string(),
            "-m",
            &format!("{}M", memory >> 20),
        ]);
        for node in 0..self.nodes.unwrap_or(0) {
            let size = (memory >> 20) / u64::from(self.nodes.unwrap_or(1));
            let backend = format!("memory-backend-ram,id=node{node},size={size}M");
            let number = format!("node,nodeid={node},memdev=node{node}");
            command.args(["-object", &backend, "-numa", &number]);
        }
        command.args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-no-reboot",
            "-nodefaults",
        ]);
        command.args(["-chardev", "stdio,id=line,signal=off"]);
        let lines = qemu.line_arguments.filter(|_| self.line_mode);
        command.args(lines.unwrap_or(qemu.arguments));
        if self.icount {
            command.args(["-icount", "shift=0,sleep=off", "-seed", "1"]);
            command.args(["-rtc", "base=2026-01-01T00:00:00,clock=vm"]);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::MACHINES;
    use crate::process::line;

    /// Returns the command line of a machine with these options.
    fn text(args: &MachineArgs, machine: &str, cores: u16) -> String {
        let machine = Machine::find(machine).expect("there is one");
        line(&args.native(machine, Path::new("qemu"), (cores, 1 << 30)))
    }

    #[test]
    fn the_machine_has_what_was_asked_for() {
        let mut args = MachineArgs {
            cpu: Some("rva23s64".to_owned()),
            ..MachineArgs::default()
        };
        let plain = text(&args, "riscv", 4);
        assert!(
            plain.starts_with("qemu -M virt -cpu rva23s64 -smp 4 -m 1024M "),
            "{plain}"
        );
        assert!(!plain.contains("icount"));
        args.icount = true;
        args.aia = true;
        args.machine_options.push("acpi=off".to_owned());
        let rich = text(&args, "riscv", 1);
        assert!(
            rich.contains("-M virt,aia=aplic-imsic,aia-guests=5,acpi=off "),
            "{rich}"
        );
        assert!(
            rich.contains("-icount shift=0,sleep=off -seed 1 -rtc base="),
            "{rich}"
        );
    }

    #[test]
    fn every_machine_has_its_processor_and_console() {
        for machine in &MACHINES {
            let text = text(&MachineArgs::default(), machine.name, 1);
            let start = format!("-M {} -cpu {} ", machine.qemu.machine, machine.qemu.cpu);
            assert!(text.contains(&start), "{text}");
            assert_eq!(text.matches("line").count(), 2, "{text}");
        }
    }

    #[test]
    fn a_console_of_lines_takes_the_place_of_the_terminal() {
        let args = MachineArgs {
            line_mode: true,
            ..MachineArgs::default()
        };
        let text = text(&args, "s390", 1);
        assert!(text.contains("sclplmconsole,") && !text.contains("sclpconsole,"));
    }

    #[test]
    fn no_key_is_taken_for_a_monitor() {
        let text = text(&MachineArgs::default(), "riscv", 1);
        assert!(
            text.contains("signal=off") && !text.contains("mon:"),
            "{text}"
        );
    }
}
