//! Answering: at once, or later through a Reply object.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::right::CONTROL;
use crate::object::budget::Budget;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::reply::Reply;
use crate::object::thread::Thread;
use abi::{CallWord, Error, Rights};
use arena::Handle;

impl<A: Arch> Visit<'_, A> {
    /// Answers the current caller of a thread.
    pub(crate) fn reply(
        &self,
        replier: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let caller = thread.execution().caller.get().ok_or(Error::NoCaller)?;
        let outcome = self.answer(caller, (replier, thread))?;
        if !matches!(outcome, Outcome::Waiting) {
            thread.execution().caller.set(None);
            self.return_budget(replier);
        }
        Ok(outcome)
    }

    /// Moves the current caller of a thread into a Reply object.
    pub(crate) fn save_reply(
        &self,
        saver: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let reply = self.resolve::<Reply>(thread, Rights::new())?;
        let execution = thread.execution();
        Self::check_same_core(thread, &reply.object.core)?;
        if reply.object.caller.get().is_some() {
            return Err(Error::WrongState);
        }
        let caller = execution.caller.take().ok_or(Error::NoCaller)?;
        reply.object.caller.set(Some(caller));
        self.execution(caller).callee.set(reply.handle.address());
        self.return_budget(saver);
        Ok(Outcome::ok())
    }

    /// Answers the caller in a Reply object.
    pub(crate) fn reply_to(
        &self,
        replier: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let reply = self.resolve::<Reply>(thread, CONTROL)?;
        Self::check_same_core(thread, &reply.object.core)?;
        let caller = reply.object.caller.get().ok_or(Error::NoCaller)?;
        let outcome = self.answer(caller, (replier, thread))?;
        if !matches!(outcome, Outcome::Waiting) {
            reply.object.caller.set(None);
        }
        Ok(outcome)
    }

    /// Brings an answer to a caller: a thread that called or faulted, or a vCPU.
    fn answer(
        &self,
        caller: ExecutionRef,
        (replier, thread): (ExecutionRef, &Thread<A>),
    ) -> Result<Outcome, Error> {
        let info = CallWord::from_bits(thread.frame.call_word()).info();
        self.check_message(thread, info)?;
        if info.caps() > 0 && !self.lock_for(replier) {
            return Ok(Outcome::Waiting);
        }
        let sent = self.check_sent_slots(thread, info);
        if sent.is_ok() {
            let execution = self.execution(caller);
            if execution.is_vcpu() {
                let words = core::array::from_fn(|index| thread.frame.argument(index + 1));
                self.answer_exit(caller, info.label(), words);
            } else if execution.has(flag::KERNEL_MESSAGE) {
                execution.lower(flag::KERNEL_MESSAGE | flag::FAULTED);
                self.make_ready(caller);
            } else {
                let target = self.thread(caller);
                target.frame.complete();
                let info = self.copy_message(thread, target, info);
                target.frame.set_info(u64::from(info.into_bits()));
                self.make_ready(caller);
            }
        }
        if info.caps() > 0 {
            self.unlock();
        }
        sent.map(|()| Outcome::ok())
    }

    /// Gives a server back its own budget; its caller keeps what was lent.
    pub(crate) fn return_budget(&self, server: ExecutionRef) {
        let execution = self.execution(server);
        execution.depth.set(0);
        let own = self.own_budget(execution);
        self.change_budget(server, own);
    }

    /// Lets an execution of this core run on another budget, and with it everyone that it lent
    /// the one before to.
    pub(crate) fn change_budget(&self, item: ExecutionRef, budget: Option<Handle<Budget>>) {
        self.core.unsettled.set(1);
        let before = self.execution(item).budget.get();
        self.execution(item).budget.set(budget);
        self.wake_exhausted(item);
        let mut at = item;
        while let Some(server) = self.borrower(at, before) {
            let execution = self.execution(server);
            let budget = budget.or_else(|| self.own_budget(execution));
            execution.budget.set(budget);
            self.wake_exhausted(server);
            at = server;
        }
    }

    /// Returns the server that `caller` lent `budget` to.
    pub(crate) fn borrower(
        &self,
        caller: ExecutionRef,
        budget: Option<Handle<Budget>>,
    ) -> Option<ExecutionRef> {
        let execution = self.execution(caller);
        if execution.state() != State::AwaitingReply || budget.is_none() {
            return None;
        }
        let server = ExecutionRef::from_address(execution.callee.get())?;
        let found: &Execution = self.entry.part::<_, A>(server)?;
        (found.budget.get() == budget).then_some(server)
    }

    /// Lets an execution whose budget was used up be looked at again.
    pub(crate) fn wake_exhausted(&self, item: ExecutionRef) {
        if self.execution(item).state() == State::Exhausted {
            self.remove_deadline(item);
            self.make_ready(item);
        }
    }

    /// Takes an execution that awaits a reply out of the hands of whoever has it.
    pub(crate) fn forget_callee(&self, caller: ExecutionRef) {
        let callee = self.execution(caller).callee.replace(0);
        if let Some(reply) = Handle::<Reply>::from_address(callee)
            && let Some(reply) = self.entry.find(reply)
        {
            reply.caller.set(None);
        } else if let Some(server) = ExecutionRef::from_address(callee) {
            self.execution(server).caller.set(None);
            self.return_budget(server);
        }
    }

    /// Tells a caller that its server is gone; a vCPU keeps its exit and offers it again.
    pub(crate) fn server_gone(&self, caller: ExecutionRef) {
        let execution = self.execution(caller);
        if execution.state() == State::Dead {
            return;
        }
        execution.callee.set(0);
        if execution.is_vcpu() {
            self.send_exit_again(caller);
        } else if execution.has(flag::KERNEL_MESSAGE) {
            execution.lower(flag::KERNEL_MESSAGE);
            execution.set_state(State::Stopped);
        } else {
            self.finish_call(caller, Err(Error::ServerGone));
        }
    }
}
