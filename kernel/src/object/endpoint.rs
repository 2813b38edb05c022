//! Endpoint: where calls meet their server.

use crate::object::execution::Execution;
use crate::word::{Link, Word};
use zerocopy::FromBytes;

/// A queue of executions: first and last.
#[derive(FromBytes)]
#[repr(C)]
pub struct Queue {
    /// The first.
    pub first: Link<Execution>,
    /// The last.
    pub last: Link<Execution>,
}

impl Queue {
    /// Makes an empty queue.
    pub(crate) const fn new() -> Self {
        Self {
            first: Link::none(),
            last: Link::none(),
        }
    }

    /// Returns whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }
}

/// Where calls meet their server. Callers and receivers are never there at the same time.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Endpoint {
    /// The core it is bound to.
    pub core: Word,
    /// Executions with a call, by priority, first come first served within one.
    pub callers: Queue,
    /// Threads that wait for a message.
    pub receivers: Queue,
}
