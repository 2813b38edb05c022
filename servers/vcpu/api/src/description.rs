//! What a guest is: init writes it into a page for the servers of that guest.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A guest as its manifest describes it. Fields are only appended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its index among the guests.
    pub index: u16,
    /// Guest-physical base of its memory.
    pub memory_base: u64,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// The core of each vCPU.
    pub cores: Vec<u16>,
    /// Its command line.
    pub append: String,
    /// Its devices.
    pub devices: Vec<Device>,
    /// The vCPU server panics when the guest makes this SBI call (extension, function): for tests
    /// of what then happens.
    pub panic_on_sbi: Option<(u64, u64)>,
    /// Index of its vcpu server's process in the manifest.
    pub vcpu: u16,
    /// The vCPU server reads at this address when the guest makes this SBI call (extension,
    /// function, address): for tests of what then happens.
    pub touch_on_sbi: Option<(u64, u64, u64)>,
    /// How often it may reboot; a reboot beyond that is its end. Nothing is no limit.
    pub reboots: Option<u32>,
}

/// A device of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name, as `ttyS0`.
    pub name: String,
    /// Package of its server, as `device-uart16550`.
    pub model: String,
    /// Guest-physical base, or the first port.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// Its interrupt source.
    pub source: u32,
    /// Index of its process in the manifest.
    pub process: u16,
    /// Index of its device route.
    pub route: u8,
    /// Its registers are at I/O ports.
    pub ports: bool,
}

/// Guest-physical base of the interrupt controller on RISC-V.
pub const PLIC_BASE: u64 = 0xc00_0000;
/// Bytes of the interrupt controller on RISC-V.
pub const PLIC_BYTES: u64 = 0x60_0000;
