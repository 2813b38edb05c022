//! BASE (section 4).

use super::{Call, Extension, SbiError, SbiResult};
use crate::machine::riscv::Riscv;

/// Version of the specification: major in bits 30:24, minor in 23:0.
pub const SPECIFICATION: u64 = 2 << 24;
/// This implementation's id; not registered, so far above the registered ones.
pub const IMPLEMENTATION: u64 = 0xff5b;
/// Version of this implementation.
const IMPLEMENTATION_VERSION: u64 = 1;

impl Riscv {
    /// Performs a call of BASE; none of them fails.
    pub(super) fn base(&self, call: Call) -> SbiResult {
        let [argument, ..] = call.arguments;
        match call.function {
            0 => Ok(SPECIFICATION),
            1 => Ok(IMPLEMENTATION),
            2 => Ok(IMPLEMENTATION_VERSION),
            3 => Ok(Extension::from_id(argument).is_some().into()),
            4 => Ok(self.identity.vendor),
            5 => Ok(self.identity.architecture),
            6 => Ok(self.identity.implementation),
            _ => Err(SbiError::NotSupported),
        }
    }
}
