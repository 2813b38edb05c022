//! QEMU's command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::system::System;

/// What can be chosen about the emulated machine.
#[derive(Clone, Debug, clap::Args)]
pub struct MachineArgs {
    /// The processor, as QEMU names it.
    #[arg(long, value_name = "MODEL", default_value = "rv64")]
    pub cpu: String,
    /// Gives the machine AIA (APLIC and IMSIC) in place of its PLIC.
    #[arg(long)]
    pub aia: bool,
    /// A further property of QEMU's `-M`, as `aia-guests=5`.
    #[arg(long = "machine-option", value_name = "KEY=VALUE")]
    pub machine_options: Vec<String>,
    /// Runs deterministically: one instruction is one nanosecond of the machine's time.
    #[arg(long)]
    pub icount: bool,
    /// The QEMU to use, where it is not the installed one.
    #[arg(long, value_name = "PATH")]
    pub emulator: Option<PathBuf>,
}

impl Default for MachineArgs {
    fn default() -> Self {
        let (cpu, machine_options, emulator) = ("rv64".to_owned(), Vec::new(), None);
        Self {
            cpu,
            aia: false,
            machine_options,
            icount: false,
            emulator,
        }
    }
}

impl MachineArgs {
    /// Returns the value of QEMU's `-M`.
    fn machine(&self) -> String {
        let aia = self.aia.then_some("aia=aplic-imsic,aia-guests=5");
        let options = aia
            .into_iter()
            .chain(self.machine_options.iter().map(String::as_str));
        std::iter::once("virt")
            .chain(options)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Returns the command that boots `system`.
    pub fn command(&self, emulator: &Path, system: &System) -> Command {
        let described = &system.compiled.system;
        let mut command = self.native(emulator, described.cores, described.memory);
        command
            .arg("-kernel")
            .arg(&system.kernel)
            .arg("-initrd")
            .arg(&system.bundle);
        command
    }

    /// Returns a command for a machine of this kind that has nothing to boot yet. Its serial line
    /// is on standard input and output; no key is taken from the guest for a monitor.
    pub fn native(&self, emulator: &Path, cores: u16, memory: u64) -> Command {
        let mut command = Command::new(emulator);
        command.args(["-M", &self.machine(), "-cpu", &self.cpu]);
        command.args([
            "-smp",
            &cores.to_string(),
            "-m",
            &format!("{}M", memory >> 20),
        ]);
        command.args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-no-reboot",
            "-nodefaults",
        ]);
        command.args([
            "-chardev",
            "stdio,id=line,signal=off",
            "-serial",
            "chardev:line",
        ]);
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
    use crate::process::line;

    #[test]
    fn the_machine_has_what_was_asked_for() {
        let mut args = MachineArgs {
            cpu: "rva23s64".to_owned(),
            ..MachineArgs::default()
        };
        let text = line(&args.native(Path::new("qemu"), 4, 1 << 30));
        assert!(
            text.starts_with("qemu -M virt -cpu rva23s64 -smp 4 -m 1024M "),
            "{text}"
        );
        assert!(!text.contains("icount"));
        args.icount = true;
        args.aia = true;
        args.machine_options.push("acpi=off".to_owned());
        let text = line(&args.native(Path::new("qemu"), 1, 1 << 30));
        assert!(
            text.contains("-M virt,aia=aplic-imsic,aia-guests=5,acpi=off "),
            "{text}"
        );
        assert!(
            text.contains("-icount shift=0,sleep=off -seed 1 -rtc base="),
            "{text}"
        );
    }

    #[test]
    fn no_key_is_taken_for_a_monitor() {
        let text = line(&MachineArgs::default().native(Path::new("qemu"), 1, 1 << 30));
        assert!(
            text.contains("signal=off") && !text.contains("mon:"),
            "{text}"
        );
    }
}
