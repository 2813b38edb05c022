//! Thread: one flow of control of a process.

use crate::arch::Arch;
use crate::cap::{Role, Slot};
use crate::object::execution::Execution;
use crate::word::Word;
use zerocopy::FromBytes;

/// Binding slots of a thread.
pub const SLOTS: usize = 6;

/// One flow of control of a process.
#[derive(FromBytes)]
#[repr(C, align(2048))]
pub struct Thread<A: Arch> {
    /// Scheduling and calls.
    pub execution: [Execution; 1],
    /// What is bound to it, by role.
    pub slots: [Slot; SLOTS],
    /// Saved registers.
    pub frame: A::Frame,
    /// Start of the range in which a fault resumes elsewhere.
    pub recovery_start: Word,
    /// End of that range.
    pub recovery_end: Word,
    /// Where it resumes.
    pub recovery_target: Word,
}

impl<A: Arch> Thread<A> {
    /// Returns the slot of a role that threads have.
    #[inline(always)]
    pub fn slot(&self, role: Role) -> Option<&Slot> {
        self.slots.get((role as usize).wrapping_sub(1))
    }

    /// Returns the slot with the capability table.
    #[inline(always)]
    pub fn cap_table(&self) -> &Slot {
        let [_, table, ..] = &self.slots;
        table
    }

    /// Returns the slot with the message page.
    #[inline(always)]
    pub fn message_page(&self) -> &Slot {
        let [_, _, page, ..] = &self.slots;
        page
    }

    /// Returns the slot with the address space.
    #[inline(always)]
    pub fn space(&self) -> &Slot {
        let [space, ..] = &self.slots;
        space
    }

    /// Returns scheduling and calls.
    #[inline(always)]
    pub fn execution(&self) -> &Execution {
        let [execution] = &self.execution;
        execution
    }
}
