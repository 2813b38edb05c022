//! Faults of threads: messages to their handlers.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::slot::Role;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::thread::Thread;
use abi::call::ThreadRegister;
use abi::fault::FaultKind;
use abi::{DeliveryKind, MessageInfo, ObjectKind};
use arena::Handle;

impl<A: Arch> Visit<'_, A> {
    /// Handles a fault of the current thread.
    pub(crate) fn thread_fault(&self, kind: FaultKind, address: u64, cause: u64) {
        let Some(current) = self.core.current.get() else {
            return;
        };
        let thread = self.thread(current);
        if !self.is_spurious(thread, kind, address) && !self.recover(thread) {
            self.send_fault(current, kind, [address, cause]);
        }
    }

    /// Lets a fault inside the recovery range resume at its target.
    fn recover(&self, thread: &Thread<A>) -> bool {
        let register = ThreadRegister::ProgramCounter.number();
        let program_counter = thread.frame.register(register).unwrap_or(0);
        let range = thread.recovery_start.get()..thread.recovery_end.get();
        range.contains(&program_counter)
            && thread
                .frame
                .set_register(register, thread.recovery_target.get())
                .is_some()
    }

    /// Tells the fault handler of a server that used up its client's budget and its grace.
    pub(crate) fn timeout_fault(&self, item: ExecutionRef) {
        if !self.execution(item).is_vcpu() && self.fault_handler(item).is_some() {
            self.send_fault(item, FaultKind::Timeout, [0, 0]);
        }
    }

    /// Returns the endpoint of a thread's faults, and its badge.
    fn fault_handler(&self, item: ExecutionRef) -> Option<(Handle<Endpoint>, u64)> {
        let slot = self.thread(item).slot(Role::FaultHandler)?;
        (slot.tag().object_kind() == Some(ObjectKind::Endpoint)).then_some(())?;
        Some((Handle::from_address(slot.object.get())?, slot.badge.get()))
    }

    /// Stops a thread and brings its fault to its handler, if it has one.
    fn send_fault(&self, item: ExecutionRef, kind: FaultKind, [address, cause]: [u64; 2]) {
        let thread = self.thread(item);
        let execution = thread.execution();
        execution.raise(flag::FAULTED);
        let program_counter = thread
            .frame
            .register(ThreadRegister::ProgramCounter.number());
        let values = [program_counter.unwrap_or(0), address, cause, 0, 0, 0];
        for (word, value) in execution.words.iter().zip(values) {
            word.set(value);
        }
        let info = MessageInfo::new()
            .with_words(3)
            .with_kind(DeliveryKind::Fault as u8);
        let label = u16::try_from(kind.number()).unwrap_or(0);
        execution
            .info
            .set(u64::from(info.with_label(label).into_bits()));
        match self.fault_handler(item) {
            Some((handler, badge)) => {
                execution.raise(flag::KERNEL_MESSAGE);
                execution.badge.set(badge);
                self.send_call(item, handler);
            }
            None => execution.set_state(State::Stopped),
        }
    }
}
