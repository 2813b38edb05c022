//! x86 guests: CPUID, registers, ports, MMIO decoding, exceptions, start of processors, boot.

mod acpi;
mod arithmetic;
pub mod boot;
pub mod cpuid;
mod emulate;
pub mod exception;
pub mod instruction;
mod pit;
mod ports;
mod processor;
mod registers;
mod system;
pub mod walk;

use crate::lifecycle::LifecycleEvent;
use crate::machine::{Boot, BootError};
use crate::once::Once;
use crate::{
    Absent, Effects, EndReason, Event, Exit, Failure, FenceKind, Lifecycle, Machine, MemoryError,
    Metrics, Outcome, RebootKind, VcpuId, VcpuSet,
};
use abi::exit::{AccessInfo, ExitClass, RouteKey};
use alloc::vec::Vec;
use cpuid::Vendor;
use emulate::Fault;
use processor::Processor;

/// One VM. vCPU `i` has the local APIC with identifier `i`.
#[derive(Clone, Debug)]
pub struct X86 {
    processors: heapless::Vec<Processor, { crate::effects::MAX_VCPUS }>,
    lifecycle: Lifecycle,
    metrics: Metrics,
    reported: Once,
    pit: pit::Pit,
    vendor: Vendor,
    /// Debug registers of each processor; not in the value, for moves of it are on the stack.
    debug: Vec<[u64; 8]>,
}

/// Debug registers behind a reset.
const DEBUG: [u64; 8] = [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400];

/// Why a handler stopped half-way; nothing has happened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A page is absent.
    Absent(u64),
    /// The kernel refused a register.
    Register(u64),
}

/// Returns whether a copy failed for absence, and where.
const fn absence(error: MemoryError) -> Option<u64> {
    match error {
        MemoryError::Absent { address } => Some(address),
        MemoryError::Outside => None,
    }
}

impl X86 {
    /// Returns a VM with so many processors of a vendor, none of which runs; `None` where there are
    /// none, or more than [`crate::effects::MAX_VCPUS`].
    #[must_use]
    pub fn new(processors: usize, vendor: Vendor) -> Option<Self> {
        let mut list = heapless::Vec::new();
        for _ in 0..processors {
            list.push(Processor::Waiting).ok()?;
        }
        (processors > 0).then(|| Self {
            processors: list,
            lifecycle: Lifecycle::Running,
            metrics: Metrics::default(),
            reported: Once::default(),
            pit: pit::Pit::default(),
            vendor,
            debug: alloc::vec![DEBUG; processors],
        })
    }

    /// Sets the state of a processor; returns what it was.
    fn set(&mut self, vcpu: VcpuId, state: Processor) -> Option<Processor> {
        let place = self.processors.get_mut(vcpu.index())?;
        Some(core::mem::replace(place, state))
    }

    /// Moves the VM's life; where that ends or interrupts it, no processor runs any more: every vCPU
    /// is stopped but `caller`, whose exit is answered by [`Outcome::STOP`].
    #[cold]
    #[inline(never)]
    fn step_lifecycle<E: Effects>(
        &mut self,
        caller: Option<VcpuId>,
        event: LifecycleEvent,
        effects: &mut E,
    ) {
        let (next, stop) = self.lifecycle.step(event);
        let moved = next != self.lifecycle;
        self.lifecycle = next;
        if stop {
            for vcpu in self.running().iter() {
                if Some(vcpu) != caller {
                    effects.stop(vcpu);
                }
                self.set(vcpu, Processor::Waiting);
            }
        }
        if moved {
            effects.event(Event::Lifecycle(next));
        }
    }

    /// Handles an exit whose vCPU runs in a VM that runs.
    #[inline]
    fn dispatch<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        exit: Exit,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let [program_counter, first, _, _, key, info] = exit.words;
        match exit.class {
            ExitClass::Hypercall => {
                // There are none: what KVM answers to one that it does not know.
                const UNKNOWN: u64 = 1000_u64.wrapping_neg();
                effects.set_general(vcpu, 0, UNKNOWN);
                Ok(Outcome::RESUME)
            }
            ExitClass::Instruction => self.instruction(vcpu, first, effects),
            ExitClass::Device | ExitClass::Unclaimed if key == RouteKey::Port.number() => {
                let info = AccessInfo::from_bits(info);
                self.port_access(vcpu, (program_counter, Fault::of(exit)), info, effects)
            }
            ExitClass::Device | ExitClass::Unclaimed => {
                self.access(vcpu, program_counter, Fault::of(exit), effects)
            }
            // Absent memory is the memory server's; declined, the access is not claimed at all.
            ExitClass::Memory => Ok(Outcome::DECLINE),
            ExitClass::Window => {
                // The irq server's.
                let class = exit.class;
                effects.event(Event::UnexpectedExit { vcpu, class });
                Ok(Outcome::RESUME)
            }
            ExitClass::Other => self.other(vcpu, (program_counter, first), effects),
        }
    }

    /// Handles an access to a port: one of a string instruction is not described.
    #[inline(never)]
    fn port_access<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (program_counter, fault): (u64, Fault),
        info: AccessInfo,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let port = fault.address as u16;
        if info.into_bits() == 0 {
            let access = (program_counter, port, fault.claimed());
            return self.port_string(vcpu, access, effects);
        }
        self.port(vcpu, (port, info), effects)
    }

    /// Ends a guest that cannot go on, for this cause: a processor that shut down resets the machine,
    /// as a PC does.
    #[cold]
    #[inline(never)]
    fn give_up<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (class, cause): (ExitClass, u64),
        program_counter: u64,
        effects: &mut E,
    ) -> Outcome {
        const SHUTDOWN: u64 = 0x7f;
        let event = if class == ExitClass::Other && cause == SHUTDOWN {
            LifecycleEvent::Reboot(RebootKind::Warm, EndReason::SystemFailure)
        } else {
            LifecycleEvent::Fail(Failure::UnknownExit {
                vcpu,
                class,
                cause,
                program_counter,
            })
        };
        self.step_lifecycle(Some(vcpu), event, effects);
        Outcome::STOP
    }

    /// Stops a processor where it waits to be started.
    fn init<E: Effects>(&mut self, vcpu: VcpuId, effects: &mut E) {
        if self.set(vcpu, Processor::Waiting) == Some(Processor::Running) {
            effects.stop(vcpu);
        }
    }

    /// Starts a processor that waits for it.
    fn start<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        page: u8,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        if self.processors.get(vcpu.index()) != Some(&Processor::Waiting) {
            return Ok(());
        }
        // An exit that it was stopped in is of no use any more.
        effects
            .write_register(vcpu, abi::register::PENDING_EXIT, 0)
            .map_err(|_| Trouble::Register(abi::register::PENDING_EXIT))?;
        Self::prepare_start(vcpu, page, effects)?;
        self.set(vcpu, Processor::Running);
        effects.start(vcpu);
        Ok(())
    }
}

impl Machine for X86 {
    #[inline]
    fn exit<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        exit: Exit,
        effects: &mut E,
    ) -> Result<Outcome, Absent> {
        self.metrics.count(exit.class);
        if self.lifecycle != Lifecycle::Running {
            self.set(vcpu, Processor::Waiting);
            return Ok(Outcome::STOP);
        }
        match self.dispatch(vcpu, exit, effects) {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Absent(address)) => {
                self.metrics.waits += 1;
                Err(Absent { address })
            }
            Err(Trouble::Register(id)) => {
                let failure = LifecycleEvent::Fail(Failure::Register { vcpu, id });
                self.step_lifecycle(Some(vcpu), failure, effects);
                Ok(Outcome::STOP)
            }
        }
    }

    fn parked(&mut self, vcpu: VcpuId) {
        self.set(vcpu, Processor::Waiting);
    }

    fn started(&mut self, _vcpu: VcpuId) {}

    fn boot<E: Effects>(&mut self, boot: Boot, effects: &mut E) -> Result<VcpuId, BootError> {
        let first = VcpuId::FIRST;
        let all = VcpuSet::first(self.processors.len());
        for vcpu in all.iter() {
            self.set(vcpu, Processor::Waiting);
        }
        self.pit = pit::Pit::default();
        self.debug.fill(DEBUG);
        // Translations and instructions of what was in memory before.
        effects.fence(all, FenceKind::All);
        Self::prepare_boot(first, boot, effects).map_err(|trouble| {
            let (Trouble::Register(id) | Trouble::Absent(id)) = trouble;
            BootError { vcpu: first, id }
        })?;
        self.set(first, Processor::Running);
        self.step_lifecycle(None, LifecycleEvent::Reloaded, effects);
        Ok(first)
    }

    fn rung<E: Effects>(&mut self, effects: &mut E) {
        while let Some(start) = effects.take_start() {
            if self.lifecycle != Lifecycle::Running {
                continue;
            }
            let vcpu = start.vcpu;
            if start.stop {
                self.init(vcpu, effects);
            }
            let done = start
                .page
                .map_or(Ok(()), |page| self.start(vcpu, page, effects));
            if let Err(Trouble::Register(id) | Trouble::Absent(id)) = done {
                let failure = LifecycleEvent::Fail(Failure::Register { vcpu, id });
                self.step_lifecycle(None, failure, effects);
            }
        }
    }

    fn end<E: Effects>(&mut self, reason: EndReason, effects: &mut E) {
        self.step_lifecycle(None, LifecycleEvent::PowerOff(reason), effects);
    }

    fn lifecycle(&self) -> Lifecycle {
        self.lifecycle
    }

    fn running(&self) -> VcpuSet {
        let runs = |&(_, state): &(usize, &Processor)| *state == Processor::Running;
        let members = self.processors.iter().enumerate().filter(runs);
        members
            .filter_map(|(index, _)| VcpuId::new(index))
            .fold(VcpuSet::EMPTY, VcpuSet::with)
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
