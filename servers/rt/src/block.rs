//! The block behind each thread's thread pointer.

use crate::event::Buffer;
use abi::boot;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a thread knows of itself. The thread pointer holds its address from the thread's first
/// instruction on; the words before the buffer are in this order, for stubs and debuggers.
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
    /// Word 5: slot of the log's endpoint on the thread's core, or 0 before it was looked for.
    log_slot: AtomicU64,
    /// The event that the thread is logging.
    pub(crate) event: Buffer,
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
            log_slot: AtomicU64::new(0),
            event: Buffer::new(),
        }
    }

    /// Describes the thread that will use this block.
    pub(crate) fn describe(&self, message_page: u64, index: u64, thread_slot: u64) {
        self.message_page.store(message_page, Relaxed);
        self.index.store(index, Relaxed);
        self.thread_slot.store(thread_slot, Relaxed);
        self.log_slot.store(0, Relaxed);
    }

    /// Returns the slot of the log's endpoint on the thread's core; the first time, `find` says.
    pub(crate) fn log_slot(&self, find: impl FnOnce() -> u32) -> u32 {
        let known = u32::try_from(self.log_slot.load(Relaxed)).unwrap_or(0);
        if known != 0 {
            return known;
        }
        let slot = find();
        self.log_slot.store(u64::from(slot), Relaxed);
        slot
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

#[cfg(test)]
mod tests {
    use super::ThreadBlock;

    #[test]
    fn the_log_is_looked_for_once() {
        let block = ThreadBlock::new(0, 0, 0);
        assert_eq!(block.log_slot(|| 9), 9);
        assert_eq!(block.log_slot(|| 10), 9);
    }
}
