//! TIME (section 6).

use super::{Call, SbiError, SbiResult};
use crate::Effects;
use crate::machine::riscv::{Trouble, write};
use abi::register::TIMER_DEADLINE;

/// Performs a call of TIME: sets the deadline, which also takes back a pending interrupt; the
/// kernel delivers it, by vstimecmp or by hvip.
pub(super) fn call<E: Effects>(call: Call, effects: &mut E) -> Result<SbiResult, Trouble> {
    let [deadline, ..] = call.arguments;
    if call.function != 0 {
        return Ok(Err(SbiError::NotSupported));
    }
    write(call.vcpu, TIMER_DEADLINE, deadline, effects)?;
    Ok(Ok(0))
}
