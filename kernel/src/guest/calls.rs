//! Calls on vCPUs that touch a running one: they are made on its core.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::call::thread::execution_of;
use crate::cap::right::CONTROL;
use crate::cap::table::Resolved;
use crate::object::execution::{ExecutionRef, State};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::call::CallNumber;
use abi::exit::{EXIT_CLASSES, ExitClass};
use abi::{Error, register};

impl<A: Arch> Visit<'_, A> {
    /// Makes a call on a vCPU, on the vCPU's core.
    pub(crate) fn vcpu_call(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
        number: CallNumber,
    ) -> Result<Outcome, Error> {
        let target = self.resolve_at::<Vcpu<A>>(thread, CONTROL)?;
        if self.is_shipped(caller, &target.object.execution().core) {
            return Ok(Outcome::Waiting);
        }
        let item = execution_of(target.handle);
        let (first, second) = (thread.frame.argument(1), thread.frame.argument(2));
        match number {
            CallNumber::VcpuRead => self.vcpu_read(item, first).map(Outcome::value),
            CallNumber::VcpuWrite => self.vcpu_write(item, first, second),
            CallNumber::VcpuResume => self.vcpu_resume(target),
            CallNumber::VcpuStop => {
                // An exit that is being answered stays pending.
                self.stop(item);
                Ok(Outcome::ok())
            }
            _ => {
                if first >= abi::PRIORITIES as u64 {
                    return Err(Error::OutOfRange);
                }
                self.set_priority(item, first);
                Ok(Outcome::ok())
            }
        }
    }

    /// Reads a register of a vCPU that does not run.
    pub(crate) fn vcpu_read(&self, item: ExecutionRef, id: u64) -> Result<u64, Error> {
        let vcpu = self.vcpu(item);
        if let Some(fact) = Self::fact(vcpu, id) {
            return Ok(fact);
        }
        if !Self::vcpu_is_still(vcpu.execution()) {
            return Err(Error::WrongState);
        }
        let loaded = self.is_loaded(item);
        self.arch
            .guest_read(&vcpu.guest, loaded, self.registers(vcpu), id)
    }

    /// Returns what the kernel itself knows of a vCPU, running or not.
    fn fact(vcpu: &Vcpu<A>, id: u64) -> Option<u64> {
        let [interrupts, idle, floating_point] = &vcpu.counts;
        let execution = vcpu.execution();
        match id {
            register::PENDING_EXIT => {
                return Some(vcpu.exit_pending.get() * execution.sequence.get());
            }
            register::SEQUENCE => return Some(execution.sequence.get()),
            register::IS_IDLE => return Some((execution.state() == State::Idle).into()),
            register::COUNT_INTERRUPTS => return Some(interrupts.get()),
            register::COUNT_IDLE => return Some(idle.get()),
            register::COUNT_FLOATING_POINT => return Some(floating_point.get()),
            register::COUNT_ACCESS => return Some(vcpu.access_count.get()),
            _ => {}
        }
        let class = usize::try_from(id.checked_sub(register::COUNT_CLASS)?).ok()?;
        Some(vcpu.class_counts.get(class)?.get())
    }

    /// Writes a register of a vCPU that does not run.
    pub(crate) fn vcpu_write(
        &self,
        item: ExecutionRef,
        id: u64,
        value: u64,
    ) -> Result<Outcome, Error> {
        let vcpu = self.vcpu(item);
        if !Self::vcpu_is_still(vcpu.execution()) {
            return Err(Error::WrongState);
        }
        if id == register::PENDING_EXIT {
            return Self::give_up_exit(vcpu, value);
        }
        let loaded = self.is_loaded(item);
        let registers = self.registers(vcpu);
        self.arch
            .guest_write(&vcpu.guest, loaded, registers, (id, value))?;
        Ok(Outcome::ok())
    }

    /// Forgets the pending exit of a stopped vCPU, the access of it too: nothing of it is added to
    /// the registers that the vCPU is given next.
    fn give_up_exit(vcpu: &Vcpu<A>, value: u64) -> Result<Outcome, Error> {
        let execution = vcpu.execution();
        if !matches!(execution.state(), State::Stopped | State::Unrouted) {
            return Err(Error::WrongState);
        }
        if value != 0 {
            return Err(Error::BadRegisterValue);
        }
        vcpu.exit_pending.set(0);
        vcpu.access.set(0);
        execution.set_state(State::Stopped);
        Ok(Outcome::ok())
    }

    /// Lets a stopped vCPU run; a pending exit is delivered first.
    fn vcpu_resume(&self, target: Resolved<'_, Vcpu<A>>) -> Result<Outcome, Error> {
        let execution = target.object.execution();
        if !matches!(execution.state(), State::Stopped | State::Unrouted) {
            return Err(Error::WrongState);
        }
        let item = execution_of(target.handle);
        if !self.has_guest_space(item) || execution.budget.get().is_none() {
            return Err(Error::NotConfigured);
        }
        if target.object.exit_pending.get() != 0 {
            self.send_exit_again(item);
        } else {
            self.make_ready(item);
        }
        Ok(Outcome::ok())
    }
}

const _: () = assert!(EXIT_CLASSES == ExitClass::ALL.len());
