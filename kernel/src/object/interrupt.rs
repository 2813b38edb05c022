//! Interrupt: one physical interrupt line.

use crate::cap::Slot;
use crate::word::Word;
use zerocopy::FromBytes;

/// One physical interrupt line.
#[derive(FromBytes)]
#[repr(C, align(128))]
pub struct Interrupt {
    /// The notification that it signals.
    pub binding: [Slot; 1],
    /// The line's number.
    pub line: Word,
    /// 1 while a capability to it exists.
    pub taken: Word,
    /// 1 while it waits to be acknowledged.
    pub masked: Word,
    unused: [u64; 5],
}

impl Interrupt {
    /// Returns the number of the line.
    pub fn number(&self) -> u32 {
        u32::try_from(self.line.get()).unwrap_or(0)
    }
}
