//! RISC-V guests: SBI firmware, MMIO decoding, exceptions, boot.

mod emulate;
mod exception;
pub mod fdt;
pub mod hart;
pub mod loader;
pub mod sbi;
pub mod walk;

use crate::lifecycle::LifecycleEvent;
use crate::machine::{Boot, BootError};
use crate::once::Once;
use crate::{
    Absent, Effects, EndReason, Event, Exit, Failure, FenceKind, Lifecycle, Line, Machine,
    MemoryError, Metrics, Outcome, VcpuId, VcpuSet,
};
use abi::exit::ExitClass;
use abi::register::TIMER_DEADLINE;
use emulate::Fault;
use hart::{Hart, HartEvent};
use riscv_regs::Gpr;
use riscv_regs::Register;
use riscv_regs::one_reg::{CsrRegister, MODE_SUPERVISOR};
use riscv_regs::status::Sstatus;

/// What identifies the machine to its guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// mvendorid.
    pub vendor: u64,
    /// marchid.
    pub architecture: u64,
    /// mimpid.
    pub implementation: u64,
}

/// One VM. vCPU `i` is hart `i`.
#[derive(Clone, Debug)]
pub struct Riscv {
    pub(crate) harts: heapless::Vec<Hart, { crate::effects::MAX_VCPUS }>,
    pub(crate) memory: loader::Memory,
    pub(crate) identity: Identity,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) metrics: Metrics,
    pub(crate) reported: Once,
}

/// Why a handler stopped half-way; nothing has happened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A page is absent.
    Absent(u64),
    /// The kernel refused a register.
    Register(u64),
}

impl Riscv {
    /// Returns a VM with `harts` harts, none of which runs, and this memory; `None` where there
    /// are no harts or more than [`crate::effects::MAX_VCPUS`].
    #[must_use]
    pub fn new(harts: usize, memory: loader::Memory, identity: Identity) -> Option<Self> {
        let mut list = heapless::Vec::new();
        for _ in 0..harts {
            list.push(Hart::Stopped).ok()?;
        }
        (harts > 0).then(|| Self {
            harts: list,
            memory,
            identity,
            lifecycle: Lifecycle::Running,
            metrics: Metrics::default(),
            reported: Once::default(),
        })
    }

    /// Returns every vCPU of this VM.
    #[must_use]
    pub fn all(&self) -> VcpuSet {
        VcpuSet::first(self.harts.len())
    }

    /// Returns the state of a hart, or `None` where it does not exist.
    #[must_use]
    pub fn hart(&self, id: u64) -> Option<Hart> {
        let vcpu = usize::try_from(id).ok().and_then(VcpuId::new)?;
        self.hart_of(vcpu)
    }

    /// Returns the state of a vCPU's hart, or `None` where it does not exist.
    #[inline]
    fn hart_of(&self, vcpu: VcpuId) -> Option<Hart> {
        self.harts.get(vcpu.index()).copied()
    }

    /// Returns whether a vCPU's hart runs.
    #[inline]
    pub(crate) fn runs(&self, vcpu: VcpuId) -> bool {
        self.hart_of(vcpu).is_some_and(Hart::is_interruptible)
    }

    /// Returns those of some harts that run.
    pub(crate) fn running_of(&self, harts: VcpuSet) -> VcpuSet {
        let running = harts.iter().filter(|vcpu| self.runs(*vcpu));
        running.fold(VcpuSet::EMPTY, VcpuSet::with)
    }

    /// Moves a hart's state machine.
    pub(crate) fn step_hart(&mut self, vcpu: VcpuId, event: HartEvent) -> hart::HartAction {
        let Some(hart) = self.harts.get_mut(vcpu.index()) else {
            return hart::HartAction::None;
        };
        let (next, action) = hart.step(event);
        *hart = next;
        action
    }

    /// Moves the VM's life; where that ends or interrupts it, no hart runs any more: every vCPU is
    /// stopped but `caller`, whose exit is answered by [`Outcome::STOP`].
    #[cold]
    #[inline(never)]
    pub(crate) fn step_lifecycle<E: Effects>(
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
                self.step_hart(vcpu, HartEvent::Killed);
            }
        }
        if moved {
            effects.event(Event::Lifecycle(next));
        }
    }

    /// Sets the registers with which a hart starts (SBI 9.1): supervisor mode, no translation, no
    /// interrupts, the hart's id in a0 and `argument` in a1.
    pub(crate) fn prepare<E: Effects>(
        vcpu: VcpuId,
        entry: u64,
        argument: u64,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        Self::enter(vcpu, entry, effects)?;
        write(vcpu, Register::Csr(CsrRegister::Sie).id(), 0, effects)?;
        write(vcpu, TIMER_DEADLINE, u64::MAX, effects)?;
        effects.inject(vcpu, Line::Software, false);
        effects.inject(vcpu, Line::Timer, false);
        effects.set_general(vcpu, Gpr::A0.number(), vcpu.index() as u64);
        effects.set_general(vcpu, Gpr::A1.number(), argument);
        Ok(())
    }

    /// Lets a hart go on at `entry`, in supervisor mode, without translation or interrupts.
    pub(crate) fn enter<E: Effects>(
        vcpu: VcpuId,
        entry: u64,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let status = Sstatus::new().with_uxl(2).into_bits();
        for (register, value) in [
            (Register::ProgramCounter, entry),
            (Register::Mode, MODE_SUPERVISOR),
            (Register::Csr(CsrRegister::Sstatus), status),
            (Register::Csr(CsrRegister::Satp), 0),
        ] {
            write(vcpu, register.id(), value, effects)?;
        }
        Ok(())
    }

    /// Clears every register that a guest can have written, so that a boot does not tell whether
    /// there was one before.
    fn clear<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<(), Trouble> {
        use CsrRegister::{
            Satp, Scause, Scounteren, Senvcfg, Sepc, Sie, Sscratch, Sstatus, Stval, Stvec,
        };
        let csrs = [
            Sstatus, Sie, Stvec, Sscratch, Sepc, Scause, Stval, Satp, Scounteren, Senvcfg,
        ];
        let doubles = (0..32).map(Register::Double);
        let registers = csrs.into_iter().map(Register::Csr).chain(doubles);
        for register in registers.chain([Register::FloatControl]) {
            write(vcpu, register.id(), 0, effects)?;
        }
        write(vcpu, TIMER_DEADLINE, u64::MAX, effects)?;
        effects.inject(vcpu, Line::Software, false);
        effects.inject(vcpu, Line::Timer, false);
        for register in 1..32 {
            effects.set_general(vcpu, register, 0);
        }
        Ok(())
    }

    /// Sets the registers of all harts for a boot of the first one.
    fn prepare_boot<E: Effects>(&self, boot: Boot, effects: &mut E) -> Result<(), BootError> {
        let all = self.all();
        for vcpu in all.iter() {
            Self::clear(vcpu, effects).map_err(|trouble| boot_error(vcpu, trouble))?;
        }
        // Translations and instructions of what was in memory before.
        effects.fence(all, FenceKind::All);
        let first = VcpuId::FIRST;
        Self::prepare(first, boot.entry, boot.device_tree, effects)
            .map_err(|trouble| boot_error(first, trouble))
    }

    /// Handles an exit whose vCPU runs in a VM that runs.
    #[inline]
    fn dispatch<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        exit: Exit,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let [program_counter, first, ..] = exit.words;
        match exit.class {
            ExitClass::Hypercall => self.call(vcpu, effects),
            ExitClass::Instruction => self.instruction(vcpu, program_counter, first, effects),
            ExitClass::Device => self.device(vcpu, Fault::decode(exit.words), effects),
            ExitClass::Unclaimed => self.unclaimed(vcpu, Fault::decode(exit.words), effects),
            // Absent memory is the memory server's; declined, the access is not claimed at all.
            ExitClass::Memory => Ok(Outcome::DECLINE),
            ExitClass::Window => {
                // RISC-V delivers interrupts by itself; there is nothing to do here.
                effects.event(Event::UnexpectedExit {
                    vcpu,
                    class: exit.class,
                });
                Ok(Outcome::RESUME)
            }
            ExitClass::Other => {
                let class = exit.class;
                let failure = Failure::UnknownExit {
                    vcpu,
                    class,
                    cause: first,
                    program_counter,
                };
                self.step_lifecycle(Some(vcpu), LifecycleEvent::Fail(failure), effects);
                Ok(Outcome::STOP)
            }
        }
    }
}

impl Machine for Riscv {
    #[inline]
    fn exit<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        exit: Exit,
        effects: &mut E,
    ) -> Result<Outcome, Absent> {
        self.metrics.count(exit.class);
        if self.hart_of(vcpu) != Some(Hart::Started) {
            self.step_hart(vcpu, HartEvent::Running);
        }
        if self.lifecycle != Lifecycle::Running {
            self.step_hart(vcpu, HartEvent::Killed);
            return Ok(Outcome::STOP);
        }
        match self.dispatch(vcpu, exit, effects) {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Absent(address)) => {
                self.metrics.waits += 1;
                Err(Absent { address })
            }
            Err(Trouble::Register(id)) => {
                let failure = Failure::Register { vcpu, id };
                self.step_lifecycle(Some(vcpu), LifecycleEvent::Fail(failure), effects);
                Ok(Outcome::STOP)
            }
        }
    }

    fn parked(&mut self, vcpu: VcpuId) {
        self.step_hart(vcpu, HartEvent::Parked);
    }

    fn started(&mut self, vcpu: VcpuId) {
        self.step_hart(vcpu, HartEvent::Running);
    }

    fn boot<E: Effects>(&mut self, boot: Boot, effects: &mut E) -> Result<VcpuId, BootError> {
        for hart in &mut self.harts {
            *hart = Hart::Stopped;
        }
        let first = VcpuId::FIRST;
        self.prepare_boot(boot, effects)?;
        self.step_hart(first, HartEvent::StartRequest);
        self.step_lifecycle(None, LifecycleEvent::Reloaded, effects);
        Ok(first)
    }

    fn end<E: Effects>(&mut self, reason: EndReason, effects: &mut E) {
        self.step_lifecycle(None, LifecycleEvent::PowerOff(reason), effects);
    }

    fn lifecycle(&self) -> Lifecycle {
        self.lifecycle
    }

    fn running(&self) -> VcpuSet {
        self.running_of(self.all())
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// Returns why a hart cannot boot.
const fn boot_error(vcpu: VcpuId, trouble: Trouble) -> BootError {
    let (Trouble::Register(id) | Trouble::Absent(id)) = trouble;
    BootError { vcpu, id }
}

/// Reads a register that every vCPU has.
pub(crate) fn read<E: Effects>(vcpu: VcpuId, id: u64, effects: &mut E) -> Result<u64, Trouble> {
    effects
        .read_register(vcpu, id)
        .map_err(|_| Trouble::Register(id))
}

/// Writes a register that every vCPU has.
pub(crate) fn write<E: Effects>(
    vcpu: VcpuId,
    id: u64,
    value: u64,
    effects: &mut E,
) -> Result<(), Trouble> {
    effects
        .write_register(vcpu, id, value)
        .map_err(|_| Trouble::Register(id))
}

/// Returns whether a copy failed for absence, and where.
pub(crate) const fn absence(error: MemoryError) -> Option<u64> {
    match error {
        MemoryError::Absent { address } => Some(address),
        MemoryError::Outside => None,
    }
}
