//! Fences: a set of vCPUs forgets its translations before its next guest instruction.
//!
//! Every vCPU of the set gets a ticket. The caller then travels through the cores whose vCPUs were
//! in their guests: to be looked at there means that the guest was left, and that the ticket will
//! be seen before it is entered again.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::right::INJECT;
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::Error;
use core::sync::atomic::{Ordering, fence};

/// Kinds of flush that a machine may have.
const KINDS: u64 = 64;

impl<A: Arch> Visit<'_, A> {
    /// Flushes the translations of a set of vCPUs.
    pub(crate) fn fence(&self, caller: ExecutionRef, thread: &Thread<A>) -> Result<Outcome, Error> {
        let [first, mask, kind] = [0, 1, 2].map(|index| thread.frame.argument(index));
        if mask == 0 || kind >= KINDS {
            return Err(Error::BadArgument);
        }
        for index in bits(mask) {
            self.fenced(thread, first.wrapping_add(index))?;
        }
        let mut cores = 0;
        for index in bits(mask) {
            let vcpu = self.fenced(thread, first.wrapping_add(index))?;
            vcpu.flushes.shared().fetch_or(1 << kind, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            if vcpu.in_guest.shared().load(Ordering::SeqCst) != 0 {
                cores |= 1 << vcpu.execution().core.get();
            }
        }
        cores &= !(1 << self.entry.core());
        if cores == 0 {
            return Ok(Outcome::ok());
        }
        let execution = thread.execution();
        execution.fence_pending.set(cores);
        execution.set_state(State::Parked);
        execution.raise(flag::SHIPPED);
        self.travel(caller);
        Ok(Outcome::Waiting)
    }

    /// Returns a vCPU of the set.
    fn fenced(&self, thread: &Thread<A>, index: u64) -> Result<&Vcpu<A>, Error> {
        let slot = self.own_slot(thread, index)?;
        Ok(self.resolved::<Vcpu<A>>(slot, INJECT)?.object)
    }

    /// Lets a fence go on from this core, which has left all its guests.
    pub(crate) fn fence_step(&self, item: ExecutionRef) {
        let execution = self.execution(item);
        execution
            .fence_pending
            .set(execution.fence_pending.get() & !(1 << self.entry.core()));
        if execution.fence_pending.get() == 0 {
            // The call is over; its results are written before it goes home.
            self.thread(item).frame.complete();
        }
        self.travel(item);
    }

    /// Sends the caller of a fence to the next core, or home.
    fn travel(&self, item: ExecutionRef) {
        let execution = self.execution(item);
        let pending = execution.fence_pending.get();
        if pending == 0 {
            return self.send_home(item);
        }
        let next = pending.trailing_zeros() as usize;
        self.post(next, item.address(), &execution.inbox_next);
    }
}

/// Returns the indices of the bits of a mask.
fn bits(mask: u64) -> impl Iterator<Item = u64> {
    (0..64).filter(move |index| mask >> index & 1 == 1)
}
