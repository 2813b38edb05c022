//! What a thread and a vCPU have in common: they are scheduled, and they make and answer calls.

use crate::object::budget::Budget;
use crate::word::{Link, Word};
use abi::message::REGISTER_WORDS;
use arena::Handle;
use zerocopy::FromBytes;

/// Names a thread or a vCPU.
pub type ExecutionRef = Handle<Execution>;

/// What an execution does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// Stopped: a new one, one that was stopped, one that lacks something.
    Stopped = 0,
    /// It can run: it is current or in the ready queue.
    Ready = 1,
    /// Its budget is used up until the next period.
    Exhausted = 2,
    /// In the queue of an endpoint, with a call.
    Calling = 3,
    /// Its call was received; it waits for the reply.
    AwaitingReply = 4,
    /// In the queue of an endpoint, for a message.
    Receiving = 5,
    /// It waits for a notification.
    Waiting = 6,
    /// A vCPU whose guest waits for an interrupt.
    Idle = 7,
    /// A thread that waits for the capability lock; it makes its call again.
    AwaitingLock = 8,
    /// A thread whose call goes on elsewhere: a deletion, a fence, a call on another core.
    Parked = 9,
    /// A vCPU whose exit has no route yet.
    Unrouted = 10,
    /// It is being destroyed.
    Dead = 11,
}

impl State {
    /// Every state, by number.
    const ALL: [Self; 12] = [
        Self::Stopped,
        Self::Ready,
        Self::Exhausted,
        Self::Calling,
        Self::AwaitingReply,
        Self::Receiving,
        Self::Waiting,
        Self::Idle,
        Self::AwaitingLock,
        Self::Parked,
        Self::Unrouted,
        Self::Dead,
    ];
}

/// Flags of an execution.
pub mod flag {
    /// It is a vCPU.
    pub const VCPU: u64 = 1;
    /// Stop it as soon as its parked call is over.
    pub const STOP_REQUESTED: u64 = 2;
    /// The message it calls with was made by the kernel: a fault or an exit.
    pub const KERNEL_MESSAGE: u64 = 4;
    /// It is in the deadline queue.
    pub const TIMED: u64 = 8;
    /// Its receive follows its own reply, which is done.
    pub const REPLIED: u64 = 16;
    /// It is in the ready queue.
    pub const QUEUED: u64 = 32;
    /// It faulted, and its registers may be read and written until the reply.
    pub const FAULTED: u64 = 64;
    /// Its parked call came from another core and runs here.
    pub const SHIPPED: u64 = 128;
    /// Its own budget has a turn.
    pub const TURNS: u64 = 256;
}

/// What a thread and a vCPU have in common. Fields belong to the execution's core, except `inbox`.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Execution {
    state: Word,
    flags: Word,
    /// The core it is bound to.
    pub core: Word,
    /// Its priority.
    pub priority: Word,
    /// Next in the queue that its state says.
    pub next: Link<Execution>,
    /// Previous in that queue.
    pub previous: Link<Execution>,
    /// When it stops waiting, or its budget returns.
    pub deadline: Word,
    /// Next in the deadline queue.
    pub deadline_next: Link<Execution>,
    /// Previous in the deadline queue.
    pub deadline_previous: Link<Execution>,
    /// The budget that it runs on now: its own, or its client's.
    pub budget: Link<Budget>,
    /// Address of the budget that is bound to it, or 0.
    pub own_budget: Word,
    /// The endpoint or notification that it waits at.
    pub waits_at: Word,
    /// The caller that it has not answered yet.
    pub caller: Link<Execution>,
    /// Who answers its call: an execution, or a Reply object.
    pub callee: Word,
    /// Badge of the capability that it called with.
    pub badge: Word,
    /// How many calls led to its present one.
    pub depth: Word,
    /// Sequence number of a vCPU's exits.
    pub sequence: Word,
    /// Shape of the message that the kernel made.
    pub info: Word,
    /// Words of the message that the kernel made.
    pub words: [Word; REGISTER_WORDS],
    /// Next in the inbox of a core.
    pub inbox_next: Word,
    /// 1 while it is in an inbox.
    pub inbox_queued: Word,
    /// The lines that a fence or a forwarded access keeps, and other small state of the owner.
    pub detail: Word,
    /// Cores that have yet to flush for the fence that it waits for.
    pub fence_pending: Word,
}

impl Execution {
    /// Returns the state.
    #[inline(always)]
    pub fn state(&self) -> State {
        let number = usize::try_from(self.state.get()).unwrap_or(usize::MAX);
        State::ALL.get(number).copied().unwrap_or(State::Dead)
    }

    /// Sets the state.
    #[inline(always)]
    pub fn set_state(&self, state: State) {
        self.state.set(state as u64);
    }

    /// Returns whether a flag is set.
    #[inline(always)]
    pub fn has(&self, flag: u64) -> bool {
        self.flags.get() & flag != 0
    }

    /// Returns all flags.
    #[inline(always)]
    pub fn flags(&self) -> u64 {
        self.flags.get()
    }

    /// Sets a flag.
    #[inline(always)]
    pub fn raise(&self, flag: u64) {
        self.flags.set(self.flags.get() | flag);
    }

    /// Clears a flag.
    #[inline(always)]
    pub fn lower(&self, flag: u64) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Sets the words of the message that the kernel makes, one after the other: an array on the
    /// stack costs more than all of these.
    #[inline(always)]
    pub fn set_words(&self, values: [u64; REGISTER_WORDS]) {
        let [first, second, third, fourth, fifth, sixth] = &self.words;
        first.set(values[0]);
        second.set(values[1]);
        third.set(values[2]);
        fourth.set(values[3]);
        fifth.set(values[4]);
        sixth.set(values[5]);
    }

    /// Returns whether it is a vCPU.
    #[inline(always)]
    pub fn is_vcpu(&self) -> bool {
        self.has(flag::VCPU)
    }

    /// Returns the core it is bound to.
    #[inline(always)]
    pub fn core_index(&self) -> usize {
        usize::try_from(self.core.get()).unwrap_or(usize::MAX)
    }
}
