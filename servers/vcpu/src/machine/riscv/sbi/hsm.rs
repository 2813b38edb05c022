//! HSM (section 9).

use super::{Answer, Call, SbiError};
use crate::machine::riscv::hart::{HartAction, HartEvent};
use crate::machine::riscv::{Riscv, Trouble};
use crate::{Effects, FenceKind, VcpuId, VcpuSet};

/// Suspend type: default retentive.
const RETENTIVE: u32 = 0;
/// Suspend type: default non-retentive.
const NON_RETENTIVE: u32 = 0x8000_0000;

impl Riscv {
    /// Performs a call of HSM.
    pub(super) fn hsm<E: Effects>(
        &mut self,
        call: Call,
        effects: &mut E,
    ) -> Result<Answer, Trouble> {
        let [first, ..] = call.arguments;
        match call.function {
            0 => self.hart_start(call, effects),
            1 => Ok(self.hart_stop(call.vcpu)),
            2 => {
                let hart = self.hart(first).ok_or(SbiError::InvalidParameter);
                Ok(hart.map(super::super::hart::Hart::status).into())
            }
            3 => Ok(hart_suspend(first as u32)),
            _ => Ok(Err(SbiError::NotSupported).into()),
        }
    }

    /// Starts a hart.
    fn hart_start<E: Effects>(&mut self, call: Call, effects: &mut E) -> Result<Answer, Trouble> {
        let [hart, entry, argument, ..] = call.arguments;
        let (Some(_), Some(vcpu)) = (
            self.hart(hart),
            usize::try_from(hart).ok().and_then(VcpuId::new),
        ) else {
            return Ok(Err(SbiError::InvalidParameter).into());
        };
        if !entry.is_multiple_of(2) || !self.memory.contains(entry, 2) {
            return Ok(Err(SbiError::InvalidAddress).into());
        }
        if self.step_hart(vcpu, HartEvent::StartRequest) != HartAction::Start {
            return Ok(Err(SbiError::AlreadyAvailable).into());
        }
        Self::prepare(vcpu, entry, argument, effects)?;
        // Fences that it missed while it was stopped.
        effects.fence(VcpuSet::EMPTY.with(vcpu), FenceKind::All);
        if effects.start(vcpu) {
            self.step_hart(vcpu, HartEvent::Running);
        }
        Ok(Ok(0).into())
    }

    /// Stops the calling hart.
    fn hart_stop(&mut self, vcpu: VcpuId) -> Answer {
        match self.step_hart(vcpu, HartEvent::StopRequest) {
            HartAction::Park => Answer::Stop,
            HartAction::None | HartAction::Start | HartAction::Refuse => {
                Err(SbiError::Failed).into()
            }
        }
    }
}

/// Refuses to suspend the calling hart: nobody here hears of the interrupt that would wake it, and
/// one that returned at once would never be seen suspended. Guests that want to wait have wfi.
fn hart_suspend(kind: u32) -> Answer {
    match kind {
        RETENTIVE | NON_RETENTIVE => Err(SbiError::NotSupported).into(),
        _ => Err(SbiError::InvalidParameter).into(),
    }
}
