//! A scripted world around a VM of two CPUs with 2 MiB of storage.
#![allow(missing_docs, dead_code)]

use abi::exit::{ExitClass, RouteKey};
use irq_api::floating::{Act, Answer};
use s390_regs::one_reg::Register;
use std::collections::{BTreeMap, BTreeSet};
use vcpu::machine::s390::S390;
use vcpu::machine::{Boot, Machine};
use vcpu::{
    Absent, Effects, Event, Exit, FenceKind, Line, MemoryError, Outcome, RegisterError, VcpuId,
    VcpuSet,
};

pub const BYTES: u64 = 2 << 20;
pub const PC: u64 = 0x1_0000;
pub const BLOCK: u64 = 0x2_0000;
pub const KEY: u64 = RouteKey::Subchannel as u64;
pub const MASK: u64 = 0x0000_0001_8000_0000;

#[derive(Default)]
pub struct World {
    pub general: BTreeMap<(usize, u8), u64>,
    pub registers: BTreeMap<(usize, u64), u64>,
    pub memory: Vec<u8>,
    pub absent: BTreeSet<u64>,
    pub acts: Vec<Act>,
    pub answer: Answer,
    pub running: BTreeSet<usize>,
    pub printed: Vec<u8>,
    pub input: Vec<u8>,
}

impl World {
    pub fn range(&self, address: u64, bytes: usize) -> Result<std::ops::Range<usize>, MemoryError> {
        let end = address
            .checked_add(bytes as u64)
            .filter(|end| *end <= BYTES);
        let end = end.ok_or(MemoryError::Outside)?;
        match (address >> 12..end.div_ceil(4096)).find(|page| self.absent.contains(page)) {
            Some(page) => Err(MemoryError::Absent {
                address: page << 12,
            }),
            None => Ok(address as usize..end as usize),
        }
    }

    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        self.memory[address as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        self.memory[address as usize..][..N].try_into().unwrap()
    }

    pub fn word(&self, address: u64) -> u64 {
        u64::from_be_bytes(self.get(address))
    }

    pub fn put_word(&mut self, address: u64, value: u64) {
        self.put(address, &value.to_be_bytes());
    }

    pub fn register(&self, cpu: usize, register: Register) -> u64 {
        self.registers
            .get(&(cpu, register.id()))
            .copied()
            .unwrap_or(0)
    }

    pub fn set(&mut self, cpu: usize, register: Register, value: u64) {
        self.registers.insert((cpu, register.id()), value);
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
        assert!(register < 16);
        self.general.insert((vcpu.index(), register), value);
    }

    fn read_register(&mut self, vcpu: VcpuId, id: u64) -> Result<u64, RegisterError> {
        Register::from_id(id).ok_or(RegisterError)?;
        Ok(self
            .registers
            .get(&(vcpu.index(), id))
            .copied()
            .unwrap_or(0))
    }

    fn write_register(&mut self, vcpu: VcpuId, id: u64, value: u64) -> Result<(), RegisterError> {
        let register = Register::from_id(id).filter(|register| register.takes(value));
        register.ok_or(RegisterError)?;
        self.registers.insert((vcpu.index(), id), value);
        Ok(())
    }

    fn inject(&mut self, _vcpu: VcpuId, _line: Line, _level: bool) {}

    fn fence(&mut self, _vcpus: VcpuSet, _kind: FenceKind) {}

    fn start(&mut self, vcpu: VcpuId) -> bool {
        self.running.insert(vcpu.index());
        true
    }

    fn stop(&mut self, vcpu: VcpuId) {
        self.running.remove(&vcpu.index());
    }

    fn interruption(&mut self, _by: VcpuId, act: Act) -> Answer {
        self.acts.push(act);
        self.answer
    }

    fn is_idle(&mut self, _vcpu: VcpuId) -> bool {
        false
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
        self.printed.extend(bytes);
        bytes.len()
    }

    fn console_read(&mut self, buffer: &mut [u8]) -> usize {
        let taken = self.input.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.input.drain(..taken)) {
            *place = byte;
        }
        taken
    }

    fn event(&mut self, _event: Event) {}
}

pub fn id(cpu: usize) -> VcpuId {
    VcpuId::new(cpu).unwrap()
}

/// A VM with two CPUs, of which the first was booted and runs.
pub fn booted() -> (S390, World) {
    let mut world = World {
        memory: vec![0; BYTES as usize],
        ..World::default()
    };
    let mut vm = S390::new(2, BYTES).unwrap();
    let boot = Boot {
        entry: PC,
        device_tree: 0,
    };
    let first = vm.boot(boot, &mut world).unwrap();
    world.start(first);
    world.acts.clear();
    // New PSWs: each goes to its own address.
    for new in (0x1a0..0x200).step_by(16) {
        world.put_word(new, MASK);
        world.put_word(new + 8, 0x5000 + new);
    }
    (vm, world)
}

pub fn exit(
    vm: &mut S390,
    world: &mut World,
    cpu: usize,
    class: ExitClass,
    words: [u64; 6],
) -> Result<Outcome, Absent> {
    vm.exit(id(cpu), Exit { class, words }, world)
}

/// Executes an instruction at `PC` of the first CPU that goes on behind it.
pub fn execute(vm: &mut S390, world: &mut World, bits: u64) -> Result<Outcome, Absent> {
    world.set(0, Register::PswAddress, PC);
    let mask = world.register(0, Register::PswMask);
    exit(
        vm,
        world,
        0,
        ExitClass::Instruction,
        [PC, bits, mask, 0, 0, 0],
    )
}

pub fn condition(world: &World) -> u64 {
    world.register(0, Register::PswMask) >> 44 & 3
}

/// Gives an order to a CPU; returns condition code and status.
pub fn sigp(vm: &mut S390, world: &mut World, cpu: u64, order: u64, parameter: u64) -> (u64, u64) {
    // sigp %r2,%r4,order
    world.general.insert((0, 2), 0);
    world.general.insert((0, 3), parameter);
    world.general.insert((0, 4), cpu);
    assert_eq!(
        execute(vm, world, 0xae24_0000_0000 | order << 16),
        Ok(Outcome::RESUME)
    );
    (condition(world), world.general[&(0, 2)])
}

/// Makes a service call with a block; returns the response code.
pub fn service(vm: &mut S390, world: &mut World, command: u32, block: &[u8]) -> u16 {
    world.put(BLOCK, &vec![0; 4096]);
    world.put(BLOCK, block);
    world.general.insert((0, 2), command.into());
    world.general.insert((0, 4), BLOCK);
    assert_eq!(execute(vm, world, 0xb220_0024_0000), Ok(Outcome::RESUME));
    assert_eq!(condition(world), 0);
    u16::from_be_bytes(world.get(BLOCK + 6))
}

pub fn block_of(event: &[u8]) -> Vec<u8> {
    let length = (8 + event.len()) as u16;
    [&length.to_be_bytes()[..], &[0; 6], event].concat()
}
