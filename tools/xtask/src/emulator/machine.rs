//! The emulated machines: which QEMU, which board, which processor.

/// A machine family as QEMU emulates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emulated {
    /// Folder of its board support in `bsp/`, and its name on the command line.
    pub bsp: &'static str,
    /// The emulator.
    pub program: &'static str,
    /// The package that has it.
    pub package: &'static str,
    /// QEMU's `-M`.
    pub board: &'static str,
    /// QEMU's `-cpu`, if nothing else is asked for.
    pub cpu: &'static str,
    /// The same where instructions are counted.
    pub counted_cpu: &'static str,
    /// Further devices: what lets a failing kernel end the emulator with a status.
    pub devices: &'static [&'static str],
}

/// All of them.
pub const ALL: [Emulated; 2] = [
    Emulated {
        bsp: "riscv",
        program: "qemu-system-riscv64",
        package: "qemu-system-riscv",
        board: "virt",
        cpu: "rv64",
        counted_cpu: "rv64",
        devices: &[],
    },
    Emulated {
        bsp: "x86",
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        board: "q35",
        cpu: "max",
        // QEMU 10 gives up at the first access to an x2APIC ("Bad icount read").
        counted_cpu: "max,-x2apic",
        devices: &["-device", "isa-debug-exit,iobase=0xf4,iosize=1"],
    },
];

impl Emulated {
    /// Returns the emulated machine of a family.
    pub fn find(bsp: &str) -> Option<&'static Self> {
        ALL.iter().find(|machine| machine.bsp == bsp)
    }
}
