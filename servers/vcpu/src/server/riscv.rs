//! RISC-V guests: lines, fences, device tree and loading.

use super::{Platform, Setup, World};
use crate::machine::Boot;
use crate::machine::riscv::fdt::{Description, Range, Serial, TreeError, abilities, device_tree};
use crate::machine::riscv::loader::{Extras, Flattened, LoadError, Memory, Plan, plan_flattened};
use crate::machine::riscv::{Identity, Riscv};
use crate::{Effects, FenceKind, Line, RebootKind, RegisterError, VcpuId};
use abi::exit::ExitClass;
use alloc::vec::Vec;
use core::fmt;
use guest_memory::CopyError;
use irq_api::MAX_SOURCE;
use riscv_regs::instruction::Length;
use riscv_regs::isa::Offer;
use riscv_regs::one_reg::ConfigRegister;
use riscv_regs::translation::Mode;
use riscv_regs::{Gpr, Interrupt, Register};
use rt::seed::Seeds;
use vcpu_api::description::{PLIC_BASE, PLIC_BYTES};

/// Package of the serial port's server.
const SERIAL: &str = "device-uart16550";
/// Room for the device tree.
const TREE_BYTES: u64 = 0x1_0000;

/// The server's RISC-V.
#[derive(Clone, Copy, Debug)]
pub enum RiscvPlatform {}

/// Why a guest cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The image, or what comes with it, does not fit.
    Image(LoadError),
    /// The device tree cannot be written.
    Tree(TreeError),
    /// The device tree is too large.
    TreeTooLarge,
    /// The guest's memory is not pages, or its counter too fast.
    Machine,
    /// The guest's memory is not there.
    Memory(CopyError),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(formatter),
            Self::Tree(error) => write!(formatter, "its device tree cannot be written: {error:?}"),
            Self::TreeTooLarge => formatter.write_str("its device tree is larger than 64 KiB"),
            Self::Machine => formatter.write_str("its memory or its counter is not possible"),
            Self::Memory(error) => write!(formatter, "its memory cannot be written: {error:?}"),
        }
    }
}

impl Platform for RiscvPlatform {
    type Machine = Riscv;
    type Failure = Failure;

    const HAS_ZERO: bool = true;

    fn machine(setup: &Setup) -> Option<Riscv> {
        Riscv::new(setup.vcpus.len(), memory_of(setup)?, Identity::default())
    }

    fn load(setup: &Setup, again: Option<RebootKind>) -> Result<Boot, Failure> {
        let memory = memory_of(setup).ok_or(Failure::Machine)?;
        let image = Flattened {
            bytes: setup.kernel.bytes.len(),
            load: setup.kernel.load,
            memory_bytes: setup.kernel.memory_bytes,
            entry: setup.kernel.entry,
        };
        let extras = Extras {
            initrd_bytes: setup.initrd.map(|initrd| initrd.len() as u64),
            device_tree_bytes: TREE_BYTES,
        };
        let plan = plan_flattened(image, memory, extras).map_err(Failure::Image)?;
        let tree = tree(setup, memory, &plan)?;
        write(setup, &plan, &tree, again).map_err(Failure::Memory)?;
        Ok(Boot {
            entry: plan.entry,
            device_tree: plan.device_tree.address,
        })
    }

    fn line(line: Line) -> u64 {
        // Lines have the places of hvip: VS interrupts lie one above their S numbers.
        let interrupt = match line {
            Line::Software => Interrupt::SupervisorSoftware,
            Line::Timer => Interrupt::SupervisorTimer,
        };
        1 << (interrupt.number() + 1)
    }

    fn fence(kind: FenceKind) -> u64 {
        match kind {
            FenceKind::All => 0,
            FenceKind::Instructions => 1,
        }
    }

    fn firmware_call(world: &mut World<Self>, vcpu: VcpuId) -> (u64, u64) {
        let [extension, function] = [Gpr::A7, Gpr::A6];
        (
            world.general(vcpu, extension.number()),
            world.general(vcpu, function.number()),
        )
    }

    fn try_again(
        world: &mut World<Self>,
        vcpu: VcpuId,
        (class, at): (ExitClass, u64),
    ) -> Result<(), RegisterError> {
        if class != ExitClass::Hypercall {
            // The program counter is on the instruction still.
            return Ok(());
        }
        let call = at.wrapping_sub(Length::Four.bytes().into());
        world.write_register(vcpu, Register::ProgramCounter.id(), call)
    }
}

/// Returns the guest's memory.
fn memory_of(setup: &Setup) -> Option<Memory> {
    Memory::new(
        setup.description.memory_base,
        setup.description.memory_bytes,
    )
}

/// Returns the largest mode of the guest's satp, as the first vCPU has it: all harts have the same.
fn mode(setup: &Setup) -> Mode {
    let id = Register::Config(ConfigRegister::SatpMode).id();
    let first = setup.vcpus.first();
    let field = first.and_then(|vcpu| vcpu.capability.read(id).ok());
    let mode = field.and_then(|field| Mode::from_field(u8::try_from(field).ok()?));
    mode.unwrap_or(Mode::Sv39)
}

/// Returns the guest's device tree.
fn tree(setup: &Setup, memory: Memory, plan: &Plan) -> Result<Vec<u8>, Failure> {
    let devices = setup
        .description
        .devices
        .iter()
        .filter(|device| device.model == SERIAL);
    let serials: Vec<Serial> = devices
        .map(|device| Serial {
            range: Range {
                base: device.base,
                bytes: device.size,
            },
            interrupt: device.source,
        })
        .collect();
    let seed = setup.seeds.as_ref().map(Seeds::next);
    let description = Description {
        harts: u32::try_from(setup.vcpus.len()).map_err(|_| Failure::Machine)?,
        abilities: abilities(Offer::from_features(setup.features)),
        mode: mode(setup),
        timebase: u32::try_from(setup.ticks).map_err(|_| Failure::Machine)?,
        memory,
        plic: Range {
            base: PLIC_BASE,
            bytes: PLIC_BYTES,
        },
        sources: MAX_SOURCE.into(),
        serials: &serials,
        command_line: &setup.description.append,
        initrd: plan.initrd,
        seed: seed.as_ref().map(|seed| &seed.bytes()[..]),
    };
    let tree = device_tree(&description).map_err(Failure::Tree)?;
    if tree.len() as u64 > plan.device_tree.bytes {
        return Err(Failure::TreeTooLarge);
    }
    Ok(tree)
}

/// Writes image, initial RAM disk and device tree. Memory is zero at first; `again`, all of it or
/// what has to be zero is cleared.
fn write(
    setup: &Setup,
    plan: &Plan,
    tree: &[u8],
    again: Option<RebootKind>,
) -> Result<(), CopyError> {
    if again == Some(RebootKind::Cold) {
        let description = &setup.description;
        setup
            .memory
            .clear(description.memory_base, description.memory_bytes)?;
    }
    for segment in &plan.segments {
        let bytes = setup.kernel.bytes.get(segment.offset..).unwrap_or_default();
        let bytes = bytes.get(..segment.bytes).unwrap_or(bytes);
        setup.memory.write(segment.address, bytes)?;
        let rest = segment.memory_bytes.saturating_sub(bytes.len() as u64);
        if again == Some(RebootKind::Warm) && rest > 0 {
            setup
                .memory
                .clear(segment.address + bytes.len() as u64, rest)?;
        }
    }
    if let (Some(place), Some(initrd)) = (plan.initrd, setup.initrd) {
        setup.memory.write(place.address, initrd)?;
    }
    setup.memory.write(plan.device_tree.address, tree)
}
