//! s390x guests: loading, and what little the server has to know beside.

use super::{Platform, Setup, World};
use crate::machine::Boot;
use crate::machine::s390::S390;
use crate::machine::s390::loader::{Image, LoadError, parameters, plan};
use crate::{Effects, FenceKind, Line, RebootKind, RegisterError, VcpuId};
use abi::exit::ExitClass;
use core::fmt;
use guest_memory::CopyError;
use s390_regs::one_reg::Register;

/// Bytes of DIAGNOSE.
const CALL_BYTES: u64 = 4;
/// Bytes that are cleared at a time.
const PIECE: u64 = 1 << 20;

/// The server's s390x.
#[derive(Clone, Copy, Debug)]
pub enum S390Platform {}

/// Why a guest cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The image, or what comes with it, does not fit.
    Image(LoadError),
    /// The guest's memory is not there.
    Memory(CopyError),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => write!(formatter, "its image cannot be loaded: {error:?}"),
            Self::Memory(error) => write!(formatter, "its memory cannot be written: {error:?}"),
        }
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        Self::Memory(error)
    }
}

impl Platform for S390Platform {
    type Machine = S390;
    type Failure = Failure;

    const HAS_ZERO: bool = false;

    fn machine(setup: &Setup) -> Option<S390> {
        let description = &setup.description;
        (description.memory_base == 0)
            .then(|| S390::new(setup.vcpus.len(), description.memory_bytes))
            .flatten()
    }

    fn load(setup: &Setup, again: Option<RebootKind>) -> Result<Boot, Failure> {
        let (kernel, description) = (&setup.kernel, &setup.description);
        let image = Image {
            load: kernel.load,
            memory_bytes: kernel.memory_bytes,
            entry: kernel.entry,
        };
        let initrd_bytes = setup.initrd.map(|initrd| initrd.len() as u64);
        let line = description.append.as_str();
        let plan = plan(image, initrd_bytes, (line, description.memory_bytes));
        let plan = plan.map_err(Failure::Image)?;
        let memory = &setup.memory;
        if again == Some(RebootKind::Cold) {
            for start in (0..description.memory_bytes).step_by(PIECE as usize) {
                memory.clear(start, PIECE.min(description.memory_bytes - start))?;
            }
        }
        memory.write(kernel.load, kernel.bytes)?;
        let rest = kernel
            .memory_bytes
            .saturating_sub(kernel.bytes.len() as u64);
        if again.is_some() && rest > 0 {
            memory.clear(kernel.load + kernel.bytes.len() as u64, rest)?;
        }
        if let (Some(place), Some(initrd)) = (plan.initrd, setup.initrd) {
            memory.write(place, initrd)?;
        }
        parameters(plan, initrd_bytes.unwrap_or(0), line, |address, bytes| {
            memory.write(address, bytes)
        })?;
        Ok(Boot {
            entry: kernel.entry,
            device_tree: 0,
        })
    }

    fn line(_line: Line) -> u64 {
        // Interruptions are the interrupt server's; the machine presents the timers' itself.
        0
    }

    fn fence(_kind: FenceKind) -> u64 {
        0
    }

    fn firmware_call(world: &mut World<Self>, vcpu: VcpuId) -> (u64, u64) {
        // What tests name as extension and function is in general registers 1 and 2.
        (world.general(vcpu, 1), world.general(vcpu, 2))
    }

    fn try_again(
        world: &mut World<Self>,
        vcpu: VcpuId,
        (class, at): (ExitClass, u64),
    ) -> Result<(), RegisterError> {
        if class != ExitClass::Hypercall {
            // The program counter is on the instruction still, or an interruption waits.
            return Ok(());
        }
        let call = at.wrapping_sub(CALL_BYTES);
        world.write_register(vcpu, Register::PswAddress.id(), call)
    }
}
