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

use crate::Kernel;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::table;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::object::thread::Thread;
use abi::{CallWord, Error, Rights};
use arena::{Entry, Handle};

/// The longest chain of calls.
pub const MAX_DEPTH: u64 = 16;

impl<A: Arch> Kernel<A> {
    /// Makes a thread's call of an endpoint.
    pub(crate) fn call(
        &self,
        entry: &Entry<'_>,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let info = CallWord::from_bits(thread.frame.call_word()).info();
        let need = Rights::new().with_call(true);
        let to = table::resolve::<A, Endpoint>(entry, thread, thread.frame.argument(0), need)?;
        let execution = thread.execution();
        if to.object.core.get() != execution.core.get() {
            return Err(Error::WrongCore);
        }
        self.check_message(entry, thread, info)?;
        if execution.depth.get() >= MAX_DEPTH {
            return Err(Error::CallTooDeep);
        }
        if info.caps() > 0 && !self.lock_for(entry, caller) {
            return Ok(Outcome::Waiting);
        }
        if let Err(error) = self.check_sent_slots(entry, thread, info) {
            self.unlock(entry);
            return Err(error);
        }
        execution.badge.set(to.slot.badge.get());
        execution.lower(flag::KERNEL_MESSAGE);
        self.send_call(entry, caller, to.handle);
        if info.caps() > 0 {
            self.unlock(entry);
        }
        Ok(Outcome::Waiting)
    }

    /// Brings a call to an endpoint: to a thread that receives there, or into the queue.
    pub(crate) fn send_call(&self, entry: &Entry<'_>, caller: ExecutionRef, to: Handle<Endpoint>) {
        let endpoint = entry.get(to);
        if let Some(receiver) = self.pop(entry, &endpoint.receivers) {
            self.remove_deadline(entry, receiver);
            self.deliver(entry, caller, receiver);
            self.make_ready(entry, receiver);
            return;
        }
        let execution = self.execution(entry, caller);
        execution.set_state(State::Calling);
        execution.waits_at.set(to.address());
        self.push_by_priority(entry, &endpoint.callers, caller);
    }

    /// Takes an execution of this core out of the queue that its state says, and forgets its
    /// deadline.
    pub(crate) fn leave_queue(&self, entry: &Entry<'_>, item: ExecutionRef) {
        self.remove_deadline(entry, item);
        let execution = self.execution(entry, item);
        let at = execution.waits_at.get();
        match execution.state() {
            State::Calling => {
                if let Some(endpoint) = Handle::<Endpoint>::from_address(at) {
                    self.remove(entry, &entry.get(endpoint).callers, item);
                }
            }
            State::Receiving => {
                if let Some(endpoint) = Handle::<Endpoint>::from_address(at) {
                    self.remove(entry, &entry.get(endpoint).receivers, item);
                }
            }
            State::Waiting => {
                if let Some(notification) = Handle::<Notification>::from_address(at) {
                    entry.get(notification).waiter.set(None);
                }
            }
            State::AwaitingReply => self.forget_callee(entry, item),
            State::AwaitingLock => self.remove(entry, &self.core(entry).lock_waiters, item),
            State::Ready => self.dequeue(entry, item),
            State::Stopped
            | State::Exhausted
            | State::Idle
            | State::Parked
            | State::Unrouted
            | State::Dead => {}
        }
    }

    /// Ends a thread's system call with a status and one result, and lets it run.
    pub(crate) fn finish_call(
        &self,
        entry: &Entry<'_>,
        item: ExecutionRef,
        result: Result<u64, Error>,
    ) {
        let thread = self.thread(entry, item);
        thread.frame.complete();
        match result {
            Ok(value) => thread.frame.set_result(1, value),
            Err(error) => thread.frame.set_result(0, error.number()),
        }
        self.make_ready(entry, item);
    }
}
