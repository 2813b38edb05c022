//! Reply: a caller that waits for its answer.

use crate::object::execution::Execution;
use crate::word::{Link, Word};
use zerocopy::FromBytes;

/// A caller that was put aside.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Reply {
    /// The core it is bound to.
    pub core: Word,
    /// The caller.
    pub caller: Link<Execution>,
}
