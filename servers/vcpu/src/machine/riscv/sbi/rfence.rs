//! RFENCE (section 8).

use super::{Call, SbiError, SbiResult};
use crate::machine::riscv::Riscv;
use crate::{Effects, FenceKind};

impl Riscv {
    /// Performs a call of RFENCE. Ranges and address spaces are flushed as a whole; the calls for
    /// hypervisors do not exist, for the guest's harts have no H.
    #[inline]
    pub(super) fn rfence<E: Effects>(&mut self, call: Call, effects: &mut E) -> SbiResult {
        let [mask, base, start, size] = call.arguments(effects);
        let kind = match call.function {
            0 => FenceKind::Instructions,
            1 | 2 => FenceKind::All,
            _ => return Err(SbiError::NotSupported),
        };
        let targets = self.hart_list(mask, base)?;
        let everything = size == u64::MAX || (start == 0 && size == 0);
        if kind == FenceKind::All && !everything && start.checked_add(size).is_none() {
            return Err(SbiError::InvalidAddress);
        }
        // A stopped hart starts with nothing in its translation caches that matters: satp is 0.
        let running = self.running_of(targets);
        if !running.is_empty() {
            effects.fence(running, kind);
        }
        Ok(0)
    }
}
