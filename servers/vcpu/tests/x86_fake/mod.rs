//! A scripted world around an x86 VM with 64 KiB of memory.
#![allow(missing_docs, dead_code)]

use std::collections::BTreeMap;
use vcpu::{Effects, Event, FenceKind, Line, MemoryError, RegisterError, Start, VcpuId, VcpuSet};
use x86_regs::one_reg::{NOTED, Register};

/// Bytes of memory.
pub const BYTES: usize = 0x1_0000;

#[derive(Default)]
pub struct World {
    pub general: BTreeMap<(usize, u8), u64>,
    pub registers: BTreeMap<(usize, u64), u64>,
    pub memory: Vec<u8>,
    pub absent: Option<u64>,
    /// What devices have at an address.
    pub devices: BTreeMap<u64, u64>,
    pub controller: BTreeMap<u32, u64>,
    pub starts: Vec<Start>,
    pub started: Vec<usize>,
    pub stopped: Vec<usize>,
    pub loads: usize,
    /// Reads of memory: where, and how many bytes.
    pub reads: Vec<(u64, usize)>,
    /// The exit left registers at hand.
    pub noted: bool,
    /// Registers that were asked for.
    pub asked: usize,
    /// Memory is other memory behind each read.
    pub changes: bool,
}

impl World {
    pub fn register(&self, register: Register) -> u64 {
        self.registers
            .get(&(0, register.id()))
            .copied()
            .unwrap_or(0)
    }

    pub fn set(&mut self, register: Register, value: u64) {
        self.registers.insert((0, register.id()), value);
    }

    fn range(&self, address: u64, bytes: usize) -> Result<std::ops::Range<usize>, MemoryError> {
        let start = usize::try_from(address).map_err(|_| MemoryError::Outside)?;
        let end = start.checked_add(bytes).filter(|end| *end <= BYTES);
        let end = end.ok_or(MemoryError::Outside)?;
        match self.absent {
            Some(page) if start as u64 >> 12 <= page && (end as u64 - 1) >> 12 >= page => {
                Err(MemoryError::Absent {
                    address: page << 12,
                })
            }
            _ => Ok(start..end),
        }
    }
}

impl Effects for World {
    fn general(&mut self, vcpu: VcpuId, register: u8) -> u64 {
        let found = self.general.get(&(vcpu.index(), register));
        found.copied().unwrap_or(0)
    }

    fn set_general(&mut self, vcpu: VcpuId, register: u8, value: u64) {
        self.general.insert((vcpu.index(), register), value);
    }

    fn noted<const COUNT: usize>(&mut self, vcpu: VcpuId) -> Option<[u64; COUNT]> {
        let values: Vec<_> = NOTED
            .iter()
            .map(|it| self.registers.get(&(vcpu.index(), it.id())))
            .collect();
        let values = values.first_chunk().filter(|_| self.noted)?;
        Some(values.map(|value| value.copied().unwrap_or(0)))
    }

    fn read_register(&mut self, vcpu: VcpuId, id: u64) -> Result<u64, RegisterError> {
        self.asked += 1;
        let found = self.registers.get(&(vcpu.index(), id));
        Ok(found.copied().unwrap_or(0))
    }

    fn write_register(&mut self, vcpu: VcpuId, id: u64, value: u64) -> Result<(), RegisterError> {
        self.registers.insert((vcpu.index(), id), value);
        Ok(())
    }

    fn inject(&mut self, _: VcpuId, _: Line, _: bool) {}

    fn fence(&mut self, _: VcpuSet, _: FenceKind) {}

    fn start(&mut self, vcpu: VcpuId) -> bool {
        self.started.push(vcpu.index());
        true
    }

    fn stop(&mut self, vcpu: VcpuId) {
        self.stopped.push(vcpu.index());
    }

    fn is_idle(&mut self, _: VcpuId) -> bool {
        false
    }

    fn read_guest(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let range = self.range(address, buffer.len())?;
        self.reads.push((address, buffer.len()));
        buffer.copy_from_slice(&self.memory[range]);
        if self.changes {
            self.memory.iter_mut().for_each(|byte| *byte = !*byte);
        }
        Ok(())
    }

    fn write_guest(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let range = self.range(address, bytes.len())?;
        self.memory[range].copy_from_slice(bytes);
        Ok(())
    }

    fn console_write(&mut self, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn console_read(&mut self, _: &mut [u8]) -> usize {
        0
    }

    fn event(&mut self, _: Event) {}

    fn counter(&mut self) -> u64 {
        2_000_000
    }

    fn ticks_per_second(&mut self) -> u64 {
        1_000_000
    }

    fn load_device(&mut self, _: VcpuId, _: bool, (address, _): (u64, u8)) -> Option<u64> {
        self.loads += 1;
        self.devices.get(&address).copied()
    }

    fn controller_register(&mut self, _: VcpuId, number: u32, store: Option<u64>) -> Option<u64> {
        let value = self.controller.get_mut(&number)?;
        if let Some(store) = store {
            *value = store;
        }
        Some(*value)
    }

    fn take_start(&mut self) -> Option<Start> {
        self.starts.pop()
    }
}

pub fn id(index: usize) -> VcpuId {
    VcpuId::new(index).unwrap()
}
