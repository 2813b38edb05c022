//! x86 guests: lines, fences and loading.

use super::{Platform, Setup, World};
use crate::machine::Boot;
use crate::machine::x86::X86;
use crate::machine::x86::boot::{Files, LoadError, Plan, plan};
use crate::machine::x86::cpuid::Vendor;
use crate::{Effects, FenceKind, Line, RebootKind, RegisterError, VcpuId};
use abi::exit::ExitClass;
use core::fmt;
use guest_memory::CopyError;
use x86_regs::feature;
use x86_regs::one_reg::{NOTED, NOTED_FROM, Register};

/// The server's x86.
#[derive(Clone, Copy, Debug)]
pub enum X86Platform {}

/// Why a guest cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something does not fit.
    Load(LoadError),
    /// The guest's memory is not there.
    Memory(CopyError),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(formatter),
            Self::Memory(error) => write!(formatter, "its memory cannot be written: {error:?}"),
        }
    }
}

/// Ids of what an access leaves that the hardware does not describe.
const NOTED_IDS: [u64; NOTED.len()] = {
    let mut ids = [0; NOTED.len()];
    let mut place = 0;
    while place < ids.len() {
        ids[place] = NOTED[place].id();
        place += 1;
    }
    ids
};
/// The guest's memory begins at 0.
const MEMORY: u64 = 0;

impl Platform for X86Platform {
    type Machine = X86;
    type Failure = Failure;

    const HAS_ZERO: bool = false;

    const NOTED: &'static [u64] = &NOTED_IDS;
    const NOTED_FROM: usize = NOTED_FROM;

    fn machine(setup: &Setup) -> Option<X86> {
        let is_pc = setup.description.memory_base == MEMORY;
        // What a guest takes from the vendor's name has to fit what runs it.
        let vendor = if setup.features[0] & feature::VMX != 0 {
            Vendor::Intel
        } else {
            Vendor::Amd
        };
        is_pc.then(|| X86::new(setup.vcpus.len(), vendor)).flatten()
    }

    fn load(setup: &Setup, again: Option<RebootKind>) -> Result<Boot, Failure> {
        let plan = plan(&Files {
            kernel: setup.kernel.bytes,
            load: setup.kernel.load,
            kernel_memory: setup.kernel.memory_bytes,
            entry: setup.kernel.entry,
            module_bytes: setup.initrd.map(|initrd| initrd.len() as u64),
            command_line: &setup.description.append,
            memory: setup.description.memory_bytes,
            processors: setup.vcpus.len(),
        });
        let plan = plan.map_err(Failure::Load)?;
        write(setup, &plan, again).map_err(Failure::Memory)?;
        Ok(plan.boot)
    }

    fn line(line: Line) -> u64 {
        const TIMER: u64 = 4;
        match line {
            Line::Timer => TIMER,
            // There is none: interrupts between processors are the irq server's.
            Line::Software => 0,
        }
    }

    fn fence(_kind: FenceKind) -> u64 {
        0
    }

    fn firmware_call(world: &mut World<Self>, vcpu: VcpuId) -> (u64, u64) {
        const RAX: u8 = 0;
        const RBX: u8 = 3;
        (world.general(vcpu, RAX), world.general(vcpu, RBX))
    }

    fn try_again(
        world: &mut World<Self>,
        vcpu: VcpuId,
        (class, at): (ExitClass, u64),
    ) -> Result<(), RegisterError> {
        const CALL_BYTES: u64 = 3;
        if class != ExitClass::Hypercall {
            // The instruction pointer is at the instruction still.
            return Ok(());
        }
        let call = at.wrapping_sub(CALL_BYTES);
        world.write_register(vcpu, Register::Rip.id(), call)
    }
}

/// Writes kernel, module and what the loader tells. Memory is zero at first; `again`, all of it or
/// what has to be zero is cleared.
fn write(setup: &Setup, plan: &Plan, again: Option<RebootKind>) -> Result<(), CopyError> {
    let (kernel, memory) = (&setup.kernel, &setup.memory);
    if again == Some(RebootKind::Cold) {
        memory.clear(MEMORY, setup.description.memory_bytes)?;
    }
    memory.write(kernel.load, kernel.bytes)?;
    let bytes = kernel.bytes.len() as u64;
    let rest = kernel.memory_bytes.saturating_sub(bytes);
    if again == Some(RebootKind::Warm) && rest > 0 {
        memory.clear(kernel.load + bytes, rest)?;
    }
    if let (Some(place), Some(initrd)) = (plan.module, setup.initrd) {
        memory.write(place, initrd)?;
    }
    for (place, bytes) in &plan.pieces {
        memory.write(*place, bytes)?;
    }
    Ok(())
}
