//! Fast paths: what most kernel entries are, straight to the other side without a pass of the
//! scheduler.
//!
//! They do what the general paths do, for the cases that need nothing else: everything is looked at
//! first, whatever is unusual is left to the general path, and only then something changes. What
//! other cores ask of this one is not looked at: they interrupt it, and it has not left the kernel
//! for longer than it takes to be interrupted. Time is not charged where the budget that it is
//! charged to stays the same. `docs/kernel.md` has the argument, case by case.
//!
//! `look` is what they look at, `message` are calls, replies and faults, `exit` is what guests do,
//! `signal` are signals.

mod exit;
mod look;
mod message;
mod signal;

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::object::execution::ExecutionRef;
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::message::REGISTER_WORDS;
use abi::{CallNumber, ObjectKind, Rights};

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

/// A thread that goes on behind its system call, whose status is 0, with results that the kernel
/// made: of a fault, an exit, or a signal.
pub struct Message<'e, A: Arch> {
    /// The thread that goes on.
    pub to: &'e Thread<A>,
    /// Results 1 to 6.
    pub words: [u64; REGISTER_WORDS],
    /// The information word.
    pub info: u64,
    /// Result 7.
    pub badge: u64,
    /// Result 8.
    pub sequence: u64,
}

/// How a core leaves a fast path.
pub enum Fast<'e, A: Arch> {
    /// To a thread behind its system call, with words of another thread.
    Behind(Resume<'e, A>),
    /// To a thread behind its system call, with words of the kernel.
    Message(Message<'e, A>),
    /// To a thread, with all of its registers.
    Thread(&'e Thread<A>),
    /// To a guest, whose general registers are in the page at this physical address.
    Guest(&'e Vcpu<A>, u64),
}

/// Bits of the information word that say how many words and capabilities there are.
const SHAPE: u64 = 0x3ff;
/// Bits of the information word that say what a message is.
const KIND: u64 = 0x3f << 10;

/// The rights that the calls need.
const CALL: Rights = Rights::new().with_call(true);
const RECEIVE: Rights = Rights::new().with_receive(true);
const SIGNAL: Rights = Rights::new().with_signal(true);

/// A system call: who makes it, and its information word.
type Call<'e, A> = (ExecutionRef, &'e Thread<A>, u64);

/// Whether fast paths are taken: a kernel with the feature `general-only` has none.
const TAKEN: bool = !cfg!(feature = "general-only");

impl<A: Arch> Visit<'_, A> {
    /// Makes a system call of the current thread if it is one of the most frequent; `None` leaves all
    /// as it was, for [`Visit::fast_rare_call`]. It calls no function, so that no register has to be
    /// put aside.
    #[inline(always)]
    pub fn fast_call(&self) -> Option<Fast<'_, A>> {
        if !TAKEN {
            return None;
        }
        let item = self.core.current.get()?;
        let thread = self.entry.look(item.cast::<Thread<A>>())?;
        let word = thread.frame.call_word();
        let is = |number: CallNumber| word & 0xff == number as u64;
        if is(CallNumber::Call) {
            let found = self.fast_slot(thread, ObjectKind::Endpoint, CALL)?;
            self.fast_send::<false>((item, thread, word >> 32), found)
        } else if is(CallNumber::ReplyReceive) {
            self.fast_reply_receive::<false>((item, thread, word >> 32), None)
        } else if is(CallNumber::Signal) {
            let found = self.fast_slot(thread, ObjectKind::Notification, SIGNAL)?;
            self.fast_signal(thread, found)
        } else if is(CallNumber::Identify) {
            self.fast_version(thread)
        } else {
            None
        }
    }

    /// Makes a system call of the current thread if it is one of those that are a little more to do:
    /// long messages, servers on a budget of their own, answers to faults and exits, and signals that
    /// wake. `None` leaves all as it was, for [`Visit::handle`].
    #[inline(always)]
    pub fn fast_rare_call(&self) -> Option<Fast<'_, A>> {
        if !TAKEN {
            return None;
        }
        let item = self.core.current.get()?;
        let thread = self.entry.look(item.cast::<Thread<A>>())?;
        let word = thread.frame.call_word();
        let call = (item, thread, word >> 32);
        let number = CallNumber::from_number(word & 0xff)?;
        let (kind, need) = match number {
            CallNumber::Call => (ObjectKind::Endpoint, CALL),
            CallNumber::ReplyReceive => (ObjectKind::Endpoint, RECEIVE),
            CallNumber::Signal => (ObjectKind::Notification, SIGNAL),
            _ => return None,
        };
        let found = self.fast_slot(thread, kind, need)?;
        match number {
            CallNumber::Call => self.fast_send::<true>(call, found),
            CallNumber::ReplyReceive => self.fast_reply_receive::<true>(call, Some(found)),
            _ => self.fast_wake((item, thread), found),
        }
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
}
