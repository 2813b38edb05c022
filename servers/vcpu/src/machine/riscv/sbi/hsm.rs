//! HSM (section 9).

use super::{Answer, Call, SbiError, SbiResult};
use crate::machine::riscv::hart::{Hart, HartAction, HartEvent};
use crate::machine::riscv::{Riscv, Trouble};
use crate::{Effects, FenceKind, VcpuId, VcpuSet};
use riscv_regs::Gpr;

/// Suspend type: default retentive.
const RETENTIVE: u32 = 0;
/// Suspend type: default non-retentive.
const NON_RETENTIVE: u32 = 0x8000_0000;

impl Riscv {
    /// Performs a call of HSM.
    #[inline(never)]
    pub(super) fn hsm<E: Effects>(
        &mut self,
        call: Call,
        effects: &mut E,
    ) -> Result<Answer, Trouble> {
        match call.function {
            0 => self.hart_start(call, effects),
            1 => Ok(self.hart_stop(call.vcpu)),
            2 => Ok(self.hart_get_status(call, effects).into()),
            3 => self.hart_suspend(call, effects),
            _ => Ok(Err(SbiError::NotSupported).into()),
        }
    }

    /// Starts a hart.
    fn hart_start<E: Effects>(&mut self, call: Call, effects: &mut E) -> Result<Answer, Trouble> {
        let [hart, entry, argument] = call.arguments(effects);
        let (Some(_), Some(vcpu)) = (
            self.hart(hart),
            usize::try_from(hart).ok().and_then(VcpuId::new),
        ) else {
            return Ok(Err(SbiError::InvalidParameter).into());
        };
        if !self.is_entry(entry) {
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

    /// Returns the status of a hart.
    fn hart_get_status<E: Effects>(&self, call: Call, effects: &mut E) -> SbiResult {
        let [hart] = call.arguments(effects);
        let state = self.hart(hart).ok_or(SbiError::InvalidParameter)?;
        let vcpu = usize::try_from(hart).ok().and_then(VcpuId::new);
        let is_idle = state == Hart::Suspended && vcpu.is_some_and(|vcpu| effects.is_idle(vcpu));
        Ok(state.status(is_idle))
    }

    /// Suspends the calling hart until an interrupt that it enabled is pending, whether it takes
    /// interrupts or not: as `wfi` does, and served by the kernel as that is. A retentive one returns
    /// then; any other goes on at an address, as a hart that starts, but for the interrupts that it
    /// enabled and its timer.
    fn hart_suspend<E: Effects>(&mut self, call: Call, effects: &mut E) -> Result<Answer, Trouble> {
        let [kind, entry, argument] = call.arguments(effects);
        match kind as u32 {
            RETENTIVE => {}
            NON_RETENTIVE if !self.is_entry(entry) => {
                return Ok(Err(SbiError::InvalidAddress).into());
            }
            NON_RETENTIVE => Self::enter(call.vcpu, entry, effects)?,
            _ => return Ok(Err(SbiError::InvalidParameter).into()),
        }
        let (first, second) = match kind as u32 {
            RETENTIVE => (0, 0),
            _ => (call.vcpu.index() as u64, argument),
        };
        effects.set_general(call.vcpu, Gpr::A0.number(), first);
        effects.set_general(call.vcpu, Gpr::A1.number(), second);
        self.step_hart(call.vcpu, HartEvent::SuspendRequest);
        Ok(Answer::Suspend)
    }

    /// Returns whether a hart can start at an address: an instruction in memory.
    fn is_entry(&self, address: u64) -> bool {
        address.is_multiple_of(2) && self.memory.contains(address, 2)
    }
}
