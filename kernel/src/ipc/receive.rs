//! Receiving: from the queue of an endpoint, or from the bound notification.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::right::RECEIVE;
use crate::cap::slot::Role;
use crate::cap::table::Resolved;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::object::thread::Thread;
use abi::{CallWord, Error, Rights};

impl<A: Arch> Visit<'_, A> {
    /// Returns the endpoint that a thread wants to receive from.
    pub(crate) fn receive_endpoint(
        &self,
        thread: &Thread<A>,
    ) -> Result<Resolved<'_, Endpoint>, Error> {
        let endpoint = self.resolve::<Endpoint>(thread, RECEIVE)?;
        Self::check_same_core(thread, &endpoint.object.core)?;
        Ok(endpoint)
    }

    /// Waits for a message.
    pub(crate) fn receive(
        &self,
        receiver: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let from = self.receive_endpoint(thread)?;
        if thread.execution().caller.get().is_some() {
            return Err(Error::WrongState);
        }
        self.receive_from(receiver, thread, from)
    }

    /// Answers the current caller, then waits for the next message.
    pub(crate) fn reply_receive(
        &self,
        receiver: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let from = self.receive_endpoint(thread);
        let from = from.inspect_err(|_| thread.execution().lower(flag::REPLIED))?;
        if !thread.execution().has(flag::REPLIED) {
            match self.reply(receiver, thread)? {
                Outcome::Waiting => return Ok(Outcome::Waiting),
                Outcome::Done(_) => thread.execution().raise(flag::REPLIED),
            }
        }
        let outcome = self.receive_from(receiver, thread, from);
        if thread.execution().state() != State::AwaitingLock {
            thread.execution().lower(flag::REPLIED);
        }
        outcome
    }

    /// Takes a message if there is one, else waits or gives up.
    fn receive_from(
        &self,
        receiver: ExecutionRef,
        thread: &Thread<A>,
        from: Resolved<'_, Endpoint>,
    ) -> Result<Outcome, Error> {
        if self.receive_bits(thread) {
            return Ok(Outcome::Waiting);
        }
        if let Some(caller) = from.object.callers.first.get() {
            let with_caps = self.sends_capabilities(caller);
            if with_caps && !self.lock_for(receiver) {
                return Ok(Outcome::Waiting);
            }
            self.remove(&from.object.callers, caller);
            self.deliver(caller, receiver);
            if with_caps {
                self.unlock();
            }
            return Ok(Outcome::Waiting);
        }
        let deadline = thread.frame.argument(7);
        if deadline <= self.arch.now() {
            return Err(Error::TimedOut);
        }
        thread.execution().set_state(State::Receiving);
        thread.execution().waits_at.set(from.handle.address());
        self.push_last(&from.object.receivers, receiver);
        self.add_deadline(receiver, deadline);
        Ok(Outcome::Waiting)
    }

    /// Returns whether the message of a queued caller has capabilities.
    fn sends_capabilities(&self, caller: ExecutionRef) -> bool {
        let execution = self.execution(caller);
        if execution.is_vcpu() || execution.has(flag::KERNEL_MESSAGE) {
            return false;
        }
        CallWord::from_bits(self.thread(caller).frame.call_word())
            .info()
            .caps()
            > 0
    }

    /// Receives the bits of the notification that is bound to a thread, if there are any.
    pub(crate) fn receive_bits(&self, thread: &Thread<A>) -> bool {
        let slot = thread.slot(Role::Notification);
        let found = slot.map(|slot| self.resolved::<Notification>(slot, Rights::new()));
        let Some(Ok(bound)) = found else {
            return false;
        };
        let bits = bound.object.take_bits();
        if bits == 0 {
            return false;
        }
        thread.frame.complete();
        thread.frame.set_result(1, bits);
        thread.frame.set_info(crate::signal::BITS);
        true
    }
}
