//! QEMU's command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::build::system::System;

use super::machine::Emulated;

/// What can be chosen about the emulated machine.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MachineArgs {
    /// The processor, as QEMU names it, in place of the machine's usual one.
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,
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

impl MachineArgs {
    /// Returns the value of QEMU's `-M`.
    fn board(&self, machine: &Emulated) -> String {
        let aia = self.aia.then_some("aia=aplic-imsic,aia-guests=5");
        let options = aia
            .into_iter()
            .chain(self.machine_options.iter().map(String::as_str));
        std::iter::once(machine.board)
            .chain(options)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Returns the command that boots `system` on its machine.
    pub fn command(&self, emulator: &Path, system: &System) -> Result<Command> {
        let described = &system.compiled.system;
        let machine = system.machine()?;
        let mut command = self.native(emulator, machine, described.cores, described.memory);
        command
            .arg("-kernel")
            .arg(&system.kernel)
            .arg("-initrd")
            .arg(&system.bundle);
        Ok(command)
    }

    /// Returns a command for a machine of this kind that has nothing to boot yet. Its serial line
    /// is on standard input and output; no key is taken from the guest for a monitor.
    pub fn native(&self, emulator: &Path, machine: &Emulated, cores: u16, memory: u64) -> Command {
        let mut command = Command::new(emulator);
        let usual = if self.icount {
            machine.counted_cpu
        } else {
            machine.cpu
        };
        let cpu = self.cpu.as_deref().unwrap_or(usual);
        command.args(["-M", &self.board(machine), "-cpu", cpu]);
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
        command.args(machine.devices);
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

    /// Returns the machine of most tests.
    fn riscv() -> &'static Emulated {
        Emulated::find("riscv").expect("is known")
    }

    #[test]
    fn a_failing_x86_ends_the_emulator_with_a_status() {
        let x86 = Emulated::find("x86").expect("is known");
        let text = line(&MachineArgs::default().native(Path::new("qemu"), x86, 2, 1 << 28));
        assert!(
            text.starts_with("qemu -M q35 -cpu max -smp 2 -m 256M "),
            "{text}"
        );
        assert!(text.contains("isa-debug-exit"), "{text}");
    }

    #[test]
    fn the_machine_has_what_was_asked_for() {
        let mut args = MachineArgs {
            cpu: Some("rva23s64".to_owned()),
            ..MachineArgs::default()
        };
        let text = line(&args.native(Path::new("qemu"), riscv(), 4, 1 << 30));
        assert!(
            text.starts_with("qemu -M virt -cpu rva23s64 -smp 4 -m 1024M "),
            "{text}"
        );
        assert!(!text.contains("icount"));
        args.icount = true;
        args.aia = true;
        args.machine_options.push("acpi=off".to_owned());
        let text = line(&args.native(Path::new("qemu"), riscv(), 1, 1 << 30));
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
        let text = line(&MachineArgs::default().native(Path::new("qemu"), riscv(), 1, 1 << 30));
        assert!(
            text.contains("signal=off") && !text.contains("mon:"),
            "{text}"
        );
    }
}
