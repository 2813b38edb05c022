//! System calls: decoded, checked, then done; after the first effect nothing fails.

mod capability;
mod device;
pub(crate) mod thread;

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::thread::Thread;
use abi::{CallNumber, CallWord, Error};

/// How a system call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, with this result.
    Done(u64),
    /// The thread waits, has its results already, or makes the call again later.
    Waiting,
}

impl Outcome {
    /// Returns the outcome of a call without results.
    #[must_use]
    pub const fn ok() -> Self {
        Self::Done(0)
    }

    /// Returns the outcome of a call with one result.
    #[must_use]
    pub const fn value(value: u64) -> Self {
        Self::Done(value)
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Handles a system call of the current thread.
    pub(crate) fn system_call(&self) {
        let Some(current) = self.core.current.get() else {
            return;
        };
        let thread = self.thread(current);
        let result = self.act(current, thread);
        Self::conclude(thread, result);
    }

    /// Writes the results of a call that is done into the caller's registers.
    pub(crate) fn conclude(thread: &Thread<A>, result: Result<Outcome, Error>) {
        match result {
            Ok(Outcome::Waiting) => {}
            Ok(Outcome::Done(value)) => {
                thread.frame.complete();
                thread.frame.set_result(1, value);
            }
            Err(error) => {
                thread.frame.complete();
                thread.frame.set_result(0, error.number());
            }
        }
    }

    /// Makes a call that was sent here by another core, then sends the caller home.
    pub(crate) fn remote_call(&self, caller: ExecutionRef) {
        let thread = self.thread(caller);
        let result = self.act(caller, thread);
        Self::conclude(thread, result);
        if !matches!(result, Ok(Outcome::Waiting)) {
            self.send_home(caller);
        }
    }

    /// Does what the registers of `thread` ask for.
    fn act(&self, caller: ExecutionRef, thread: &Thread<A>) -> Result<Outcome, Error> {
        let number = CallWord::from_bits(thread.frame.call_word()).number();
        let number = CallNumber::from_number(u64::from(number)).ok_or(Error::UnknownCall)?;
        match number {
            CallNumber::Identify => self.identify(thread),
            CallNumber::Call => self.call(caller, thread),
            CallNumber::Receive => self.receive(caller, thread),
            CallNumber::ReplyReceive => self.reply_receive(caller, thread),
            CallNumber::Reply => self.reply(caller, thread),
            CallNumber::SaveReply => self.save_reply(caller, thread),
            CallNumber::ReplyTo => self.reply_to(caller, thread),
            CallNumber::Signal => self.signal(thread),
            CallNumber::Wait => self.wait(caller, thread),
            CallNumber::Yield => {
                self.yield_current();
                Ok(Outcome::ok())
            }
            CallNumber::ThreadStart
            | CallNumber::ThreadStop
            | CallNumber::ThreadResume
            | CallNumber::ThreadPriority
            | CallNumber::ThreadRecovery
            | CallNumber::ThreadRead
            | CallNumber::ThreadWrite => self.thread_call(caller, thread, number),
            CallNumber::BudgetConfigure => self.budget_configure(caller, thread),
            CallNumber::InterruptAcknowledge => self.interrupt_acknowledge(thread),
            CallNumber::FirmwareCall => self.firmware_call(thread),
            CallNumber::PortRead => self.port(thread, false),
            CallNumber::PortWrite => self.port(thread, true),
            CallNumber::VcpuRead
            | CallNumber::VcpuWrite
            | CallNumber::VcpuResume
            | CallNumber::VcpuStop
            | CallNumber::VcpuPriority => self.vcpu_call(caller, thread, number),
            CallNumber::Inject => self.inject_call(thread),
            CallNumber::Fence => self.fence(caller, thread),
            _ => self.act_locked(caller, thread, number),
        }
    }

    /// Does what needs the capability lock.
    fn act_locked(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
        number: CallNumber,
    ) -> Result<Outcome, Error> {
        if !self.lock_for(caller) {
            return Ok(Outcome::Waiting);
        }
        self.core.work.set(0);
        let result = match number {
            CallNumber::Retype => self.retype(caller, thread),
            CallNumber::Copy => self.copy(thread),
            CallNumber::Mint => self.mint(thread),
            CallNumber::Move => self.move_cap(caller, thread),
            CallNumber::Delete => self.delete(caller, thread, true),
            CallNumber::Revoke => self.delete(caller, thread, false),
            CallNumber::Split => self.split(thread),
            CallNumber::Fund => self.fund(caller, thread),
            CallNumber::Map => self.map(caller, thread),
            CallNumber::Unmap => self.unmap(caller, thread),
            CallNumber::Protect => self.protect(caller, thread),
            CallNumber::ThreadBind => self.thread_bind(caller, thread),
            CallNumber::InterruptTake => self.interrupt_take(thread),
            CallNumber::InterruptBind => self.interrupt_bind(caller, thread),
            CallNumber::VcpuBind => self.vcpu_bind(caller, thread),
            CallNumber::VcpuExitRoute => self.vcpu_route(caller, thread, true),
            CallNumber::VcpuDeviceRoute => self.vcpu_route(caller, thread, false),
            CallNumber::AddRoute => self.add_route(thread),
            _ => Err(Error::UnknownCall),
        };
        if !self.round.keeps_lock() {
            self.unlock();
        }
        result
    }

    /// Notes what a call did; returns whether it is enough for one step: where there is more to do,
    /// the call keeps how far it came and is made again, behind a look at interrupts. Every step does
    /// something.
    pub(crate) fn spend(&self, instructions: u64) -> bool {
        self.core.work.add(instructions);
        self.core.work.get() >= self.arch.step()
    }

    /// Takes the capability lock for a caller, or lets the caller wait for it.
    pub(crate) fn lock_for(&self, caller: ExecutionRef) -> bool {
        if self.lock.acquire(self.entry.core()) {
            return true;
        }
        let execution = self.execution(caller);
        if execution.core_index() != self.entry.core() {
            self.send_home(caller);
            return false;
        }
        execution.set_state(State::AwaitingLock);
        self.push_last(&self.core.lock_waiters, caller);
        false
    }

    /// Releases the capability lock and lets those who waited for it try again.
    pub(crate) fn unlock(&self) {
        self.pass_on(self.lock.release());
    }

    /// Lets the threads of these cores that wait for the lock try again.
    #[inline(never)]
    pub(crate) fn pass_on(&self, mut waiting: u64) {
        if waiting >> self.entry.core() & 1 == 1 {
            waiting &= !(1 << self.entry.core());
            self.wake_lock_waiters();
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
    pub(crate) fn wake_lock_waiters(&self) {
        while let Some(waiter) = self.pop(&self.core.lock_waiters) {
            self.make_ready(waiter);
        }
    }

    /// Ends the parked call of a thread of this core, which runs again or stops.
    pub(crate) fn unpark(&self, item: ExecutionRef) {
        let execution = self.execution(item);
        execution.lower(flag::SHIPPED);
        if execution.state() != State::Parked {
            return;
        }
        if execution.has(flag::STOP_REQUESTED) {
            execution.lower(flag::STOP_REQUESTED);
            execution.set_state(State::Stopped);
        } else {
            self.make_ready(item);
        }
    }
}
