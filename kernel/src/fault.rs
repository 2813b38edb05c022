//! Faults of threads: messages to their handlers.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::slot::{Role, Slot};
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

    /// Returns whether a thread is where its faults resume elsewhere.
    #[inline(always)]
    pub(crate) fn is_in_recovery(&self, thread: &Thread<A>) -> bool {
        let range = thread.recovery_start.get()..thread.recovery_end.get();
        range.contains(&thread.frame.program_counter())
    }

    /// Lets a fault inside the recovery range resume at its target.
    fn recover(&self, thread: &Thread<A>) -> bool {
        let register = ThreadRegister::ProgramCounter.number();
        let target = thread.recovery_target.get();
        self.is_in_recovery(thread) && thread.frame.set_register(register, target).is_some()
    }

    /// Tells the fault handler of a server that used up its client's budget and its grace.
    pub(crate) fn timeout_fault(&self, item: ExecutionRef) {
        if !self.execution(item).is_vcpu() && self.fault_handler(self.thread(item)).is_some() {
            self.send_fault(item, FaultKind::Timeout, [0, 0]);
        }
    }

    /// Returns the slot with the endpoint of a thread's faults.
    #[inline(always)]
    pub(crate) fn fault_handler<'e>(&self, thread: &'e Thread<A>) -> Option<&'e Slot> {
        let slot = thread.slot(Role::FaultHandler)?;
        (slot.own_tag().kind() == ObjectKind::Endpoint as u8).then_some(slot)
    }

    /// Stops a thread and brings its fault to its handler, if it has one.
    fn send_fault(&self, item: ExecutionRef, kind: FaultKind, details: [u64; 2]) {
        let thread = self.thread(item);
        let execution = thread.execution();
        Self::make_fault(thread, kind, details);
        let slot = self.fault_handler(thread);
        match slot.and_then(|slot| Some((slot, Handle::from_address(slot.object.get())?))) {
            Some((slot, handler)) => {
                execution.raise(flag::KERNEL_MESSAGE);
                execution.badge.set(slot.badge.get());
                self.send_call(item, handler);
            }
            None => execution.set_state(State::Stopped),
        }
    }

    /// Makes the message of a fault; returns its words and its information word.
    #[inline(always)]
    pub(crate) fn make_fault(
        thread: &Thread<A>,
        kind: FaultKind,
        [address, cause]: [u64; 2],
    ) -> ([u64; 6], u64) {
        let execution = thread.execution();
        execution.raise(flag::FAULTED);
        let values = [thread.frame.program_counter(), address, cause, 0, 0, 0];
        execution.set_words(values);
        let info = MessageInfo::new()
            .with_words(3)
            .with_kind(DeliveryKind::Fault as u8)
            .with_label(kind as u16);
        let info = u64::from(info.into_bits());
        execution.info.set(info);
        (values, info)
    }
}
