//! More threads in the same process.

use crate::block::ThreadBlock;
use crate::memory::{CapTable, Frame, Space};
use crate::thread::{Budget, Thread};
use crate::{stack, sys};
use abi::Error;
use abi::call::Binding;
use core::cell::UnsafeCell;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};

/// Name of the grant of a process that serves its clients on its own budgets.
pub const OWN_BUDGET: &str = "own-budget";

/// What a thread that does not exist yet is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Its space: the process's.
    pub space: Space,
    /// Its capability table.
    pub table: CapTable,
    /// Its budget, of its core.
    pub budget: Budget,
    /// Its message page and where that is mapped.
    pub message_page: Option<(Frame, u64)>,
    /// Its priority.
    pub priority: u64,
    /// Its index in the process, from 1.
    pub index: u64,
}

/// What a thread needs of its own beside a stack: its block. Declared as a static.
#[derive(Debug)]
pub struct Seat {
    block: ThreadBlock,
    taken: AtomicBool,
}

impl Seat {
    /// Returns a free seat.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            block: ThreadBlock::new(0, 0, 0),
            taken: AtomicBool::new(false),
        }
    }

    /// Binds and starts `thread` here, on the stack that ends at `stack`, a multiple of 16 that the
    /// caller vouches for: it runs `entry(argument)` and stops when that returns.
    ///
    /// # Errors
    ///
    /// The kernel's, and `SlotOccupied` where the seat has a thread already.
    pub(crate) fn start(
        &'static self,
        thread: Thread,
        plan: &Plan,
        (entry, argument): (fn(u64), u64),
        stack: u64,
    ) -> Result<(), Error> {
        if self.taken.swap(true, Acquire) {
            return Err(Error::SlotOccupied);
        }
        let address = plan.message_page.map_or(0, |(_, address)| address);
        self.block.describe(address, plan.index, thread.bits());
        self.block.entry.store(entry as usize as u64, Relaxed);
        self.block.argument.store(argument, Release);
        self.bind_and_start(thread, plan, stack)
            .inspect_err(|_| self.taken.store(false, Release))
    }

    /// Makes the calls that let the thread run.
    fn bind_and_start(&'static self, thread: Thread, plan: &Plan, stack: u64) -> Result<(), Error> {
        thread.bind(Binding::Space, Some(plan.space.capability()))?;
        thread.bind(Binding::CapTable, Some(plan.table.capability()))?;
        if crate::grant::value(OWN_BUDGET).is_some() {
            thread.bind_own_budget(plan.budget)?;
        } else {
            thread.bind(Binding::Budget, Some(plan.budget.capability()))?;
        }
        if let Some((frame, _)) = plan.message_page {
            thread.bind(Binding::MessagePage, Some(frame.capability()))?;
        }
        thread.set_priority(plan.priority)?;
        thread.run(sys::thread_entry(), stack, &raw const self.block as u64)
    }
}

impl Default for Seat {
    fn default() -> Self {
        Self::new()
    }
}

/// A seat with a stack. Declared as a static.
#[repr(C, align(16))]
pub struct ThreadPlace<const STACK: usize> {
    stack: UnsafeCell<[u8; STACK]>,
    seat: Seat,
    painted: AtomicBool,
}

// SAFETY: the stack is used by the one thread that the place was taken for, and read word by word
// for its mark; the rest is atomic.
unsafe impl<const STACK: usize> Sync for ThreadPlace<STACK> {}

impl<const STACK: usize> ThreadPlace<STACK> {
    /// Returns a free place.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(STACK.is_multiple_of(16), "a stack ends on a multiple of 16") };
        Self {
            stack: UnsafeCell::new([0; STACK]),
            seat: Seat::new(),
            painted: AtomicBool::new(false),
        }
    }

    /// Binds and starts `thread` here: it runs `entry(argument)` and stops when that returns.
    ///
    /// # Errors
    ///
    /// The kernel's, and `SlotOccupied` where the place has a thread already.
    pub fn start(
        &'static self,
        thread: Thread,
        plan: &Plan,
        entry: fn(u64),
        argument: u64,
    ) -> Result<(), Error> {
        let (bottom, top) = self.stack();
        if !self.painted.swap(true, Relaxed) {
            // SAFETY: no thread ran on this stack, which is part of a static.
            unsafe { stack::paint(bottom, top) };
        }
        self.seat.start(thread, plan, (entry, argument), top)
    }

    /// Returns where the stack begins and ends.
    fn stack(&self) -> (u64, u64) {
        let bottom = self.stack.get() as u64;
        (bottom, bottom + STACK as u64)
    }

    /// Returns how much of the stack all threads used that were started here, or `None` where there
    /// was none.
    #[must_use]
    pub fn mark(&'static self) -> Option<stack::Mark> {
        let (bottom, top) = self.stack();
        // SAFETY: the stack is part of a static.
        let mark = || unsafe { stack::measure(bottom, top) };
        self.painted.load(Relaxed).then(mark)
    }

    /// Deletes the thread of this place, where it still exists, and frees the place.
    pub fn reclaim(&self) {
        let thread = abi::SlotAddress::from_bits(self.seat.block.thread_slot());
        let _ = Thread::at(thread).capability().delete();
        self.seat.taken.store(false, Release);
    }

    /// Returns whether a thread was started here and not reclaimed.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.seat.taken.load(Relaxed)
    }
}

impl<const STACK: usize> Default for ThreadPlace<STACK> {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs the function that a spawned thread was made for; entered with the thread pointer set.
pub(crate) extern "C" fn begin_thread(block: &'static ThreadBlock) -> ! {
    let argument = block.argument.load(Acquire);
    let entry = block.entry.load(Relaxed) as usize as *const ();
    // SAFETY: `start` stored a `fn(u64)` there before the thread was started.
    let entry = unsafe { core::mem::transmute::<*const (), fn(u64)>(entry) };
    entry(argument);
    exit()
}

/// Stops the thread that runs, for good.
pub fn exit() -> ! {
    let own = abi::SlotAddress::from_bits(crate::block::thread_slot());
    let _ = Thread::at(own).stop();
    sys::halt()
}
