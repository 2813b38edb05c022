//! The machines: what is built for each, and the emulator that stands for it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::emulator::kind::Kind;

/// A machine, by processor family.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name on the command line, the folder of its board support, and the suffix of binaries
    /// that are made for it.
    pub name: &'static str,
    /// Target that its kernel and servers are built for.
    pub target: &'static str,
    /// Whether `core` and `alloc` are built from source, as rustup has none for the target.
    pub builds_core: bool,
    /// Whether the servers are built for it too.
    pub servers: bool,
    /// The system that is run if none is named, in the repository.
    pub system: Option<&'static str>,
    /// The most bytes of code in its kernel. What it costs to stay below: a look at an object is
    /// some 40 bytes wherever it is inlined, so rare ones are calls (`slot_named`), and panics behind
    /// them are one function; nothing formats with `Debug`; big- and little-endian bytes are read
    /// out of line.
    pub kernel_text_max: u64,
    /// Whether it is a PC, which boots from a CD by BIOS and from a disk by UEFI.
    pub is_pc: bool,
    /// The emulators that it runs on.
    pub emulators: &'static [Kind],
    /// How QEMU emulates it.
    pub qemu: Qemu,
}

/// How QEMU emulates a machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The program.
    pub program: &'static str,
    /// The package that has it.
    pub package: &'static str,
    /// Value of `-M`.
    pub machine: &'static str,
    /// Value of `-cpu`, if the command line does not say.
    pub cpu: &'static str,
    /// The same where instructions are counted.
    pub counted_cpu: &'static str,
    /// What connects the machine's console with the character device `line`, and what else it
    /// needs.
    pub arguments: &'static [&'static str],
    /// The same with a console that shows lines alone, where there is such a one.
    pub line_arguments: Option<&'static [&'static str]>,
}

/// All machines.
pub static MACHINES: [Machine; 3] = [
    Machine {
        name: "riscv",
        target: "riscv64imac-unknown-none-elf",
        builds_core: false,
        servers: true,
        system: Some("bsp/riscv/systems/qemu-virt.toml"),
        // What it costs to stay below: a look at an object is some 40 bytes wherever it is inlined,
        // so rare ones are calls (`slot_named`), and panics behind them are one function; nothing
        // formats with `Debug`; big- and little-endian bytes are read out of line.
        kernel_text_max: 64 << 10,
        is_pc: false,
        emulators: &[Kind::Qemu],
        qemu: Qemu {
            program: "qemu-system-riscv64",
            package: "qemu-system-riscv",
            machine: "virt",
            cpu: "rv64",
            counted_cpu: "rv64",
            arguments: &["-serial", "chardev:line"],
            line_arguments: None,
        },
    },
    Machine {
        name: "x86",
        target: "x86_64-unknown-none",
        builds_core: false,
        servers: true,
        system: Some("bsp/x86/systems/first-guest.toml"),
        kernel_text_max: 80 << 10,
        is_pc: true,
        emulators: &[Kind::Qemu, Kind::Bochs],
        qemu: Qemu {
            program: "qemu-system-x86_64",
            package: "qemu-system-x86",
            machine: "q35",
            cpu: "max",
            // QEMU 10 gives up at the first access to an x2APIC ("Bad icount read").
            counted_cpu: "max,-x2apic",
            // A failing kernel ends the emulator with a status.
            arguments: &[
                "-serial",
                "chardev:line",
                "-device",
                "isa-debug-exit,iobase=0xf4,iosize=1",
            ],
            line_arguments: None,
        },
    },
    Machine {
        name: "s390",
        target: "s390x-unknown-none-softfloat",
        builds_core: true,
        servers: true,
        system: Some("bsp/s390/systems/qemu-ccw.toml"),
        kernel_text_max: 80 << 10,
        is_pc: false,
        emulators: &[Kind::Qemu, Kind::Hercules],
        qemu: Qemu {
            program: "qemu-system-s390x",
            package: "qemu-system-s390x",
            machine: "s390-ccw-virtio",
            cpu: "qemu",
            counted_cpu: "qemu",
            // A disabled wait is how the machine ends: at address 0xfff it is a clean end.
            arguments: &[
                "-device",
                "sclpconsole,chardev=line",
                "-action",
                "panic=exit-failure",
            ],
            line_arguments: Some(&[
                "-device",
                "sclplmconsole,chardev=line",
                "-action",
                "panic=exit-failure",
            ]),
        },
    },
];

impl Machine {
    /// Returns the machine with this name.
    pub fn find(name: &str) -> Result<&'static Self> {
        let found = MACHINES.iter().find(|machine| machine.name == name);
        found.with_context(|| format!("no machine `{name}`"))
    }

    /// Returns the machine whose board support has this file, as `bsp/NAME/systems/FILE.toml`.
    pub fn of_file(file: &Path) -> Option<&'static Self> {
        let names = file.iter().filter_map(|part| part.to_str());
        let names: Vec<_> = names.collect();
        let pair = names.windows(2).find(|pair| pair[0] == "bsp")?;
        Self::find(pair[1]).ok()
    }

    /// Returns the system that is run if none is named, in the repository at `root`.
    pub fn system(&self, root: &Path) -> Result<PathBuf> {
        match self.system {
            Some(system) => Ok(root.join(system)),
            None => bail!(
                "machine `{}` has no system of its own: name one by --system",
                self.name
            ),
        }
    }
}

/// A machine that is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen(pub &'static Machine);

impl FromStr for Chosen {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = MACHINES.each_ref().map(|machine| machine.name).join(", ");
        let found = Machine::find(name).map(Chosen);
        found.map_err(|_| format!("the machines are {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_belongs_to_the_machine_in_whose_folder_it_is() {
        for (file, name) in [
            ("bsp/riscv/systems/a.toml", Some("riscv")),
            ("/home/bsp/s390/systems/a.toml", Some("s390")),
            ("bsp/vax/systems/a.toml", None),
            ("a.toml", None),
        ] {
            let found = Machine::of_file(Path::new(file)).map(|machine| machine.name);
            assert_eq!(found, name, "{file}");
        }
    }

    #[test]
    fn the_tables_of_xtask_and_manifest_agree() {
        let known = |name: &str| manifest::Machine::find(name).expect("is in both");
        for (name, bsp) in [
            ("qemu-virt", "riscv"),
            ("qemu-q35", "x86"),
            ("qemu-ccw", "s390"),
        ] {
            let machine = Machine::find(bsp).expect("is in both");
            assert_eq!((known(name).bsp, known(name).target), (bsp, machine.target));
        }
    }

    #[test]
    fn a_machine_is_chosen_by_name() {
        assert_eq!("s390".parse::<Chosen>().map(|it| it.0.name), Ok("s390"));
        assert!("vax".parse::<Chosen>().is_err());
    }
}
