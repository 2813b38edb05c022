//! Lists of harts (section 3.1).

use super::SbiError;
use crate::machine::riscv::Riscv;
use crate::{VcpuId, VcpuSet};

impl Riscv {
    /// Returns the harts that a mask and its base name; base -1 is all of them.
    pub(super) fn hart_list(&self, mask: u64, base: u64) -> Result<VcpuSet, SbiError> {
        if base == u64::MAX {
            return Ok(self.all());
        }
        let all = self.all();
        let first = usize::try_from(base).ok().and_then(VcpuId::new);
        if !first.is_some_and(|first| all.contains(first)) {
            return Err(SbiError::InvalidParameter);
        }
        let bits = mask << base;
        let set = VcpuSet::from_bits(bits);
        // Bits that fell off the end name harts that do not exist.
        if bits >> base != mask || !set.is_subset(all) {
            return Err(SbiError::InvalidParameter);
        }
        Ok(set)
    }
}
