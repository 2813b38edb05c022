//! What the manifest's checks have to know of each machine.

use crate::compiled::AddressSpace;

/// A machine that a manifest can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name in a manifest.
    pub name: &'static str,
    /// Folder of its board support in `bsp/`, also the suffix of binaries that are made for it.
    pub bsp: &'static str,
    /// Target that its kernel and servers are built for.
    pub target: &'static str,
    /// The most cores that the emulator gives it.
    pub max_cores: u16,
    /// Cores if the manifest does not say.
    pub default_cores: u16,
    /// Bytes of memory if the manifest does not say.
    pub default_memory: u64,
    /// Where its own memory begins.
    pub memory_base: u64,
    /// Bytes of memory up to which all of it is in a row.
    pub memory_in_a_row: u64,
    /// Where the memory of a guest begins.
    pub guest_memory_base: u64,
    /// Distance from there to where a flat guest image begins.
    pub flat_image_offset: u64,
    /// Where the guest's interrupt controllers are, which the irq server owns: first address and
    /// bytes. `init` has the same table.
    pub guest_interrupt_controllers: &'static [(AddressSpace, u64, u64)],
    /// Whether it has I/O ports.
    pub has_ports: bool,
}

/// All machines.
const MACHINES: [Machine; 3] = [
    Machine {
        name: "qemu-virt",
        bsp: "riscv",
        target: "riscv64imac-unknown-none-elf",
        max_cores: 8,
        default_cores: 2,
        default_memory: 1 << 30,
        memory_base: 0x8000_0000,
        memory_in_a_row: u64::MAX,
        guest_memory_base: 0x8000_0000,
        flat_image_offset: 0x20_0000,
        guest_interrupt_controllers: &[(AddressSpace::Memory, 0x0c00_0000, 0x60_0000)],
        has_ports: false,
    },
    Machine {
        name: "qemu-q35",
        bsp: "x86",
        target: "x86_64-unknown-none",
        max_cores: 64,
        default_cores: 2,
        default_memory: 1 << 30,
        memory_base: 0,
        memory_in_a_row: 2 << 30,
        guest_memory_base: 0,
        flat_image_offset: 0x10_0000,
        guest_interrupt_controllers: &[
            (AddressSpace::Memory, 0xfee0_0000, 0x1000),
            (AddressSpace::Memory, 0xfec0_0000, 0x1000),
            (AddressSpace::Ports, 0x20, 2),
            (AddressSpace::Ports, 0xa0, 2),
            (AddressSpace::Ports, 0x4d0, 2),
        ],
        has_ports: true,
    },
    Machine {
        name: "qemu-ccw",
        bsp: "s390",
        target: "s390x-unknown-none-softfloat",
        max_cores: 8,
        default_cores: 2,
        default_memory: 512 << 20,
        memory_base: 0,
        memory_in_a_row: u64::MAX,
        // A guest has no interrupt controller in memory.
        guest_memory_base: 0,
        flat_image_offset: 0x1_0000,
        guest_interrupt_controllers: &[],
        has_ports: false,
    },
];

impl Machine {
    /// Returns the machine with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        MACHINES.iter().find(|machine| machine.name == name)
    }

    /// Returns the names of all machines, separated by commas.
    #[must_use]
    pub fn names() -> String {
        MACHINES.map(|machine| machine.name).join(", ")
    }
}
