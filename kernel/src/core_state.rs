//! What the kernel knows of one core.

use crate::object::budget::Budget;
use crate::object::endpoint::Queue;
use crate::object::execution::Execution;
use crate::word::{Link, Word};

/// What the kernel knows of one core. Only that core writes it, but for `inbox`. What is looked at
/// most comes first: short offsets make short instructions on x86.
#[repr(C, align(128))]
pub struct CoreState {
    /// The execution that runs; it is in no queue.
    pub current: Link<Execution>,
    /// The budget that time is charged to.
    pub budget: Link<Budget>,
    /// When charging began.
    pub since: Word,
    /// Priorities with ready executions, one bit each.
    pub ready_bits: Word,
    /// Executions that wait for a time, earliest first.
    pub deadlines: Link<Execution>,
    /// The deadline that the timer is set to.
    pub timer: Word,
    /// Threads that wait for the capability lock.
    pub lock_waiters: Queue,
    /// 1 when something happened that the scheduler has to look at.
    pub unsettled: Word,
    /// What the call that is made now has done, in instructions, about.
    pub work: Word,
    /// The vCPU whose state is in this core.
    pub loaded_guest: Link<Execution>,
    /// The address space in this core: address of its `AddressSpace`, or 0.
    pub loaded_space: Word,
    /// Ready executions, by priority.
    pub ready: [Queue; abi::PRIORITIES],
    /// What other cores ask of this one; a line of its own.
    pub inbox: Inbox,
}

/// A stack of objects that other cores want this one to look at.
#[repr(align(128))]
pub struct Inbox {
    /// Address of the newest entry, or 0.
    pub first: Word,
    /// 1 when waiters for the capability lock are to try again.
    pub lock_released: Word,
}

impl CoreState {
    /// Makes the state of a core that has not run yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            current: Link::none(),
            budget: Link::none(),
            since: Word::new(0),
            ready_bits: Word::new(0),
            ready: [const { Queue::new() }; abi::PRIORITIES],
            deadlines: Link::none(),
            timer: Word::new(u64::MAX),
            lock_waiters: Queue::new(),
            unsettled: Word::new(0),
            work: Word::new(0),
            loaded_guest: Link::none(),
            loaded_space: Word::new(0),
            inbox: Inbox {
                first: Word::new(0),
                lock_released: Word::new(0),
            },
        }
    }
}

impl Default for CoreState {
    fn default() -> Self {
        Self::new()
    }
}
