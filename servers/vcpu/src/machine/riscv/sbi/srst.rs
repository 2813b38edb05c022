//! SRST (section 10).

use super::{Answer, Call, SbiError};
use crate::lifecycle::LifecycleEvent;
use crate::machine::riscv::Riscv;
use crate::{Effects, EndReason, RebootKind};

impl Riscv {
    /// Performs a call of SRST; it returns only where it is refused.
    #[cold]
    #[inline(never)]
    pub(super) fn srst<E: Effects>(&mut self, call: Call, effects: &mut E) -> Answer {
        let [kind, reason] = call.arguments(effects);
        if call.function != 0 {
            return Err(SbiError::NotSupported).into();
        }
        let reason = match reason as u32 {
            0 => EndReason::None,
            1 => EndReason::SystemFailure,
            _ => return Err(SbiError::InvalidParameter).into(),
        };
        let event = match kind as u32 {
            0 => LifecycleEvent::PowerOff(reason),
            1 => LifecycleEvent::Reboot(RebootKind::Cold, reason),
            2 => LifecycleEvent::Reboot(RebootKind::Warm, reason),
            _ => return Err(SbiError::InvalidParameter).into(),
        };
        self.step_lifecycle(Some(call.vcpu), event, effects);
        Answer::Stop
    }
}
