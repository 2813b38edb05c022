//! Events into the guest: exceptions, as its own instruction would make them (SDM 3A, chapter 6).

use super::registers::write;
use super::{Trouble, X86};
use crate::{Effects, VcpuId};
use x86_regs::one_reg::Register;

/// What a guest takes when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Debug exception.
    Debug,
    /// Invalid opcode.
    InvalidOpcode,
    /// General protection, with error code 0.
    GeneralProtection,
    /// Alignment check.
    AlignmentCheck,
}

impl Event {
    /// Returns the value of the event's register (APM, "Event Injection").
    #[must_use]
    pub const fn register(self) -> u64 {
        const VALID: u64 = 1 << 31;
        const EXCEPTION: u64 = 3 << 8;
        const HAS_ERROR: u64 = 1 << 11;
        VALID
            | EXCEPTION
            | match self {
                Self::Debug => 1,
                Self::InvalidOpcode => 6,
                Self::GeneralProtection => HAS_ERROR | 13,
                Self::AlignmentCheck => HAS_ERROR | 17,
            }
    }
}

impl X86 {
    /// Makes the guest take an event at its instruction.
    #[inline(never)]
    pub(super) fn raise<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        event: Event,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        write(vcpu, (Register::Event, event.register()), effects)?;
        self.metrics.exceptions += 1;
        Ok(())
    }
}
