//! What ACPI tells: processors, interrupt controllers, how to switch off (ACPI 6.5, "ACPI Software
//! Programming Model").

use super::{number, physical_bytes};
use abi::boot::NodeRange;
use abi::node::NodeRanges;
use heapless::Vec;

/// A signal of an ISA interrupt that differs from the usual.
#[derive(Clone, Copy, Debug)]
pub struct Override {
    /// The line that it is on.
    pub line: u32,
    /// Level-triggered.
    pub level: bool,
    /// Active low.
    pub active_low: bool,
}

/// What ACPI tells.
#[derive(Debug, Default)]
pub struct Machine {
    /// APIC numbers of all usable processors.
    pub processors: Vec<u32, { abi::MAX_CORES }>,
    /// Usable processors beyond those.
    pub too_many: u64,
    /// IOAPICs: physical address and first line.
    pub controllers: Vec<(u64, u32), 4>,
    /// Differing signals.
    pub overrides: Vec<Override, 16>,
    /// Port and value that switch off.
    pub soft_off: Option<(u16, u16)>,
    /// The HPET's registers, which no driver of the kernel uses.
    pub timer: Option<u64>,
    /// Memory of NUMA nodes.
    pub nodes: NodeRanges,
    /// Whether there is a table of processors.
    pub has_processors: bool,
}

/// Returns the table at a physical address, if its checksum is right.
fn table(physical: u64) -> Option<&'static [u8]> {
    const LARGEST: u64 = 1 << 20;
    // What the boot tables map.
    const MAPPED: u64 = (4 << 30) - LARGEST;
    if physical == 0 || physical > MAPPED {
        return None;
    }
    let length = number::<4>(physical_bytes(physical, 8), 4);
    if !(36..=LARGEST).contains(&length) {
        return None;
    }
    let bytes = physical_bytes(physical, length);
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    (sum == 0).then_some(bytes)
}

impl Machine {
    /// Reads the tables that the root pointer at `root` leads to.
    pub fn read(root: u64) -> Self {
        let mut machine = Self::default();
        let pointer = physical_bytes(root, 36);
        if root == 0 || pointer.get(..8) != Some(b"RSD PTR ") {
            return machine;
        }
        let has_wide = pointer.get(15).is_some_and(|revision| *revision >= 2);
        // An old pointer ends before the address of the wide list.
        let wide = if has_wide {
            table(number::<8>(pointer, 24))
        } else {
            None
        };
        let narrow = table(number::<4>(pointer, 16));
        match (wide, narrow) {
            (Some(list), _) => list[36..].chunks_exact(8).for_each(|row| {
                machine.read_table(number::<8>(row, 0));
            }),
            (None, Some(list)) => list[36..].chunks_exact(4).for_each(|row| {
                machine.read_table(number::<4>(row, 0));
            }),
            (None, None) => {}
        }
        machine
    }

    /// Reads one table.
    fn read_table(&mut self, physical: u64) {
        let Some(bytes) = table(physical) else { return };
        match &bytes[..4] {
            b"APIC" => self.read_processors(bytes),
            b"FACP" => self.read_power(bytes),
            b"SRAT" => self.read_affinity(bytes),
            b"HPET" => self.timer = Some(number::<8>(bytes, 44)),
            _ => {}
        }
    }

    /// Reads the Multiple APIC Description Table.
    fn read_processors(&mut self, bytes: &[u8]) {
        self.has_processors = true;
        let mut rest = bytes.get(44..).unwrap_or(&[]);
        while let [kind, length, ..] = *rest {
            let length = usize::from(length);
            let Some(row) = rest.get(..length).filter(|_| length >= 2) else {
                return;
            };
            match kind {
                0 => self.add_processor(number::<1>(row, 3), number::<4>(row, 4)),
                1 => {
                    // More controllers than expected are left masked, as they are after reset.
                    let _ = self
                        .controllers
                        .push((number::<4>(row, 4), number::<4>(row, 8) as u32));
                }
                2 => self.add_override(row),
                9 => self.add_processor(number::<4>(row, 4), number::<4>(row, 8)),
                _ => {}
            }
            rest = &rest[length..];
        }
    }

    /// Reads which nodes memory belongs to from the System Resource Affinity Table.
    fn read_affinity(&mut self, bytes: &[u8]) {
        const MEMORY: u8 = 1;
        const ENABLED: u64 = 1;
        let mut rest = bytes.get(48..).unwrap_or(&[]);
        while let [kind, length, ..] = *rest {
            let length = usize::from(length);
            let Some(row) = rest.get(..length).filter(|_| length >= 2) else {
                return;
            };
            if kind == MEMORY && number::<4>(row, 28) & ENABLED != 0 {
                self.nodes.add(NodeRange {
                    base: number::<8>(row, 8),
                    length: number::<8>(row, 16),
                    node: number::<4>(row, 2),
                });
            }
            rest = &rest[length..];
        }
    }

    /// Adds a processor that is enabled.
    fn add_processor(&mut self, apic: u64, flags: u64) {
        const ENABLED: u64 = 1;
        let apic = apic as u32;
        if flags & ENABLED == 0 || self.processors.contains(&apic) {
            return;
        }
        if self.processors.push(apic).is_err() {
            self.too_many += 1;
        }
    }

    /// Adds an interrupt source override.
    fn add_override(&mut self, row: &[u8]) {
        let flags = number::<2>(row, 8);
        // More than 16 ISA interrupts there are not.
        let _ = self.overrides.push(Override {
            line: number::<4>(row, 4) as u32,
            active_low: flags & 3 == 3,
            level: flags >> 2 & 3 == 3,
        });
    }

    /// Reads how to switch off: the port of the Fixed ACPI Description Table, and the value of the
    /// package `_S5_` in the first definition block.
    fn read_power(&mut self, bytes: &[u8]) {
        const SLEEP_ENABLE: u16 = 1 << 13;
        let port = number::<4>(bytes, 64) as u16;
        let wide = number::<8>(bytes, 140);
        let block = if wide == 0 {
            number::<4>(bytes, 40)
        } else {
            wide
        };
        let Some(code) = table(block) else { return };
        let Some(at) = code.windows(4).position(|name| name == b"_S5_") else {
            return;
        };
        // Name, package, its length, its count, then the first number: a byte or a constant.
        let kind = match code.get(at + 7) {
            Some(0x0a) => number::<1>(code, at + 8),
            Some(constant @ 0..=1) => u64::from(*constant),
            _ => return,
        };
        if port != 0 && code.get(at + 4) == Some(&0x12) {
            self.soft_off = Some((port, (kind as u16) << 10 | SLEEP_ENABLE));
        }
    }
}
