//! IPI (section 7).

use super::{Call, SbiError, SbiResult};
use crate::machine::riscv::Riscv;
use crate::{Effects, Line, Machine};

impl Riscv {
    /// Performs a call of IPI. Harts that are stopped are not interrupted.
    pub(super) fn ipi<E: Effects>(&mut self, call: Call, effects: &mut E) -> SbiResult {
        let [mask, base, ..] = call.arguments;
        if call.function != 0 {
            return Err(SbiError::NotSupported);
        }
        let targets = self.hart_list(mask, base)?;
        let running = self.running();
        for vcpu in targets.iter().filter(|&vcpu| running.contains(vcpu)) {
            effects.inject(vcpu, Line::Software, true);
        }
        Ok(0)
    }
}
