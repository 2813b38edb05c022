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
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::object::space::Space;
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::exit::ExitReply;
use abi::message::{MAX_WORDS, REGISTER_WORDS};
use abi::{CallNumber, CallWord, ObjectKind, Rights};
use arena::Handle;
use core::sync::atomic::{AtomicU64, Ordering};

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

/// How a core leaves a fast path.
pub enum Fast<'e, A: Arch> {
    /// To a thread behind its system call.
    Behind(Resume<'e, A>),
    /// As [`Visit::next`] says: to a guest, or to a thread with all of its registers.
    Next,
}

/// Bits of the information word that say how many words and capabilities there are.
const SHAPE: u64 = 0x3ff;
/// Bits of the information word that say what a message is.
const KIND: u64 = 0x3f << 10;

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
    /// Makes a system call of the current thread if it is one of the most frequent; `None` leaves all
    /// as it was, for [`Visit::fast_rare_call`]. It calls no function, so that no register has to be
    /// put aside.
    #[inline(always)]
    pub fn fast_call(&self) -> Option<Fast<'_, A>> {
        let item = self.core.current.get()?;
        let thread = self.entry.look(item.cast::<Thread<A>>())?;
        let word = thread.frame.call_word();
        let is = |number: CallNumber| word & 0xff == number as u64;
        if is(CallNumber::Call) {
            self.fast_send::<false>(item, thread, word >> 32)
        } else if is(CallNumber::ReplyReceive) {
            self.fast_reply_receive::<false>(item, thread, word >> 32)
        } else if is(CallNumber::Signal) {
            self.fast_signal(thread)
        } else if is(CallNumber::Identify) {
            self.fast_version(thread)
        } else {
            None
        }
    }

    /// Makes a system call of the current thread if it is one of those that are a little more to do:
    /// long messages, and answers to faults and exits. `None` leaves all as it was, for
    /// [`Visit::handle`].
    pub fn fast_rare_call(&self) -> Option<Fast<'_, A>> {
        let item = self.core.current.get()?;
        let thread = self.entry.look(item.cast::<Thread<A>>())?;
        let word = CallWord::from_bits(thread.frame.call_word());
        let info = u64::from(word.info().into_bits());
        match CallNumber::from_number(u64::from(word.number()))? {
            CallNumber::Call => self.fast_send::<true>(item, thread, info),
            CallNumber::ReplyReceive => self.fast_reply_receive::<true>(item, thread, info),
            _ => None,
        }
    }

    /// Returns how a thread goes on whose call is done, with the first `count` arguments behind
    /// argument 0 as results.
    #[inline(always)]
    fn done<'e>(thread: &'e Thread<A>, count: u64) -> Option<Fast<'e, A>> {
        Some(Fast::Behind(Resume {
            from: thread,
            to: thread,
            count,
            info: 0,
            badge: 0,
        }))
    }

    /// The version of the ABI, and the core.
    #[inline(always)]
    fn fast_version<'e>(&'e self, thread: &'e Thread<A>) -> Option<Fast<'e, A>> {
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
    pub(crate) fn goes_first(&self, next: &Execution, budget: &Execution) -> bool {
        self.core.ready_bits.get() >> (next.priority.get() & 63) == 0
            && budget.budget.address() == self.core.budget.address()
    }

    /// Returns the space of `thread` with its address and what makes it current, if it has one that
    /// this core used before: `None` as space where it is current already.
    #[inline(always)]
    pub(crate) fn fast_space(&self, thread: &Thread<A>) -> Option<(u64, u64)> {
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
    pub(crate) fn fast_switch(&self, next: ExecutionRef, (address, word): (u64, u64)) {
        self.core.current.set(Some(next));
        if word != 0 {
            self.core.loaded_space.set(address);
            self.arch.load_space(word);
        }
    }

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
    fn fast_send<'e, const RARE: bool>(
        &'e self,
        item: ExecutionRef,
        thread: &'e Thread<A>,
        info: u64,
    ) -> Option<Fast<'e, A>> {
        if !RARE && info & SHAPE > REGISTER_WORDS as u64 {
            return None;
        }
        let need = Rights::new().with_call(true);
        let (endpoint, _, badge) = self.fast_resolve::<Endpoint>(thread, need)?;
        let receiver = endpoint.receivers.first.get()?;
        let server = self.entry.look(receiver.cast::<Thread<A>>())?;
        let (from, to) = (thread.execution(), server.execution());
        let depth = from.depth.get();
        if from.flags() | to.flags() | to.detail.get() | to.next.address() != 0
            || endpoint.core.get() != self.entry.core() as u64
            || depth >= MAX_DEPTH
            || !self.goes_first(to, from)
        {
            return None;
        }
        let space = self.fast_space(server)?;
        if RARE {
            copy(self.fast_pages(thread, server, info)?);
        }
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
        Some(Fast::Behind(Resume {
            from: thread,
            to: server,
            count: (info & SHAPE).min(REGISTER_WORDS as u64),
            info: info & !KIND,
            badge,
        }))
    }

    /// A reply to a caller that lent its budget, by a thread for which nothing else waits.
    #[inline(always)]
    fn fast_reply_receive<'e, const RARE: bool>(
        &'e self,
        item: ExecutionRef,
        thread: &'e Thread<A>,
        info: u64,
    ) -> Option<Fast<'e, A>> {
        if !RARE && info & SHAPE > REGISTER_WORDS as u64 {
            return None;
        }
        let need = Rights::new().with_receive(true);
        let (endpoint, handle, _) = self.fast_resolve::<Endpoint>(thread, need)?;
        let from = thread.execution();
        let caller = from.caller.get()?;
        if from.flags() != 0
            || endpoint.callers.first.address() | endpoint.receivers.first.address() != 0
            || thread.frame.argument(7) != abi::call::FOREVER
            || endpoint.core.get() != self.entry.core() as u64
            || self.has_signals(thread)
        {
            return None;
        }
        let Some(client) = self.entry.look(caller.cast::<Thread<A>>()) else {
            if !RARE {
                return None;
            }
            self.fast_answer_exit(caller, thread, info)?;
            self.fast_wait(item, from, endpoint, handle);
            return Some(Fast::Next);
        };
        let to = client.execution();
        let flags = to.flags();
        let is_fault = RARE && flags == flag::KERNEL_MESSAGE | flag::FAULTED;
        if flags != 0 && !is_fault || !self.goes_first(to, to) {
            return None;
        }
        let space = self.fast_space(client)?;
        let pages = if RARE {
            self.fast_pages(thread, client, info)?
        } else {
            None
        };
        to.set_state(State::Ready);
        self.fast_wait(item, from, endpoint, handle);
        self.fast_switch(caller, space);
        if is_fault {
            // A fault is answered: the thread goes on with the registers that it has.
            to.lower(flag::KERNEL_MESSAGE | flag::FAULTED);
            return Some(Fast::Next);
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
    fn fast_wait(
        &self,
        item: ExecutionRef,
        execution: &Execution,
        endpoint: &Endpoint,
        handle: Handle<Endpoint>,
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

    /// An answer that lets a vCPU go on with its guest, on the budget that it lent.
    #[inline(never)]
    fn fast_answer_exit(&self, item: ExecutionRef, server: &Thread<A>, info: u64) -> Option<()> {
        let vcpu = self.entry.look(item.cast::<Vcpu<A>>())?;
        let execution = vcpu.execution();
        let (flags, access) = (execution.flags(), vcpu.access.get());
        let budget = self.entry.look(self.core.budget.get()?)?;
        let goes_on = access != 0 || info >> 16 == ExitReply::Resume.number();
        if !goes_on
            || info & SHAPE > REGISTER_WORDS as u64
            || flags & !(flag::VCPU | flag::TURNS) != 0
            || flags & flag::TURNS != 0 && budget.left() <= 0
            || !self.goes_first(execution, execution)
            || !self.has_guest_space(item)
        {
            return None;
        }
        let timer = self.arch.guest_timer(&vcpu.guest, self.is_loaded(item));
        if timer.is_some_and(|timer| !timer.in_hardware) {
            return None;
        }
        vcpu.exit_pending.set(0);
        if access != 0 {
            vcpu.access.set(0);
            self.complete_access(vcpu, access, server.frame.argument(1));
        }
        execution.set_state(State::Ready);
        self.core.current.set(Some(item));
        Some(())
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
    fn fast_signal<'e>(&'e self, thread: &'e Thread<A>) -> Option<Fast<'e, A>> {
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
