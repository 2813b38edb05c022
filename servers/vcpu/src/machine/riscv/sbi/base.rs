//! BASE (section 4).

use super::{Call, Extension, SbiError, SbiResult};
use crate::Effects;
use crate::machine::riscv::Riscv;

/// Version of the specification: major in bits 30:24, minor in 23:0.
pub const SPECIFICATION: u64 = 2 << 24;
/// This implementation's id; not registered, so far above the registered ones.
pub const IMPLEMENTATION: u64 = 0xff5b;
/// Version of this implementation.
const IMPLEMENTATION_VERSION: u64 = 1;

impl Riscv {
    /// Performs a call of BASE; none of them fails.
    #[inline]
    pub(super) fn base<E: Effects>(&self, call: Call, effects: &mut E) -> SbiResult {
        match call.function {
            0 => Ok(SPECIFICATION),
            1 => Ok(IMPLEMENTATION),
            2 => Ok(IMPLEMENTATION_VERSION),
            3 => {
                let [extension] = call.arguments(effects);
                Ok(Extension::from_id(extension).is_some().into())
            }
            4 => Ok(self.identity.vendor),
            5 => Ok(self.identity.architecture),
            6 => Ok(self.identity.implementation),
            _ => Err(SbiError::NotSupported),
        }
    }
}
