//! Calls on a vCPU of this core that waits for their caller, most of all: its lines and registers.

use super::look::has;
use super::{Fast, INJECT, VCPU};
use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::object::execution::{ExecutionRef, State};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use crate::visit::CURRENT;
use abi::CallNumber;

impl<A: Arch> Visit<'_, A> {
    /// Makes the current thread's `Inject`, `VcpuRead` or `VcpuWrite` of a vCPU of this core, which no
    /// line wakes.
    #[inline(always)]
    pub(super) fn fast_vcpu<'e>(
        &'e self,
        thread: &'e Thread<A>,
        number: CallNumber,
    ) -> Option<Fast<'e, A>> {
        let injects = matches!(number, CallNumber::Inject);
        let slot = self.table_slot(thread, thread.frame.argument(0))?;
        has(slot.tag(), if injects { INJECT } else { VCPU }).then_some(())?;
        let item = ExecutionRef::from_address(slot.object.get())?;
        let vcpu = self.at::<Vcpu<A>, true>(item.address(), CURRENT)?;
        let execution = vcpu.execution();
        (execution.core_index() == self.entry.core()).then_some(())?;
        let [first, second] = [1, 2].map(|index| thread.frame.argument(index));
        let value = match number {
            CallNumber::VcpuRead => self.vcpu_read(item, first).ok()?,
            CallNumber::VcpuWrite => match self.vcpu_write(item, first, second).ok()? {
                Outcome::Done(value) => value,
                Outcome::Waiting => return None,
            },
            _ if self.are_lines(first, second) && execution.state() != State::Idle => {
                Self::change_lines(vcpu, first, second)
            }
            _ => return None,
        };
        Some(Self::done(thread, [value, 0]))
    }
}
