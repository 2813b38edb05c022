//! Vcpu: a virtual processor of a guest.

use crate::arch::Arch;
use crate::cap::Slot;
use crate::object::execution::Execution;
use crate::word::Word;
use abi::exit::{EXIT_CLASSES, MAX_ROUTES};
use zerocopy::FromBytes;

/// Slot of the guest space.
pub const GUEST_SPACE: usize = 0;
/// Slot of the register page.
pub const REGISTER_PAGE: usize = 1;
/// Slot of the budget.
pub const BUDGET: usize = 2;
/// First slot of the exit routes, by class.
pub const EXITS: usize = 3;
/// First slot of the device routes, by index.
pub const DEVICES: usize = EXITS + EXIT_CLASSES;
/// Slots of a vCPU.
pub const SLOTS: usize = DEVICES + MAX_ROUTES;

/// A virtual processor of a guest.
#[derive(FromBytes)]
#[repr(C, align(4096))]
pub struct Vcpu<A: Arch> {
    /// Scheduling and calls.
    pub execution: [Execution; 1],
    /// What is bound to it, and its routes.
    pub slots: [Slot; SLOTS],
    /// Lines that were raised (low half) and lowered (high half) since it last looked.
    pub changes: Word,
    /// Lines that are raised.
    pub lines: Word,
    /// 1 while its core is in its guest: an injector must interrupt that core.
    pub in_guest: Word,
    /// Kinds of flushes that were asked for, one bit each, since it last looked.
    pub flushes: Word,
    /// 1 while an exit waits to be consumed.
    pub exit_pending: Word,
    /// 1 while a guest runs in it, from resume to stop.
    pub started: Word,
    /// The guest's timer, where the machine has none for guests: kept by `VcpuWrite`.
    pub counts: [Word; 3],
    /// Exits sent to servers, by class.
    pub class_counts: [Word; EXIT_CLASSES],
    /// Accesses sent straight to device servers.
    pub access_count: Word,
    /// The access that a device server is answering.
    pub access: Word,
    /// The route of its last access.
    pub route: Word,
    /// Everything else of the guest.
    pub guest: A::Guest,
}

impl<A: Arch> Vcpu<A> {
    /// Returns scheduling and calls.
    #[inline(always)]
    pub fn execution(&self) -> &Execution {
        let [execution] = &self.execution;
        execution
    }

    /// Returns the slot with the guest space.
    #[inline(always)]
    pub fn guest_space(&self) -> &Slot {
        let [space, ..] = &self.slots;
        space
    }

    /// Returns the slot with the register page.
    #[inline(always)]
    pub fn register_page(&self) -> &Slot {
        let [_, page, ..] = &self.slots;
        page
    }
}
