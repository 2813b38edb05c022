//! TIME (section 6).

use super::{Call, SbiError, SbiResult};
use crate::machine::riscv::{Trouble, write};
use crate::{Effects, Line};
use abi::register::TIMER_DEADLINE;

/// Performs a call of TIME: sets the deadline and takes back a pending interrupt. Where the
/// harts have no Sstc the kernel raises the line when the deadline passes; a new deadline that has
/// passed already raises it again.
#[inline]
pub(super) fn call<E: Effects>(call: Call, effects: &mut E) -> Result<SbiResult, Trouble> {
    let [deadline] = call.arguments(effects);
    if call.function != 0 {
        return Ok(Err(SbiError::NotSupported));
    }
    write(call.vcpu, TIMER_DEADLINE, deadline, effects)?;
    effects.inject(call.vcpu, Line::Timer, false);
    Ok(Ok(0))
}
