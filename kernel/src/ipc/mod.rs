//! Synchronous calls: who calls, who answers, and what travels.
//!
//! ```text
//!  caller: Ready ──call──> Calling ──received──> AwaitingReply ──reply──> Ready
//!  server: Ready ──receive──> Receiving ──message──> Ready (with a caller) ──reply──> …
//! ```
//! All of it happens on one core and takes no lock, but for messages with capabilities.

mod answer;
mod message;
mod receive;
mod transfer;

pub use message::KEEPS_OWN_BUDGET;
pub use transfer::check_sendable;

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::right::CALL;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::object::thread::Thread;
use abi::{CallWord, Error};
use arena::{Handle, Object};

/// The longest chain of calls.
pub const MAX_DEPTH: u64 = 16;

impl<A: Arch> Visit<'_, A> {
    /// Makes a thread's call of an endpoint.
    pub(crate) fn call(&self, caller: ExecutionRef, thread: &Thread<A>) -> Result<Outcome, Error> {
        let info = CallWord::from_bits(thread.frame.call_word()).info();
        let to = self.resolve::<Endpoint>(thread, CALL)?;
        let execution = thread.execution();
        Self::check_same_core(thread, &to.object.core)?;
        self.check_message(thread, info)?;
        if execution.depth.get() >= MAX_DEPTH {
            return Err(Error::CallTooDeep);
        }
        if info.caps() > 0 && !self.lock_for(caller) {
            return Ok(Outcome::Waiting);
        }
        if let Err(error) = self.check_sent_slots(thread, info) {
            self.unlock();
            return Err(error);
        }
        execution.badge.set(to.slot.badge.get());
        execution.lower(flag::KERNEL_MESSAGE);
        self.send_call(caller, to.handle);
        if info.caps() > 0 {
            self.unlock();
        }
        Ok(Outcome::Waiting)
    }

    /// Brings a call to an endpoint: to a thread that receives there, or into the queue.
    pub(crate) fn send_call(&self, caller: ExecutionRef, to: Handle<Endpoint>) {
        let endpoint = self.entry.get(to);
        if let Some(receiver) = self.pop(&endpoint.receivers) {
            self.remove_deadline(receiver);
            self.deliver(caller, receiver);
            return self.run_instead(caller, receiver);
        }
        let execution = self.execution(caller);
        execution.set_state(State::Calling);
        execution.waits_at.set(to.address());
        self.push_by_priority(&endpoint.callers, caller);
    }

    /// Returns the endpoint or the notification that an execution waits at.
    pub(crate) fn waits_at<T: Object>(&self, execution: &Execution) -> &T {
        let at = execution.waits_at.get();
        self.entry.at(at).unwrap_or_else(|| arena::gone())
    }

    /// Takes an execution of this core out of the queue that its state says, and forgets its
    /// deadline.
    pub(crate) fn leave_queue(&self, item: ExecutionRef) {
        self.remove_deadline(item);
        let execution = self.execution(item);
        match execution.state() {
            State::Calling => {
                self.remove(&self.waits_at::<Endpoint>(execution).callers, item);
            }
            State::Receiving => {
                self.remove(&self.waits_at::<Endpoint>(execution).receivers, item);
            }
            State::Waiting => {
                self.waits_at::<Notification>(execution).waiter.set(None);
            }
            State::AwaitingReply => self.forget_callee(item),
            State::AwaitingLock => self.remove(&self.core.lock_waiters, item),
            State::Ready => self.dequeue(item),
            _ => {}
        }
    }

    /// Ends a thread's system call with a status and one result, and lets it run.
    pub(crate) fn finish_call(&self, item: ExecutionRef, result: Result<u64, Error>) {
        Self::conclude(self.thread(item), result.map(Outcome::Done));
        self.make_ready(item);
    }
}
