//! Answering: at once, or later through a Reply object.

use crate::Kernel;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::table;
use crate::object::budget::Budget;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::reply::Reply;
use crate::object::thread::Thread;
use abi::{CallWord, Error, Rights};
use arena::{Entry, Handle};

impl<A: Arch> Kernel<A> {
    /// Answers the current caller of a thread.
    pub(crate) fn reply(
        &self,
        entry: &Entry<'_>,
        replier: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let caller = thread.execution().caller.get().ok_or(Error::NoCaller)?;
        let outcome = self.answer(entry, caller, (replier, thread))?;
        if !matches!(outcome, Outcome::Waiting) {
            thread.execution().caller.set(None);
            self.return_budget(entry, replier);
        }
        Ok(outcome)
    }

    /// Moves the current caller of a thread into a Reply object.
    pub(crate) fn save_reply(
        &self,
        entry: &Entry<'_>,
        saver: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let index = thread.frame.argument(0);
        let reply = table::resolve::<A, Reply>(entry, thread, index, Rights::new())?;
        let execution = thread.execution();
        if reply.object.core.get() != execution.core.get() {
            return Err(Error::WrongCore);
        }
        if reply.object.caller.get().is_some() {
            return Err(Error::WrongState);
        }
        let caller = execution.caller.take().ok_or(Error::NoCaller)?;
        reply.object.caller.set(Some(caller));
        self.execution(entry, caller)
            .callee
            .set(reply.handle.address());
        self.return_budget(entry, saver);
        Ok(Outcome::ok())
    }

    /// Answers the caller in a Reply object.
    pub(crate) fn reply_to(
        &self,
        entry: &Entry<'_>,
        replier: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let index = thread.frame.argument(0);
        let need = Rights::new().with_control(true);
        let reply = table::resolve::<A, Reply>(entry, thread, index, need)?;
        if reply.object.core.get() != thread.execution().core.get() {
            return Err(Error::WrongCore);
        }
        let caller = reply.object.caller.get().ok_or(Error::NoCaller)?;
        let outcome = self.answer(entry, caller, (replier, thread))?;
        if !matches!(outcome, Outcome::Waiting) {
            reply.object.caller.set(None);
        }
        Ok(outcome)
    }

    /// Brings an answer to a caller: a thread that called or faulted, or a vCPU.
    fn answer(
        &self,
        entry: &Entry<'_>,
        caller: ExecutionRef,
        (replier, thread): (ExecutionRef, &Thread<A>),
    ) -> Result<Outcome, Error> {
        let info = CallWord::from_bits(thread.frame.call_word()).info();
        self.check_message(entry, thread, info)?;
        if info.caps() > 0 && !self.lock_for(entry, replier) {
            return Ok(Outcome::Waiting);
        }
        let sent = self.check_sent_slots(entry, thread, info);
        if sent.is_ok() {
            let execution = self.execution(entry, caller);
            if execution.is_vcpu() {
                let words = core::array::from_fn(|index| thread.frame.argument(index + 1));
                self.answer_exit(entry, caller, info.label(), words);
            } else if execution.has(flag::KERNEL_MESSAGE) {
                execution.lower(flag::KERNEL_MESSAGE | flag::FAULTED);
                self.make_ready(entry, caller);
            } else {
                let target = self.thread(entry, caller);
                target.frame.complete();
                let info = self.copy_message(entry, thread, target, info);
                target.frame.set_info(u64::from(info.into_bits()));
                self.make_ready(entry, caller);
            }
        }
        if info.caps() > 0 {
            self.unlock(entry);
        }
        sent.map(|()| Outcome::ok())
    }

    /// Gives a server back its own budget; its caller keeps what was lent.
    pub(crate) fn return_budget(&self, entry: &Entry<'_>, server: ExecutionRef) {
        let execution = self.execution(entry, server);
        execution.depth.set(0);
        let own = self.own_budget(entry, execution);
        self.change_budget(entry, server, own);
    }

    /// Lets an execution of this core run on another budget, and with it everyone that it lent
    /// the one before to.
    pub(crate) fn change_budget(
        &self,
        entry: &Entry<'_>,
        item: ExecutionRef,
        budget: Option<Handle<Budget>>,
    ) {
        let before = self.execution(entry, item).budget.get();
        self.execution(entry, item).budget.set(budget);
        self.wake_exhausted(entry, item);
        let mut at = item;
        while let Some(server) = self.borrower(entry, at, before) {
            let execution = self.execution(entry, server);
            let budget = budget.or_else(|| self.own_budget(entry, execution));
            execution.budget.set(budget);
            self.wake_exhausted(entry, server);
            at = server;
        }
    }

    /// Returns the server that `caller` lent `budget` to.
    pub(crate) fn borrower(
        &self,
        entry: &Entry<'_>,
        caller: ExecutionRef,
        budget: Option<Handle<Budget>>,
    ) -> Option<ExecutionRef> {
        let execution = self.execution(entry, caller);
        if execution.state() != State::AwaitingReply || budget.is_none() {
            return None;
        }
        let server = ExecutionRef::from_address(execution.callee.get())?;
        let found: &Execution = entry.part::<_, A>(server)?;
        (found.budget.get() == budget).then_some(server)
    }

    /// Lets an execution whose budget was used up be looked at again.
    pub(crate) fn wake_exhausted(&self, entry: &Entry<'_>, item: ExecutionRef) {
        if self.execution(entry, item).state() == State::Exhausted {
            self.remove_deadline(entry, item);
            self.make_ready(entry, item);
        }
    }

    /// Takes an execution that awaits a reply out of the hands of whoever has it.
    pub(crate) fn forget_callee(&self, entry: &Entry<'_>, caller: ExecutionRef) {
        let callee = self.execution(entry, caller).callee.replace(0);
        if let Some(reply) = Handle::<Reply>::from_address(callee)
            && let Some(reply) = entry.find(reply)
        {
            reply.caller.set(None);
        } else if let Some(server) = ExecutionRef::from_address(callee) {
            self.execution(entry, server).caller.set(None);
            self.return_budget(entry, server);
        }
    }

    /// Tells a caller that its server is gone; a vCPU keeps its exit and offers it again.
    pub(crate) fn server_gone(&self, entry: &Entry<'_>, caller: ExecutionRef) {
        let execution = self.execution(entry, caller);
        if execution.state() == State::Dead {
            return;
        }
        execution.callee.set(0);
        if execution.is_vcpu() {
            self.send_exit_again(entry, caller);
        } else if execution.has(flag::KERNEL_MESSAGE) {
            execution.lower(flag::KERNEL_MESSAGE);
            execution.set_state(State::Stopped);
        } else {
            self.finish_call(entry, caller, Err(Error::ServerGone));
        }
    }
}
