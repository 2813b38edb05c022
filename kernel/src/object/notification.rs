//! Notification: a word of signal bits.

use crate::object::execution::Execution;
use crate::word::{Link, Word};
use core::sync::atomic::Ordering;
use zerocopy::FromBytes;

/// A word of signal bits. Bits are set from every core; waiters are on one.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Notification {
    /// The core of its waiters.
    pub core: Word,
    /// The bits that were signalled and not received.
    pub bits: Word,
    /// The thread in `Wait`.
    pub waiter: Link<Execution>,
    /// The thread that it is bound to.
    pub bound: Link<Execution>,
    /// Next in the inbox of its core.
    pub inbox_next: Word,
    /// 1 while it is in an inbox.
    pub inbox_queued: Word,
}

impl Notification {
    /// Takes the bits that were signalled.
    pub fn take_bits(&self) -> u64 {
        if self.bits.get() == 0 {
            return 0;
        }
        self.bits.shared().swap(0, Ordering::AcqRel)
    }
}
