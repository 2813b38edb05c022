//! More threads in the same process.

use crate::block::ThreadBlock;
use crate::memory::{CapTable, Frame, Space};
use crate::sys;
use crate::thread::{Budget, Thread};
use abi::Error;
use abi::call::Binding;
use core::cell::UnsafeCell;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};

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

/// A place for a thread: its block and its stack. Declared as a static.
#[repr(C, align(16))]
pub struct ThreadPlace<const STACK: usize> {
    stack: UnsafeCell<[u8; STACK]>,
    block: ThreadBlock,
    taken: AtomicBool,
}

// SAFETY: the stack is used by the one thread that the place was taken for; the rest is atomic.
unsafe impl<const STACK: usize> Sync for ThreadPlace<STACK> {}

impl<const STACK: usize> ThreadPlace<STACK> {
    /// Returns a free place.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(STACK.is_multiple_of(16), "a stack ends on a multiple of 16") };
        Self {
            stack: UnsafeCell::new([0; STACK]),
            block: ThreadBlock::new(0, 0, 0),
            taken: AtomicBool::new(false),
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
        if self.taken.swap(true, Acquire) {
            return Err(Error::SlotOccupied);
        }
        let address = plan.message_page.map_or(0, |(_, address)| address);
        self.block.describe(address, plan.index, thread.bits());
        self.block.entry.store(entry as usize as u64, Relaxed);
        self.block.argument.store(argument, Release);
        self.bind_and_start(thread, plan)
            .inspect_err(|_| self.taken.store(false, Release))
    }

    /// Makes the calls that let the thread run.
    fn bind_and_start(&'static self, thread: Thread, plan: &Plan) -> Result<(), Error> {
        thread.bind(Binding::Space, Some(plan.space.capability()))?;
        thread.bind(Binding::CapTable, Some(plan.table.capability()))?;
        thread.bind(Binding::Budget, Some(plan.budget.capability()))?;
        if let Some((frame, _)) = plan.message_page {
            thread.bind(Binding::MessagePage, Some(frame.capability()))?;
        }
        thread.set_priority(plan.priority)?;
        let stack = self.stack.get() as u64 + STACK as u64;
        thread.run(sys::thread_entry(), stack, &raw const self.block as u64)
    }

    /// Deletes the thread of this place, where it still exists, and frees the place.
    pub fn reclaim(&self) {
        let thread = abi::SlotAddress::from_bits(self.block.thread_slot());
        let _ = Thread::at(thread).capability().delete();
        self.taken.store(false, Release);
    }

    /// Returns whether a thread was started here and not reclaimed.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.taken.load(Relaxed)
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
