//! A scripted world around a VM of two to four harts with 64 KiB of memory.
#![allow(missing_docs, dead_code)]

use riscv_regs::Register;
use riscv_regs::one_reg::CsrRegister;
use std::collections::{BTreeMap, BTreeSet};
use vcpu::machine::riscv::loader::Memory;
use vcpu::machine::riscv::{Identity, Riscv};
use vcpu::machine::{Boot, Machine};
use vcpu::{
    Absent, Effects, Event, Exit, FenceKind, Line, MemoryError, Outcome, RegisterError, VcpuId,
    VcpuSet,
};

pub const BASE: u64 = 0x8000_0000;
pub const BYTES: u64 = 0x1_0000;
pub const PC: u64 = BASE + 0x1000;

#[derive(Default)]
pub struct World {
    pub general: BTreeMap<(usize, u8), u64>,
    pub registers: BTreeMap<(usize, u64), u64>,
    pub refuse: BTreeSet<u64>,
    pub memory: Vec<u8>,
    pub absent: BTreeSet<u64>,
    pub lines: BTreeSet<usize>,
    pub timers: BTreeSet<usize>,
    pub fences: Vec<(u64, FenceKind)>,
    pub started: Vec<usize>,
    pub start_later: bool,
    pub idle: BTreeSet<usize>,
    pub stopped: Vec<usize>,
    pub printed: Vec<u8>,
    pub room: Option<usize>,
    pub input: Vec<u8>,
    pub events: Vec<Event>,
    pub writes: usize,
}

impl World {
    fn range(&self, address: u64, bytes: usize) -> Result<std::ops::Range<usize>, MemoryError> {
        let start = address.checked_sub(BASE).ok_or(MemoryError::Outside)?;
        let end = start
            .checked_add(bytes as u64)
            .ok_or(MemoryError::Outside)?;
        if end > BYTES {
            return Err(MemoryError::Outside);
        }
        match (start >> 12..end.div_ceil(4096)).find(|page| self.absent.contains(page)) {
            Some(page) => Err(MemoryError::Absent {
                address: BASE + (page << 12),
            }),
            None => Ok(start as usize..end as usize),
        }
    }

    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        let at = (address - BASE) as usize;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn register(&self, hart: usize, register: Register) -> u64 {
        self.registers[&(hart, register.id())]
    }

    pub fn csr(&self, hart: usize, register: CsrRegister) -> u64 {
        self.register(hart, Register::Csr(register))
    }
}

impl Effects for World {
    fn general(&mut self, vcpu: VcpuId, register: u8) -> u64 {
        self.general
            .get(&(vcpu.index(), register))
            .copied()
            .unwrap_or(0)
    }

    fn set_general(&mut self, vcpu: VcpuId, register: u8, value: u64) {
        self.writes += 1;
        self.general.insert((vcpu.index(), register), value);
    }

    fn read_register(&mut self, vcpu: VcpuId, id: u64) -> Result<u64, RegisterError> {
        if self.refuse.contains(&id) {
            return Err(RegisterError);
        }
        Ok(self
            .registers
            .get(&(vcpu.index(), id))
            .copied()
            .unwrap_or(0))
    }

    fn write_register(&mut self, vcpu: VcpuId, id: u64, value: u64) -> Result<(), RegisterError> {
        if self.refuse.contains(&id) {
            return Err(RegisterError);
        }
        self.writes += 1;
        self.registers.insert((vcpu.index(), id), value);
        Ok(())
    }

    fn inject(&mut self, vcpu: VcpuId, line: Line, level: bool) {
        let lines = match line {
            Line::Software => &mut self.lines,
            Line::Timer => &mut self.timers,
        };
        if level {
            lines.insert(vcpu.index());
        } else {
            lines.remove(&vcpu.index());
        }
    }

    fn fence(&mut self, vcpus: VcpuSet, kind: FenceKind) {
        self.fences.push((vcpus.bits(), kind));
    }

    fn start(&mut self, vcpu: VcpuId) -> bool {
        self.started.push(vcpu.index());
        !self.start_later
    }

    fn stop(&mut self, vcpu: VcpuId) {
        self.stopped.push(vcpu.index());
    }

    fn is_idle(&mut self, vcpu: VcpuId) -> bool {
        self.idle.contains(&vcpu.index())
    }

    fn read_guest(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let range = self.range(address, buffer.len())?;
        buffer.copy_from_slice(&self.memory[range]);
        Ok(())
    }

    fn write_guest(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let range = self.range(address, bytes.len())?;
        self.memory[range].copy_from_slice(bytes);
        Ok(())
    }

    fn console_write(&mut self, bytes: &[u8]) -> usize {
        let taken = self.room.map_or(bytes.len(), |room| bytes.len().min(room));
        self.room = self.room.map(|room| room - taken);
        self.printed.extend(&bytes[..taken]);
        taken
    }

    fn console_read(&mut self, buffer: &mut [u8]) -> usize {
        let taken = self.input.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.input.drain(..taken)) {
            *place = byte;
        }
        taken
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

pub fn id(hart: usize) -> VcpuId {
    VcpuId::new(hart).unwrap()
}

/// A VM whose hart 0 was booted and runs.
pub fn booted(harts: usize) -> (Riscv, World) {
    let mut world = World {
        memory: vec![0; BYTES as usize],
        ..World::default()
    };
    let memory = Memory::new(BASE, BYTES).unwrap();
    let identity = Identity {
        vendor: 1,
        architecture: 2,
        implementation: 3,
    };
    let mut vm = Riscv::new(harts, memory, identity).unwrap();
    let first = vm
        .boot(
            Boot {
                entry: PC,
                device_tree: BASE + 0x8000,
            },
            &mut world,
        )
        .unwrap();
    vm.started(first);
    world.fences.clear();
    (vm, world)
}

/// Makes hart `hart` call the firmware; as the kernel does, with the program counter behind the call.
pub fn ecall(
    vm: &mut Riscv,
    world: &mut World,
    hart: usize,
    call: (u64, u64),
    arguments: &[u64],
) -> Result<Outcome, Absent> {
    for register in 10..16 {
        let value = arguments
            .get(usize::from(register) - 10)
            .copied()
            .unwrap_or(0);
        world.general.insert((hart, register), value);
    }
    world.general.insert((hart, 16), call.1);
    world.general.insert((hart, 17), call.0);
    world
        .registers
        .insert((hart, Register::ProgramCounter.id()), PC + 4);
    let exit = Exit {
        class: abi::exit::ExitClass::Hypercall,
        words: [PC + 4, 0, 0, 0, 0, 0],
    };
    vm.exit(id(hart), exit, world)
}

/// As [`ecall`], of hart 0, for calls that return: error and value.
pub fn call(vm: &mut Riscv, world: &mut World, call: (u64, u64), arguments: &[u64]) -> (i64, u64) {
    assert_eq!(ecall(vm, world, 0, call, arguments), Ok(Outcome::RESUME));
    assert_eq!(world.register(0, Register::ProgramCounter), PC + 4);
    (world.general[&(0, 10)] as i64, world.general[&(0, 11)])
}
