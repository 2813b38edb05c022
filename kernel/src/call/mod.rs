//! System calls: decoded, checked, then done; after the first effect nothing fails.

mod capability;
mod device;
pub(crate) mod thread;

use crate::Kernel;
use crate::arch::{Arch, UserFrame};
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::thread::Thread;
use abi::{CallNumber, CallWord, Error};
use arena::Entry;

/// How a system call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, with these results.
    Done([u64; 5]),
    /// The thread waits, has its results already, or makes the call again later.
    Waiting,
}

impl Outcome {
    /// Returns the outcome of a call without results.
    #[must_use]
    pub const fn ok() -> Self {
        Self::Done([0; 5])
    }

    /// Returns the outcome of a call with one result.
    #[must_use]
    pub const fn value(value: u64) -> Self {
        Self::Done([value, 0, 0, 0, 0])
    }
}

impl<A: Arch> Kernel<A> {
    /// Handles a system call of the current thread.
    pub(crate) fn system_call(&self, entry: &Entry<'_>) {
        let Some(current) = self.core(entry).current.get() else {
            return;
        };
        let thread = self.thread(entry, current);
        let result = self.act(entry, current, thread);
        self.conclude(thread, result);
    }

    /// Writes the results of a call that is done into the caller's registers.
    fn conclude(&self, thread: &Thread<A>, result: Result<Outcome, Error>) {
        match result {
            Ok(Outcome::Waiting) => {}
            Ok(Outcome::Done(values)) => {
                thread.frame.complete();
                for (index, value) in values.into_iter().enumerate() {
                    thread.frame.set_result(index + 1, value);
                }
            }
            Err(error) => {
                thread.frame.complete();
                thread.frame.set_result(0, error.number());
            }
        }
    }

    /// Makes a call that was sent here by another core, then sends the caller home.
    pub(crate) fn remote_call(&self, entry: &Entry<'_>, caller: ExecutionRef) {
        let thread = self.thread(entry, caller);
        let result = self.act(entry, caller, thread);
        self.conclude(thread, result);
        if !matches!(result, Ok(Outcome::Waiting)) {
            self.send_home(entry, caller);
        }
    }

    /// Does what the registers of `thread` ask for.
    fn act(
        &self,
        entry: &Entry<'_>,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let number = CallWord::from_bits(thread.frame.call_word()).number();
        let number = CallNumber::from_number(u64::from(number)).ok_or(Error::UnknownCall)?;
        match number {
            CallNumber::Identify => self.identify(entry, thread),
            CallNumber::Call => self.call(entry, caller, thread),
            CallNumber::Receive => self.receive(entry, caller, thread),
            CallNumber::ReplyReceive => self.reply_receive(entry, caller, thread),
            CallNumber::Reply => self.reply(entry, caller, thread),
            CallNumber::SaveReply => self.save_reply(entry, caller, thread),
            CallNumber::ReplyTo => self.reply_to(entry, caller, thread),
            CallNumber::Signal => self.signal(entry, thread),
            CallNumber::Wait => self.wait(entry, caller, thread),
            CallNumber::Yield => {
                self.yield_current(entry);
                Ok(Outcome::ok())
            }
            CallNumber::ThreadStart
            | CallNumber::ThreadStop
            | CallNumber::ThreadResume
            | CallNumber::ThreadPriority
            | CallNumber::ThreadRecovery
            | CallNumber::ThreadRead
            | CallNumber::ThreadWrite => self.thread_call(entry, caller, thread, number),
            CallNumber::BudgetConfigure => self.budget_configure(entry, caller, thread),
            CallNumber::InterruptAcknowledge => self.interrupt_acknowledge(entry, thread),
            CallNumber::FirmwareCall => self.firmware_call(entry, thread),
            CallNumber::PortRead => self.port(entry, thread, false),
            CallNumber::PortWrite => self.port(entry, thread, true),
            CallNumber::VcpuRead
            | CallNumber::VcpuWrite
            | CallNumber::VcpuResume
            | CallNumber::VcpuStop
            | CallNumber::VcpuPriority => self.vcpu_call(entry, caller, thread, number),
            CallNumber::Inject => self.inject_call(entry, thread),
            CallNumber::Fence => self.fence(entry, caller, thread),
            _ => self.act_locked(entry, caller, thread, number),
        }
    }

    /// Does what needs the capability lock.
    fn act_locked(
        &self,
        entry: &Entry<'_>,
        caller: ExecutionRef,
        thread: &Thread<A>,
        number: CallNumber,
    ) -> Result<Outcome, Error> {
        if !self.lock_for(entry, caller) {
            return Ok(Outcome::Waiting);
        }
        let result = match number {
            CallNumber::Retype => self.retype(entry, caller, thread),
            CallNumber::Copy => self.copy(entry, thread),
            CallNumber::Mint => self.mint(entry, thread),
            CallNumber::Move => self.move_cap(entry, caller, thread),
            CallNumber::Delete => self.delete(entry, caller, thread, true),
            CallNumber::Revoke => self.delete(entry, caller, thread, false),
            CallNumber::Split => self.split(entry, thread),
            CallNumber::Fund => self.fund(entry, thread),
            CallNumber::Map => self.map(entry, thread),
            CallNumber::Unmap => self.unmap(entry, caller, thread),
            CallNumber::Protect => self.protect(entry, caller, thread),
            CallNumber::ThreadBind => self.thread_bind(entry, caller, thread),
            CallNumber::InterruptTake => self.interrupt_take(entry, thread),
            CallNumber::InterruptBind => self.interrupt_bind(entry, caller, thread),
            CallNumber::VcpuBind => self.vcpu_bind(entry, caller, thread),
            CallNumber::VcpuExitRoute => self.vcpu_route(entry, caller, thread, true),
            CallNumber::VcpuDeviceRoute => self.vcpu_route(entry, caller, thread, false),
            CallNumber::AddRoute => self.add_route(entry, thread),
            _ => Err(Error::UnknownCall),
        };
        if !self.round.keeps_lock() {
            self.unlock(entry);
        }
        result
    }

    /// Takes the capability lock for a caller, or lets the caller wait for it.
    pub(crate) fn lock_for(&self, entry: &Entry<'_>, caller: ExecutionRef) -> bool {
        if self.lock.acquire(entry.core()) {
            return true;
        }
        let execution = self.execution(entry, caller);
        if execution.core_index() != entry.core() {
            self.send_home(entry, caller);
            return false;
        }
        execution.set_state(State::AwaitingLock);
        self.push_last(entry, &self.core(entry).lock_waiters, caller);
        false
    }

    /// Releases the capability lock and lets those who waited for it try again.
    pub(crate) fn unlock(&self, entry: &Entry<'_>) {
        let mut waiting = self.lock.release();
        if waiting >> entry.core() & 1 == 1 {
            waiting &= !(1 << entry.core());
            self.wake_lock_waiters(entry);
        }
        let mut rest = waiting;
        while rest != 0 {
            let core = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let released = self.core_at(core).inbox.lock_released.shared();
            released.store(1, core::sync::atomic::Ordering::Release);
        }
        if waiting != 0 {
            self.arch.send_ipi(waiting);
        }
    }

    /// Lets every thread of this core that waits for the lock make its call again.
    pub(crate) fn wake_lock_waiters(&self, entry: &Entry<'_>) {
        while let Some(waiter) = self.pop(entry, &self.core(entry).lock_waiters) {
            self.make_ready(entry, waiter);
        }
    }

    /// Ends the parked call of a thread of this core, which runs again or stops.
    pub(crate) fn unpark(&self, entry: &Entry<'_>, item: ExecutionRef) {
        let execution = self.execution(entry, item);
        execution.lower(flag::SHIPPED);
        if execution.state() != State::Parked {
            return;
        }
        if execution.has(flag::STOP_REQUESTED) {
            execution.lower(flag::STOP_REQUESTED);
            execution.set_state(State::Stopped);
        } else {
            self.make_ready(entry, item);
        }
    }
}
