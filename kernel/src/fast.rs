//! Fast paths: what most calls are, straight to the other side without a pass of the scheduler.
//!
//! They do what the general paths do, for the cases that need nothing else: everything is looked at
//! first, whatever is unusual is left to the general path, and only then something changes. What
//! other cores ask of this one is not looked at: they interrupt it, and it has not left the kernel
//! for longer than it takes to be interrupted. Time is not charged, for the budget that it is
//! charged to stays the same. `docs/kernel.md` has the argument, case by case.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::Slot;
use crate::cap::slot::Role;
use crate::ipc::MAX_DEPTH;
use crate::object::KernelObject;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::object::notification::Notification;
use crate::object::space::Space;
use crate::object::thread::Thread;
use abi::message::REGISTER_WORDS;
use abi::{CallNumber, ObjectKind, Rights};
use arena::Handle;
use core::sync::atomic::Ordering;

/// A thread that goes on behind its system call, whose status is 0.
pub struct Resume<'e, A: Arch> {
    /// The thread that made the call, in whose frame the words lie that are results.
    pub from: &'e Thread<A>,
    /// The thread that goes on.
    pub to: &'e Thread<A>,
    /// How many words are results: arguments 1 and up of `from`'s call. The rest is 0.
    pub count: u64,
    /// The information word.
    pub info: u64,
    /// Result 7. Result 8 is 0.
    pub badge: u64,
}

/// Bits of the information word that say how many words and capabilities there are.
const SHAPE: u64 = 0x3ff;
/// Bits of the information word that say what a message is.
const KIND: u64 = 0x3f << 10;

impl<A: Arch> Visit<'_, A> {
    /// Makes a system call of the current thread if there is a fast path for it; `None` leaves all
    /// as it was, for [`Visit::handle`].
    #[inline(always)]
    pub fn fast_call(&self) -> Option<Resume<'_, A>> {
        let item = self.core.current.get()?;
        let thread = self.entry.look(item.cast::<Thread<A>>())?;
        let word = thread.frame.call_word();
        let is = |number: CallNumber| word & 0xff == number as u64;
        if is(CallNumber::Call) {
            self.fast_send(item, thread, word >> 32)
        } else if is(CallNumber::ReplyReceive) {
            self.fast_reply_receive(item, thread, word >> 32)
        } else if is(CallNumber::Signal) {
            self.fast_signal(thread)
        } else if is(CallNumber::Identify) {
            self.fast_version(thread)
        } else {
            None
        }
    }

    /// Returns how a thread goes on whose call is done, with the first `count` arguments behind
    /// argument 0 as results.
    #[inline(always)]
    fn done<'e>(thread: &'e Thread<A>, count: u64) -> Option<Resume<'e, A>> {
        Some(Resume {
            from: thread,
            to: thread,
            count,
            info: 0,
            badge: 0,
        })
    }

    /// The version of the ABI, and the core.
    #[inline(always)]
    fn fast_version<'e>(&'e self, thread: &'e Thread<A>) -> Option<Resume<'e, A>> {
        if thread.frame.argument(0) != 0 {
            return None;
        }
        thread.frame.set_result(1, abi::VERSION);
        thread.frame.set_result(2, self.entry.core() as u64);
        Self::done(thread, 2)
    }

    /// Returns the object of type `T` in slot `index` of a thread's table, and the slot, if the
    /// slot has the right `need`.
    #[inline(always)]
    fn fast_resolve<T: KernelObject>(
        &self,
        thread: &Thread<A>,
        need: Rights,
    ) -> Option<(&T, Handle<T>, u64)> {
        let table = thread.cap_table();
        let tag = table.own_tag();
        let index = thread.frame.argument(0);
        if tag.kind() != ObjectKind::CapTable as u8 || index == 0 || index >> tag.order() != 0 {
            return None;
        }
        let slot = Handle::<Slot>::from_address(table.object.get().wrapping_add(index * 64))?;
        let slot = self.entry.look(slot)?;
        let need = u64::from(need.into_bits()) << 8;
        if slot.tag().into_bits() & (0xff | need) != T::OBJECT_KIND as u64 | need {
            return None;
        }
        let handle = Handle::from_address(slot.object.get())?;
        Some((self.entry.look(handle)?, handle, slot.badge.get()))
    }

    /// Returns whether `next` runs in place of the current execution, which waits, and on the budget
    /// that time is charged to now.
    #[inline(always)]
    fn goes_first(&self, next: &Execution, budget: &Execution) -> bool {
        next.flags() == 0
            && self.core.ready_bits.get() >> (next.priority.get() & 63) == 0
            && budget.budget.address() == self.core.budget.address()
    }

    /// Returns the space of `thread` with its address and what makes it current, if it has one that
    /// this core used before: `None` as space where it is current already.
    #[inline(always)]
    fn fast_space(&self, thread: &Thread<A>) -> Option<(u64, u64)> {
        let slot = thread.space();
        if slot.own_tag().kind() != ObjectKind::Space as u8 {
            return None;
        }
        let address = slot.object.get();
        if address == self.core.loaded_space.get() {
            return Some((address, 0));
        }
        let [space] = &self
            .entry
            .look(Handle::<Space>::from_address(address)?)?
            .space;
        let knows = space.cores.get() >> self.entry.core() & 1;
        let word = space.word.get();
        (knows & u64::from(word != 0) != 0).then_some((address, word))
    }

    /// Makes `next` the current execution, with its space.
    #[inline(always)]
    fn fast_switch(&self, next: ExecutionRef, (address, word): (u64, u64)) {
        self.core.current.set(Some(next));
        if word != 0 {
            self.core.loaded_space.set(address);
            self.arch.load_space(word);
        }
    }

    /// A call of an endpoint at which a thread waits.
    #[inline(always)]
    fn fast_send<'e>(
        &'e self,
        item: ExecutionRef,
        thread: &'e Thread<A>,
        info: u64,
    ) -> Option<Resume<'e, A>> {
        if info & SHAPE > REGISTER_WORDS as u64 {
            return None;
        }
        let need = Rights::new().with_call(true);
        let (endpoint, _, badge) = self.fast_resolve::<Endpoint>(thread, need)?;
        let receiver = endpoint.receivers.first.get()?;
        let server = self.entry.look(receiver.cast::<Thread<A>>())?;
        let (from, to) = (thread.execution(), server.execution());
        let depth = from.depth.get();
        if from.flags() | to.detail.get() | to.next.address() != 0
            || endpoint.core.get() != self.entry.core() as u64
            || depth >= MAX_DEPTH
            || !self.goes_first(to, from)
        {
            return None;
        }
        let space = self.fast_space(server)?;
        endpoint.receivers.first.set(None);
        endpoint.receivers.last.set(None);
        from.set_state(State::AwaitingReply);
        from.badge.set(badge);
        from.callee.set(receiver.address());
        to.caller.set(Some(item));
        to.depth.set(depth + 1);
        to.budget.set(from.budget.get());
        to.set_state(State::Ready);
        self.fast_switch(receiver, space);
        Some(Resume {
            from: thread,
            to: server,
            count: info & SHAPE,
            info: info & !KIND,
            badge,
        })
    }

    /// A reply to a thread that lent its budget, by a thread for which nothing else waits.
    #[inline(always)]
    fn fast_reply_receive<'e>(
        &'e self,
        item: ExecutionRef,
        thread: &'e Thread<A>,
        info: u64,
    ) -> Option<Resume<'e, A>> {
        if info & SHAPE > REGISTER_WORDS as u64 {
            return None;
        }
        let need = Rights::new().with_receive(true);
        let (endpoint, handle, _) = self.fast_resolve::<Endpoint>(thread, need)?;
        let from = thread.execution();
        let caller = from.caller.get()?;
        let client = self.entry.look(caller.cast::<Thread<A>>())?;
        let to = client.execution();
        if from.flags() != 0
            || endpoint.callers.first.address() | endpoint.receivers.first.address() != 0
            || thread.frame.argument(7) != abi::call::FOREVER
            || endpoint.core.get() != self.entry.core() as u64
            || !self.goes_first(to, to)
            || self.has_signals(thread)
        {
            return None;
        }
        let space = self.fast_space(client)?;
        endpoint.receivers.first.set(Some(item));
        endpoint.receivers.last.set(Some(item));
        from.set_state(State::Receiving);
        from.waits_at.set(handle.address());
        from.caller.set(None);
        from.depth.set(0);
        from.budget.set(Handle::from_address(from.own_budget.get()));
        to.set_state(State::Ready);
        self.fast_switch(caller, space);
        Some(Resume {
            from: thread,
            to: client,
            count: info & SHAPE,
            info,
            badge: 0,
        })
    }

    /// Returns whether the notification that is bound to a thread may have bits for it.
    #[inline(always)]
    fn has_signals(&self, thread: &Thread<A>) -> bool {
        let Some(slot) = thread.slot(Role::Notification) else {
            return true;
        };
        if slot.own_tag().is_empty() {
            return false;
        }
        let bound = Handle::<Notification>::from_address(slot.object.get());
        let bound = bound.and_then(|handle| self.entry.look(handle));
        bound.is_none_or(|notification| notification.bits.get() != 0)
    }

    /// A signal of a notification of this core that nobody waits for.
    #[inline(always)]
    fn fast_signal<'e>(&'e self, thread: &'e Thread<A>) -> Option<Resume<'e, A>> {
        let need = Rights::new().with_signal(true);
        let (notification, _, badge) = self.fast_resolve::<Notification>(thread, need)?;
        let hazard = notification.waiter.address()
            | notification.bound.address()
            | (notification.core.get() ^ self.entry.core() as u64);
        if hazard != 0 {
            return None;
        }
        let bits = crate::signal::bits_of(badge);
        notification.bits.shared().fetch_or(bits, Ordering::SeqCst);
        Self::done(thread, 0)
    }
}
