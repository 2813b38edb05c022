//! Calls of servers that wait, their replies, and faults of threads.

use super::{
    CALL, CALLS, Call, Fast, KIND, Message, RECEIVE, REPLIES, Resume, SHAPE, TAKEN, is_long,
};
use crate::Visit;
use crate::arch::{Arch, Trap, UserFrame};
use crate::ipc::MAX_DEPTH;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::object::thread::Thread;
use abi::call::FOREVER;
use abi::message::{MAX_WORDS, REGISTER_WORDS};
use arena::Handle;
use core::sync::atomic::{AtomicU64, Ordering};

/// The words of a long message, and where they go.
type Pages<'e> = Option<(&'e [AtomicU64], &'e [AtomicU64])>;

/// A thread that is to wait for a message, and the endpoint for that, with its address.
pub(super) type Wait<'e> = (&'e Execution, &'e Endpoint, u64);

impl<A: Arch> Visit<'_, A> {
    /// Copies the words of a long message: where the machine knows no better, eight in a round.
    #[inline(always)]
    pub(crate) fn copy_words(&self, pages: Pages<'_>) {
        let Some((from, to)) = pages.filter(|pages| !self.arch.copy(*pages)) else {
            return;
        };
        let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<8>(), to.as_chunks::<8>());
        let copy = |from: &AtomicU64, to: &AtomicU64| {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        for (from, to) in from.iter().zip(to) {
            // Written out, for the compiler makes loops of loops.
            let ([f0, f1, f2, f3, f4, f5, f6, f7], [t0, t1, t2, t3, t4, t5, t6, t7]) = (from, to);
            copy(f0, t0);
            copy(f1, t1);
            copy(f2, t2);
            copy(f3, t3);
            copy(f4, t4);
            copy(f5, t5);
            copy(f6, t6);
            copy(f7, t7);
        }
        for (from, to) in from_rest.iter().zip(to_rest) {
            copy(from, to);
        }
    }

    /// Returns the words of both message pages that a message has beyond registers: none of a short
    /// one. `None` where the general path is needed.
    #[inline(always)]
    fn fast_pages(
        &self,
        (from, from_pin): (&Thread<A>, usize),
        (to, to_pin): (&Thread<A>, usize),
        info: u64,
    ) -> Option<Pages<'_>> {
        let words = usize::try_from(info & SHAPE).ok()?;
        if words <= REGISTER_WORDS {
            return Some(None);
        }
        let range = REGISTER_WORDS..words.min(MAX_WORDS + 1);
        let from = self.page_of(from.message_page(), from_pin)?;
        let to = self.page_of(to.message_page(), to_pin)?;
        (words <= MAX_WORDS).then_some(Some((from.get(range.clone())?, to.get(range)?)))
    }

    /// A call of an endpoint at which a thread waits.
    #[inline(always)]
    pub(super) fn fast_send<'e, const RARE: bool, const LONG: bool>(
        &'e self,
        (thread, info): Call<'e, A>,
        target: u64,
    ) -> Option<Fast<'e, A>> {
        // What a short message is, is not said by who sends it.
        if !LONG && is_long(info) {
            return None;
        }
        let need = (CALL, |it: &Endpoint| it.core.get());
        let (endpoint, _, badge) =
            self.fast_target::<Endpoint, RARE>(thread, (target, CALLS), need)?;
        let from = thread.execution();
        if from.depth.get() >= MAX_DEPTH {
            return None;
        }
        let waiting = self.fast_server::<RARE>(endpoint, (from, from.flags(), CALLS))?;
        if LONG {
            self.copy_words(self.fast_pages((thread, CALLS), (waiting.server, REPLIES), info)?);
        }
        self.fast_deliver::<RARE>(from, &waiting, badge);
        Some(Fast::Behind(Resume {
            from: thread,
            to: waiting.server,
            info: if LONG { info & !KIND } else { info },
            badge,
        }))
    }

    /// A reply by a thread for which nothing else waits.
    #[inline(always)]
    pub(super) fn fast_reply_receive<'e, const RARE: bool, const LONG: bool>(
        &'e self,
        (thread, info): Call<'e, A>,
        target: u64,
    ) -> Option<Fast<'e, A>> {
        if !LONG && is_long(info) {
            return None;
        }
        let caller = thread.execution().caller.get();
        let client = self.at::<Thread<A>, RARE>(caller.map_or(0, Handle::address), REPLIES)?;
        let wait = self.fast_receive::<RARE>(thread, (target, REPLIES))?;
        self.fast_answer_thread::<RARE, LONG>(wait, (caller, client), (thread, info))
    }

    /// Returns where a thread that answers waits then: itself, the endpoint, and its address.
    #[inline(always)]
    pub(super) fn fast_receive<'e, const RARE: bool>(
        &'e self,
        thread: &'e Thread<A>,
        target: (u64, usize),
    ) -> Option<Wait<'e>> {
        let from = thread.execution();
        let need = (RECEIVE, |it: &Endpoint| it.core.get());
        let (endpoint, address, bound) = self.fast_target::<_, RARE>(thread, target, need)?;
        let has_bits = |it: &Notification| it.bits.get() != 0;
        let queued = endpoint.callers.first.address() | endpoint.receivers.first.address();
        if queued | from.flags() != 0
            || thread.frame.argument(7) != FOREVER
            || (bound != 0 && self.at::<_, RARE>(bound, target.1).is_none_or(has_bits))
        {
            return None;
        }
        Some((from, endpoint, address))
    }

    /// A reply to a thread that called, or that faulted.
    #[inline(always)]
    fn fast_answer_thread<'e, const RARE: bool, const LONG: bool>(
        &'e self,
        wait: Wait<'_>,
        (caller, client): (Option<ExecutionRef>, &'e Thread<A>),
        (thread, info): (&'e Thread<A>, u64),
    ) -> Option<Fast<'e, A>> {
        let to = client.execution();
        let flags = to.flags();
        let is_fault = RARE && flags == flag::KERNEL_MESSAGE | flag::FAULTED;
        if flags != 0 && !is_fault {
            return None;
        }
        let switch = self.fast_way::<RARE>((client, REPLIES), to.budget.get())?;
        let pages = if LONG {
            self.fast_pages((thread, REPLIES), (client, CALLS), info)?
        } else {
            None
        };
        to.set_state(State::Ready);
        self.fast_wait(wait);
        self.fast_switch::<RARE>(caller, switch);
        if is_fault {
            // A fault is answered: the thread goes on with the registers that it has.
            to.lower(flag::KERNEL_MESSAGE | flag::FAULTED);
            return Some(Fast::Thread(client));
        }
        self.copy_words(pages);
        Some(Fast::Behind(Resume {
            from: thread,
            to: client,
            info,
            badge: 0,
        }))
    }

    /// Lets the current thread, which answered, wait for the next message, on its own budget.
    #[inline(always)]
    pub(super) fn fast_wait(&self, (execution, endpoint, address): Wait<'_>) {
        let item = self.core.current.get();
        endpoint.receivers.first.set(item);
        endpoint.receivers.last.set(item);
        execution.set_state(State::Receiving);
        execution.waits_at.set(address);
        execution.caller.set(None);
        execution.depth.set(0);
        execution
            .budget
            .set(Handle::from_address(execution.own_budget.get()));
    }

    /// Brings a fault of the current thread, which is `thread`, to its handler, which waits; `None`
    /// leaves all as it was, for [`Visit::handle`].
    #[inline(always)]
    pub fn fast_fault<'e>(&'e self, thread: &'e Thread<A>, trap: Trap) -> Option<Fast<'e, A>> {
        let Trap::Fault {
            kind,
            address,
            cause,
        } = (if TAKEN { trap } else { Trap::Ipi })
        else {
            return None;
        };
        let from = thread.execution();
        let slot = self.fault_handler(thread)?;
        let endpoint = self.at::<Endpoint, true>(slot.object.get(), CALLS)?;
        let waiting = self.fast_server::<true>(endpoint, (from, from.flags(), CALLS))?;
        if self.is_in_recovery(thread) {
            return None;
        }
        if self.is_spurious(thread, kind, address) {
            return Some(Fast::Thread(thread));
        }
        let badge = slot.badge.get();
        let (words, info) = Self::make_fault(thread, kind, [address, cause]);
        from.raise(flag::KERNEL_MESSAGE);
        self.fast_deliver::<true>(from, &waiting, badge);
        Some(Fast::Message(Message {
            to: waiting.server,
            words,
            info,
            badge,
            sequence: 0,
        }))
    }
}
