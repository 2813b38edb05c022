//! The block behind each thread's thread pointer.

use abi::boot;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a thread knows of itself. The thread pointer holds its address from the thread's first
/// instruction on; the words are in this order, for stubs and debuggers.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct ThreadBlock {
    /// Word 0: address of the thread's message page, or 0 where it has none.
    message_page: AtomicU64,
    /// Word 1: index of the thread in its process; the first is 0.
    index: AtomicU64,
    /// Word 2: slot of the thread's own capability, or 0.
    thread_slot: AtomicU64,
    /// Word 3: address of the function that the thread was made for.
    pub(crate) entry: AtomicU64,
    /// Word 4: argument of that function.
    pub(crate) argument: AtomicU64,
}

/// The block of the process's first thread.
pub(crate) static MAIN_BLOCK: ThreadBlock =
    ThreadBlock::new(boot::MESSAGE_PAGE, 0, boot::SLOT_THREAD as u64);

impl ThreadBlock {
    /// Returns the block of a thread that has not started.
    #[must_use]
    pub(crate) const fn new(message_page: u64, index: u64, thread_slot: u64) -> Self {
        Self {
            message_page: AtomicU64::new(message_page),
            index: AtomicU64::new(index),
            thread_slot: AtomicU64::new(thread_slot),
            entry: AtomicU64::new(0),
            argument: AtomicU64::new(0),
        }
    }

    /// Describes the thread that will use this block.
    pub(crate) fn describe(&self, message_page: u64, index: u64, thread_slot: u64) {
        self.message_page.store(message_page, Relaxed);
        self.index.store(index, Relaxed);
        self.thread_slot.store(thread_slot, Relaxed);
    }

    /// Returns the slot of the thread, or 0.
    pub(crate) fn thread_slot(&self) -> u64 {
        self.thread_slot.load(Relaxed)
    }

    /// Returns the address of the message page, or 0.
    pub(crate) fn message_page(&self) -> u64 {
        self.message_page.load(Relaxed)
    }
}

/// Returns the index of the thread that runs; the first is 0.
#[must_use]
pub fn thread_index() -> u64 {
    crate::sys::block().index.load(Relaxed)
}

/// Returns the slot of the capability of the thread that runs, or 0 where it has none.
#[must_use]
pub fn thread_slot() -> u64 {
    crate::sys::block().thread_slot.load(Relaxed)
}
