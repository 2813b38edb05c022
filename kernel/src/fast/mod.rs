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
//! `signal` are signals, `memory` is mapping and unmapping, `vcpu` are lines and registers of guests.

mod exit;
mod look;
pub(crate) mod memory;
mod message;
mod signal;
mod vcpu;

use crate::Visit;
use crate::arch::Arch;
use crate::cap::right::CONTROL;
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::message::REGISTER_WORDS;
use abi::{CallNumber, ObjectKind, Rights};

/// A thread that goes on behind its system call, whose status is 0, with words of another's.
pub struct Resume<'e, A: Arch> {
    /// The thread that made the call, of which arguments 1 to 6 are results 1 to 6.
    pub from: &'e Thread<A>,
    /// The thread that goes on.
    pub to: &'e Thread<A>,
    /// The information word.
    pub info: u64,
    /// Result 7. Result 8 is 0.
    pub badge: u64,
}

/// A thread that goes on behind its system call, whose status is 0, with results that the kernel
/// made: of a fault, an exit, a signal, or its own call.
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
/// Returns whether a message is more than words in registers.
#[inline(always)]
#[must_use]
pub const fn is_long(info: u64) -> bool {
    info as u16 > REGISTER_WORDS as u16
}

/// Bits of the information word that say what a message is.
const KIND: u64 = 0x3f << 10;

/// The pins of what is looked at, by what happens: an object that takes part in it each time is
/// looked at once, until this core acknowledges the next round.
const CALLS: usize = 0;
const REPLIES: usize = 1;
pub(crate) const SIGNALS: usize = 2;
/// Pin 3 is `CURRENT`. A guest's access to a device has pins of its own, for its server takes turns
/// with the vCPU's: one decodes the access that the other makes.
const DEVICE_CALLS: usize = 4;
const DEVICE_REPLIES: usize = 5;
/// What the notes behind those of what calls name are about: spaces, by the same numbers.
const SPACES: usize = arena::PINS;
/// And behind those pairs of budgets, what goes over from one to the other.
const BUDGETS: usize = 2 * arena::PINS;
/// And the last note is the space that was mapped in.
const MAPS: usize = 3 * arena::PINS;
const _: () = assert!(arena::NOTES == MAPS + 1);

/// The kind of object and the rights that a call needs.
type Need = (ObjectKind, Rights);
const CALL: Need = (ObjectKind::Endpoint, Rights::new().with_call(true));
const RECEIVE: Need = (ObjectKind::Endpoint, Rights::new().with_receive(true));
const SPACE: Need = (ObjectKind::Space, CONTROL);
const GUEST_SPACE: Need = (ObjectKind::GuestSpace, CONTROL);
const INJECT: Need = (ObjectKind::Vcpu, Rights::new().with_inject(true));
const VCPU: Need = (ObjectKind::Vcpu, CONTROL);
const SIGNAL: Need = (ObjectKind::Notification, Rights::new().with_signal(true));

/// A system call: who makes it, and its information word.
type Call<'e, A> = (&'e Thread<A>, u64);

/// Whether fast paths are taken: a kernel with the feature `general-only` has none.
const TAKEN: bool = !cfg!(feature = "general-only");

impl<A: Arch> Visit<'_, A> {
    /// Makes a system call of the current thread, which is `thread`, if it is one of the most
    /// frequent; `None` leaves all as it was. Argument 0 and the call word are given; of the thread's
    /// frame only argument 7 is read, so that a machine can leave all others where they are.
    ///
    /// The first attempt is neither `RARE` nor `LONG`: its messages are in registers, it calls no
    /// function, and it needs so few registers that a machine has to put few aside. A `LONG` one takes
    /// calls and answers of any length. A `RARE` one, behind which is [`Visit::handle`], takes what is
    /// a little more to do too: servers on a budget of their own, answers to faults, and whatever is
    /// looked at for the first time. Answers to exits are [`Visit::fast_answer`]'s.
    #[inline(always)]
    pub fn fast_call<'e, const RARE: bool, const LONG: bool>(
        &'e self,
        thread: &'e Thread<A>,
        [target, word]: [u64; 2],
    ) -> Option<Fast<'e, A>> {
        let call = (thread, word >> 32);
        let is = |number: CallNumber| TAKEN && word & 0xff == number as u64;
        if is(CallNumber::Call) {
            self.fast_send::<RARE, LONG>(call, target)
        } else if is(CallNumber::ReplyReceive) {
            self.fast_reply_receive::<RARE, LONG>(call, target)
        } else if LONG && !RARE {
            None
        } else if is(CallNumber::Signal) {
            self.fast_signal::<RARE, RARE>(thread, target)
        } else if is(CallNumber::Identify) && target == 0 {
            // The version of the ABI, and the core.
            Some(Self::done(thread, [abi::VERSION, self.entry.core() as u64]))
        } else if is(CallNumber::Map) || is(CallNumber::Unmap) {
            self.fast_memory(thread, is(CallNumber::Map))
        } else if RARE {
            let calls = [
                CallNumber::Inject,
                CallNumber::VcpuRead,
                CallNumber::VcpuWrite,
            ];
            let number = calls.into_iter().find(|number| is(*number))?;
            self.fast_vcpu(thread, number)
        } else {
            None
        }
    }

    /// Makes the current thread's signal of what argument 0 names, where somebody waits who is more
    /// urgent: another attempt than the first, for it needs more registers.
    #[inline(always)]
    pub fn fast_wake<'e>(&'e self, thread: &'e Thread<A>, target: u64) -> Option<Fast<'e, A>> {
        self.fast_signal::<false, true>(thread, target)
    }

    /// Returns how a thread goes on whose call is done, with two results.
    #[inline(always)]
    fn done<'e>(thread: &'e Thread<A>, [first, second]: [u64; 2]) -> Fast<'e, A> {
        Fast::Message(Message {
            to: thread,
            words: [first, second, 0, 0, 0, 0],
            info: 0,
            badge: 0,
            sequence: 0,
        })
    }
}
