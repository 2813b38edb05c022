//! s390x guests: calls of the hypervisor and of the service processor, orders between CPUs,
//! interruptions, boot.

mod control;
pub mod cpu;
pub mod diagnose;
mod instruction;
pub mod loader;
mod operand;
pub mod program;
mod sclp;
pub mod sigp;
pub mod text;
mod walk;

use crate::lifecycle::LifecycleEvent;
use crate::machine::{Boot, BootError};
use crate::once::Once;
use crate::{
    Absent, Effects, EndReason, Event, Exit, Failure, FenceKind, Lifecycle, Machine, Metrics,
    Outcome, VcpuId, VcpuSet,
};
use abi::exit::{ExitClass, RouteKey};
use cpu::Cpu;
use irq_api::floating::{Act, Masks, Open};
use program::{Exception, GuestEvent, interrupt};
use s390_regs::one_reg::Register;
use s390_regs::{PswMask, lowcore};
use text::{Instruction, Text};

/// Code of an exit of class `Other`: a wait (SIE, interception codes).
const WAIT: u64 = 28;
/// Address of the disabled wait by which a guest ends well.
const ENDED_WELL: u64 = 0xfff;
/// Control registers that mask interruptions, as bits of the loads to be watched: 0, 6 and 14.
const MASK_LOADS: u64 = 0x8000 | 0x0200 | 0x0002;
/// Control register 0 after a reset.
const RESET_CONTROL_0: u64 = 0xe0;
/// Control register 14 after a reset.
const RESET_CONTROL_14: u64 = 0xc200_0000;

/// One VM. vCPU `i` has CPU address `i`.
#[derive(Clone, Debug)]
pub struct S390 {
    cpus: heapless::Vec<Cpu, { crate::effects::MAX_VCPUS }>,
    /// Bytes of storage, from 0 on.
    memory: u64,
    service: sclp::Service,
    lifecycle: Lifecycle,
    metrics: Metrics,
    reported: Once,
}

/// Why a handler stopped half-way; nothing has happened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A page is absent.
    Absent(u64),
    /// The kernel refused a register.
    Register(u64),
    /// The guest made a program exception.
    Program {
        /// Which.
        exception: Exception,
        /// Its identification; 0 where it has none.
        identification: u64,
    },
}

impl From<Exception> for Trouble {
    fn from(exception: Exception) -> Self {
        Self::Program {
            exception,
            identification: 0,
        }
    }
}

impl S390 {
    /// Returns a VM with this many CPUs, none of which runs, and bytes of storage; `None` where there
    /// are no CPUs or too many, or no room for their prefix areas.
    #[must_use]
    pub fn new(cpus: usize, memory: u64) -> Option<Self> {
        let mut list = heapless::Vec::new();
        list.resize(cpus, Cpu::Stopped).ok()?;
        (cpus > 0 && memory >= 1 << 20).then(|| Self {
            cpus: list,
            memory,
            service: sclp::Service::default(),
            lifecycle: Lifecycle::Running,
            metrics: Metrics::default(),
            reported: Once::default(),
        })
    }

    /// Returns the state of a CPU.
    #[must_use]
    pub fn state(&self, vcpu: VcpuId) -> Cpu {
        self.cpus.get(vcpu.index()).copied().unwrap_or_default()
    }

    /// Sets the state of a CPU.
    fn set_state(&mut self, vcpu: VcpuId, state: Cpu) {
        if let Some(cpu) = self.cpus.get_mut(vcpu.index()) {
            *cpu = state;
        }
    }

    /// Returns the CPUs that execute or wait for something.
    fn operating(&self) -> VcpuSet {
        let all = VcpuSet::first(self.cpus.len());
        all.iter()
            .filter(|vcpu| self.state(*vcpu) == Cpu::Operating)
            .fold(VcpuSet::EMPTY, VcpuSet::with)
    }

    /// Returns whether a prefix area can lie there.
    const fn has_prefix_area(&self, prefix: u64) -> bool {
        prefix + lowcore::BYTES <= self.memory
    }

    /// Moves the VM's life; where that ends or interrupts it, stops every vCPU but `caller`.
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
            for vcpu in self.operating().iter() {
                if Some(vcpu) != caller {
                    effects.stop(vcpu);
                }
                self.set_state(vcpu, Cpu::Stopped);
            }
        }
        if moved {
            effects.event(Event::Lifecycle(next));
        }
    }

    /// Resets a CPU that is stopped (PoP chapter 4, "Resets"); `is_initial` clears its PSW, prefix,
    /// control registers and timers too. What is pending for it is the interrupt server's to forget.
    fn reset_cpu<E: Effects>(
        vcpu: VcpuId,
        is_initial: bool,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        watch_masks(vcpu, false, effects)?;
        if !is_initial {
            return Ok(());
        }
        for register in [
            Register::PswMask,
            Register::PswAddress,
            Register::Prefix,
            Register::CpuTimer,
            Register::FloatControl,
            Register::TodProgrammable,
        ] {
            write(vcpu, register, 0, effects)?;
        }
        write(vcpu, Register::ClockComparator, u64::MAX, effects)?;
        for number in 0..16 {
            let value = match number {
                0 => RESET_CONTROL_0,
                14 => RESET_CONTROL_14,
                _ => 0,
            };
            write(vcpu, Register::Control(number), value, effects)?;
        }
        Ok(())
    }

    /// Clears all registers of all CPUs and sets those of the first for a boot.
    fn prepare_boot<E: Effects>(&self, boot: Boot, effects: &mut E) -> Result<(), BootError> {
        let all = VcpuSet::first(self.cpus.len());
        for vcpu in all.iter() {
            let cleared = Self::reset_cpu(vcpu, true, effects);
            cleared
                .and_then(|()| clear(vcpu, effects))
                .map_err(|trouble| boot_error(vcpu, trouble))?;
        }
        effects.fence(all, FenceKind::All);
        let first = VcpuId::FIRST;
        let mask = PswMask::BITS_64.into_bits();
        write(first, Register::PswMask, mask, effects)
            .and_then(|()| write(first, Register::PswAddress, boot.entry, effects))
            .map_err(|trouble| boot_error(first, trouble))
    }

    /// Handles an exit of a VM that runs.
    #[inline]
    fn dispatch<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        exit: Exit,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let [at, first, second, _, key, _] = exit.words;
        let psw = PswMask::from_bits(second);
        match exit.class {
            ExitClass::Hypercall => self.call(vcpu, (at, first, psw), effects),
            ExitClass::Instruction => self.instruction(vcpu, (at, first, psw), effects),
            ExitClass::Window => Self::window(vcpu, effects),
            ExitClass::Device | ExitClass::Unclaimed if key == RouteKey::Subchannel.number() => {
                self.nobody(vcpu, first, effects)
            }
            ExitClass::Device | ExitClass::Unclaimed => self.nothing(vcpu, (at, first), effects),
            // Absent memory is the memory server's; declined, the access is not claimed at all.
            ExitClass::Memory => Ok(Outcome::DECLINE),
            ExitClass::Other if first == WAIT => Ok(self.wait_for_ever(vcpu, at, effects)),
            ExitClass::Other => {
                let failure = Failure::UnknownExit {
                    vcpu,
                    class: exit.class,
                    cause: first,
                    program_counter: at,
                };
                self.step_lifecycle(Some(vcpu), LifecycleEvent::Fail(failure), effects);
                Ok(Outcome::STOP)
            }
        }
    }

    /// Handles a DIAGNOSE; the program counter is behind it.
    #[inline]
    fn call<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (behind, bits, psw): (u64, u64, PswMask),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let handled = self.diagnose_text(vcpu, (bits, psw), effects);
        match handled {
            Err(Trouble::Program {
                exception,
                identification,
            }) => {
                if exception.nullifies() {
                    write(vcpu, Register::PswAddress, behind.wrapping_sub(4), effects)?;
                }
                self.except(vcpu, (exception, identification, 4), effects)
            }
            other => other,
        }
    }

    /// Performs the DIAGNOSE that the guest was left behind.
    #[inline]
    fn diagnose_text<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (bits, psw): (u64, PswMask),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        if psw.problem() {
            return Err(Exception::PrivilegedOperation.into());
        }
        let Instruction::Diagnose { r1, r3, code } = Text::from_bits(bits).decode() else {
            return Err(Exception::Operation.into());
        };
        let code = operand::effective(vcpu, (code, psw), effects);
        self.diagnose(vcpu, (r1, r3, code), effects)
    }

    /// The vCPU can take an interruption.
    #[inline(never)]
    fn window<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<Outcome, Trouble> {
        let psw = operand::psw(vcpu, effects)?;
        let open = Open {
            external: psw.external(),
            input_output: psw.input_output(),
            machine_check: psw.machine_check(),
            masks: masks(vcpu, effects)?,
        };
        // Where the interruption will be stored: absent, nothing is taken.
        let prefix = read(vcpu, Register::Prefix, effects)?;
        operand::read_absolute(prefix, &mut [0; 8], effects)?;
        let cpu = vcpu.index() as u8;
        let answer = effects.interruption(vcpu, Act::Take { cpu, open });
        watch_masks(vcpu, answer.watch, effects)?;
        if let Some(interruption) = answer.taken {
            interrupt(vcpu, GuestEvent::Pending(interruption), effects)?;
        }
        Ok(Outcome::RESUME)
    }

    /// A device access by DIAGNOSE that no device serves.
    #[inline(never)]
    fn nobody<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        address: u64,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        if address >> 32 == 0 {
            let answer = diagnose::NO_DEVICE.cast_unsigned();
            effects.set_general(vcpu, 2, answer);
            return Ok(Outcome::RESUME);
        }
        self.except(vcpu, (Exception::Specification, 0, 4), effects)
    }

    /// An access to storage that there is not.
    #[inline(never)]
    fn nothing<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (at, address): (u64, u64),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        if self.reported.is_new(address) {
            effects.event(Event::Unclaimed {
                vcpu,
                address,
                program_counter: at,
            });
        }
        let mut bytes = [0; 6];
        let first = bytes.get_mut(..1).unwrap_or_default();
        let length = match operand::load(vcpu, at, first, effects) {
            Ok(()) => Text::from_bytes(bytes).length(),
            Err(Trouble::Program { .. }) => 0,
            Err(trouble) => return Err(trouble),
        };
        let psw = operand::psw(vcpu, effects)?;
        let behind = operand::wrap(at.wrapping_add(length), psw);
        write(vcpu, Register::PswAddress, behind, effects)?;
        self.except(vcpu, (Exception::Addressing, 0, length), effects)
    }

    /// Interrupts a vCPU with a program exception; its program counter is where the old PSW has it.
    #[inline(never)]
    fn except<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (exception, identification, length): (Exception, u64, u64),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let event = GuestEvent::Program {
            exception,
            length,
            identification,
        };
        interrupt(vcpu, event, effects)?;
        self.metrics.exceptions += 1;
        Ok(Outcome::RESUME)
    }

    /// A CPU waits and is closed to all interruptions.
    #[inline(never)]
    fn wait_for_ever<E: Effects>(&mut self, vcpu: VcpuId, at: u64, effects: &mut E) -> Outcome {
        self.set_state(vcpu, Cpu::Waiting);
        let reason = if at == ENDED_WELL {
            EndReason::None
        } else {
            EndReason::SystemFailure
        };
        self.end_where_nothing_runs(vcpu, reason, effects);
        Outcome::STOP
    }

    /// Ends the guest where no CPU is left that executes anything.
    fn end_where_nothing_runs<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        reason: EndReason,
        effects: &mut E,
    ) {
        if self.operating().is_empty() {
            let event = LifecycleEvent::PowerOff(reason);
            self.step_lifecycle(Some(vcpu), event, effects);
        }
    }
}

impl Machine for S390 {
    #[inline]
    fn exit<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        exit: Exit,
        effects: &mut E,
    ) -> Result<Outcome, Absent> {
        self.metrics.count(exit.class);
        if self.lifecycle != Lifecycle::Running {
            self.set_state(vcpu, Cpu::Stopped);
            return Ok(Outcome::STOP);
        }
        match self.dispatch(vcpu, exit, effects) {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Absent(address)) => {
                self.metrics.waits += 1;
                Err(Absent { address })
            }
            // A new PSW that is not valid, or a prefix area that is not there: nothing can be
            // stored any more.
            Err(Trouble::Program { .. }) => {
                let event = LifecycleEvent::PowerOff(EndReason::SystemFailure);
                self.step_lifecycle(Some(vcpu), event, effects);
                Ok(Outcome::STOP)
            }
            Err(Trouble::Register(id)) => {
                let failure = Failure::Register { vcpu, id };
                self.step_lifecycle(Some(vcpu), LifecycleEvent::Fail(failure), effects);
                Ok(Outcome::STOP)
            }
        }
    }

    fn parked(&mut self, vcpu: VcpuId) {
        if self.state(vcpu) == Cpu::Stopping {
            self.set_state(vcpu, Cpu::Stopped);
        }
    }

    fn started(&mut self, vcpu: VcpuId) {
        self.set_state(vcpu, Cpu::Operating);
    }

    fn boot<E: Effects>(&mut self, boot: Boot, effects: &mut E) -> Result<VcpuId, BootError> {
        self.cpus.iter_mut().for_each(|cpu| *cpu = Cpu::Stopped);
        self.service = sclp::Service::default();
        self.prepare_boot(boot, effects)?;
        self.set_state(VcpuId::FIRST, Cpu::Operating);
        self.step_lifecycle(None, LifecycleEvent::Reloaded, effects);
        Ok(VcpuId::FIRST)
    }

    fn end<E: Effects>(&mut self, reason: EndReason, effects: &mut E) {
        self.step_lifecycle(None, LifecycleEvent::PowerOff(reason), effects);
    }

    fn lifecycle(&self) -> Lifecycle {
        self.lifecycle
    }

    fn running(&self) -> VcpuSet {
        self.operating()
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// Returns the masks of a CPU's interruptions.
fn masks<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<Masks, Trouble> {
    Ok(Masks {
        external: read(vcpu, Register::Control(0), effects)?,
        input_output: read(vcpu, Register::Control(6), effects)?,
        machine_check: read(vcpu, Register::Control(14), effects)?,
    })
}

/// Lets loads of the masks of interruptions leave the guest, or not.
fn watch_masks<E: Effects>(vcpu: VcpuId, watch: bool, effects: &mut E) -> Result<(), Trouble> {
    let loads = if watch { MASK_LOADS } else { 0 };
    write(vcpu, Register::ControlLoads, loads, effects)
}

/// Clears what a clearing reset clears of a CPU beside what an initial one does.
fn clear<E: Effects>(vcpu: VcpuId, effects: &mut E) -> Result<(), Trouble> {
    write(vcpu, Register::Epoch, 0, effects)?;
    for number in 0..16 {
        effects.set_general(vcpu, number, 0);
        write(vcpu, Register::Access(number), 0, effects)?;
        write(vcpu, Register::Float(number), 0, effects)?;
    }
    Ok(())
}

/// Returns why a CPU cannot boot.
const fn boot_error(vcpu: VcpuId, trouble: Trouble) -> BootError {
    let id = match trouble {
        Trouble::Register(id) | Trouble::Absent(id) => id,
        Trouble::Program { exception, .. } => exception as u64,
    };
    BootError { vcpu, id }
}

/// Reads a register that every vCPU has.
fn read<E: Effects>(vcpu: VcpuId, register: Register, effects: &mut E) -> Result<u64, Trouble> {
    let id = register.id();
    effects
        .read_register(vcpu, id)
        .map_err(|_| Trouble::Register(id))
}

/// Writes a register that every vCPU has.
fn write<E: Effects>(
    vcpu: VcpuId,
    register: Register,
    value: u64,
    effects: &mut E,
) -> Result<(), Trouble> {
    let id = register.id();
    effects
        .write_register(vcpu, id, value)
        .map_err(|_| Trouble::Register(id))
}
