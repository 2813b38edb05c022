//! IPI (section 7).

use super::{Call, SbiError, SbiResult};
use crate::machine::riscv::Riscv;
use crate::{Effects, Line};

impl Riscv {
    /// Performs a call of IPI. Harts that are stopped are not interrupted.
    #[inline]
    pub(super) fn ipi<E: Effects>(&mut self, call: Call, effects: &mut E) -> SbiResult {
        let [mask, base] = call.arguments(effects);
        if call.function != 0 {
            return Err(SbiError::NotSupported);
        }
        let targets = self.hart_list(mask, base)?;
        for vcpu in targets.iter().filter(|vcpu| self.runs(*vcpu)) {
            effects.inject(vcpu, Line::Software, true);
        }
        Ok(0)
    }
}
