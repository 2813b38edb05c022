//! Calls of servers that wait, their replies, and faults of threads.

use super::{Call, Fast, KIND, Message, RECEIVE, Resume, SHAPE, TAKEN};
use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::ipc::MAX_DEPTH;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::thread::Thread;
use abi::ObjectKind;
use abi::fault::FaultKind;
use abi::message::{MAX_WORDS, REGISTER_WORDS};
use arena::Handle;
use core::sync::atomic::{AtomicU64, Ordering};

/// The words of a long message, and where they go.
type Pages<'e> = Option<(&'e [AtomicU64], &'e [AtomicU64])>;

/// Copies the words of a long message, eight in a round.
#[inline(always)]
fn copy(pages: Pages<'_>) {
    let Some((from, to)) = pages else { return };
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<8>(), to.as_chunks::<8>());
    for (from, to) in from.iter().zip(to) {
        for (from, to) in from.iter().zip(to) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
    for (from, to) in from_rest.iter().zip(to_rest) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Returns the words of both message pages that a message has beyond registers: none of a short
    /// one. `None` where the general path is needed.
    #[inline(always)]
    fn fast_pages(&self, from: &Thread<A>, to: &Thread<A>, info: u64) -> Option<Pages<'_>> {
        let words = usize::try_from(info & SHAPE).ok()?;
        if words <= REGISTER_WORDS {
            return Some(None);
        }
        let range = REGISTER_WORDS..words.min(MAX_WORDS + 1);
        let (from, to) = (self.message_page(from)?, self.message_page(to)?);
        (words <= MAX_WORDS).then_some(Some((from.get(range.clone())?, to.get(range)?)))
    }

    /// A call of an endpoint at which a thread waits.
    #[inline(always)]
    pub(super) fn fast_send<'e, const RARE: bool>(
        &'e self,
        (item, thread, info): Call<'e, A>,
        (object, badge): (u64, u64),
    ) -> Option<Fast<'e, A>> {
        if !RARE && info & SHAPE > REGISTER_WORDS as u64 {
            return None;
        }
        let endpoint = self.entry.look(Handle::from_address(object)?)?;
        let from = thread.execution();
        let waiting = self.fast_server::<RARE>(endpoint, from)?;
        if from.flags() != 0 || from.depth.get() >= MAX_DEPTH {
            return None;
        }
        if RARE {
            copy(self.fast_pages(thread, waiting.server, info)?);
        }
        self.fast_deliver::<RARE>((item, from), &waiting, badge);
        Some(Fast::Behind(Resume {
            from: thread,
            to: waiting.server,
            count: (info & SHAPE).min(REGISTER_WORDS as u64),
            info: info & !KIND,
            badge,
        }))
    }

    /// A reply by a thread for which nothing else waits.
    #[inline(always)]
    pub(super) fn fast_reply_receive<'e, const RARE: bool>(
        &'e self,
        (item, thread, info): Call<'e, A>,
        found: Option<(u64, u64)>,
    ) -> Option<Fast<'e, A>> {
        let from = thread.execution();
        let caller = from.caller.get()?;
        let client = self.entry.look(caller.cast::<Thread<A>>());
        if !RARE && (info & SHAPE > REGISTER_WORDS as u64 || client.is_none()) {
            return None;
        }
        let (object, _) = match found {
            Some(found) => found,
            None => self.fast_slot(thread, ObjectKind::Endpoint, RECEIVE)?,
        };
        let handle = Handle::<Endpoint>::from_address(object)?;
        let endpoint = self.entry.look(handle)?;
        let hazard = from.flags()
            | endpoint.callers.first.address()
            | endpoint.receivers.first.address()
            | !thread.frame.argument(7)
            | (endpoint.core.get() ^ self.entry.core() as u64);
        if hazard != 0 || self.has_signals(thread) {
            return None;
        }
        let wait = (item, from, endpoint, handle);
        match client {
            Some(client) => self.fast_answer_thread::<RARE>(wait, (caller, client), (thread, info)),
            None => self.fast_answer_exit(wait, caller, (thread, info)),
        }
    }

    /// A reply to a thread that called, or that faulted.
    #[inline(always)]
    fn fast_answer_thread<'e, const RARE: bool>(
        &'e self,
        wait: (ExecutionRef, &Execution, &Endpoint, Handle<Endpoint>),
        (caller, client): (ExecutionRef, &'e Thread<A>),
        (thread, info): (&'e Thread<A>, u64),
    ) -> Option<Fast<'e, A>> {
        let to = client.execution();
        let flags = to.flags();
        let is_fault = RARE && flags == flag::KERNEL_MESSAGE | flag::FAULTED;
        if flags != 0 && !is_fault {
            return None;
        }
        let switch = self.fast_way::<RARE>(client, to.budget.get())?;
        let pages = if RARE {
            self.fast_pages(thread, client, info)?
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
        copy(pages);
        Some(Fast::Behind(Resume {
            from: thread,
            to: client,
            count: (info & SHAPE).min(REGISTER_WORDS as u64),
            info,
            badge: 0,
        }))
    }

    /// Lets a thread that answered wait for the next message, on its own budget.
    #[inline(always)]
    pub(super) fn fast_wait(
        &self,
        (item, execution, endpoint, handle): (
            ExecutionRef,
            &Execution,
            &Endpoint,
            Handle<Endpoint>,
        ),
    ) {
        endpoint.receivers.first.set(Some(item));
        endpoint.receivers.last.set(Some(item));
        execution.set_state(State::Receiving);
        execution.waits_at.set(handle.address());
        execution.caller.set(None);
        execution.depth.set(0);
        execution
            .budget
            .set(Handle::from_address(execution.own_budget.get()));
    }

    /// Brings a fault of the current thread to its handler, which waits; `None` leaves all as it
    /// was, for [`Visit::handle`].
    #[inline(always)]
    pub fn fast_fault(&self, kind: FaultKind, address: u64, cause: u64) -> Option<Fast<'_, A>> {
        if !TAKEN {
            return None;
        }
        let item = self.core.current.get()?;
        let thread = self.entry.look(item.cast::<Thread<A>>())?;
        let from = thread.execution();
        let slot = self.fault_handler(thread)?;
        let endpoint = self.entry.look(Handle::from_address(slot.object.get())?)?;
        let waiting = self.fast_server::<true>(endpoint, from)?;
        if from.flags() != 0
            || self.is_in_recovery(thread)
            || self.is_spurious(thread, kind, address)
        {
            return None;
        }
        let badge = slot.badge.get();
        let (words, info) = Self::make_fault(thread, kind, [address, cause]);
        from.raise(flag::KERNEL_MESSAGE);
        self.fast_deliver::<true>((item, from), &waiting, badge);
        Some(Fast::Message(Message {
            to: waiting.server,
            words,
            info,
            badge,
            sequence: 0,
        }))
    }
}
