//! Fences: a set of vCPUs forgets its translations before its next guest instruction.
//!
//! Every vCPU of the set gets a ticket. The caller then travels through the cores whose vCPUs were
//! in their guests: to be looked at there means that the guest was left, and that the ticket will
//! be seen before it is entered again.

use crate::Kernel;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::table;
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::{Error, Rights};
use arena::Entry;
use core::sync::atomic::{Ordering, fence};

/// Kinds of flush that a machine may have.
const KINDS: u64 = 64;

impl<A: Arch> Kernel<A> {
    /// Flushes the translations of a set of vCPUs.
    pub(crate) fn fence(
        &self,
        entry: &Entry<'_>,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
        let [first, mask, kind] = [0, 1, 2].map(|index| thread.frame.argument(index));
        if mask == 0 || kind >= KINDS {
            return Err(Error::BadArgument);
        }
        for index in bits(mask) {
            self.fenced(entry, thread, first.wrapping_add(index))?;
        }
        let mut cores = 0;
        for index in bits(mask) {
            let vcpu = self.fenced(entry, thread, first.wrapping_add(index))?;
            vcpu.flushes.shared().fetch_or(1 << kind, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            if vcpu.in_guest.shared().load(Ordering::SeqCst) != 0 {
                cores |= 1 << vcpu.execution().core.get();
            }
        }
        cores &= !(1 << entry.core());
        if cores == 0 {
            return Ok(Outcome::ok());
        }
        let execution = thread.execution();
        execution.fence_pending.set(cores);
        execution.set_state(State::Parked);
        execution.raise(flag::SHIPPED);
        self.travel(entry, caller);
        Ok(Outcome::Waiting)
    }

    /// Returns a vCPU of the set.
    fn fenced<'e>(
        &self,
        entry: &'e Entry<'_>,
        thread: &Thread<A>,
        index: u64,
    ) -> Result<&'e Vcpu<A>, Error> {
        let need = Rights::new().with_inject(true);
        Ok(table::resolve::<A, Vcpu<A>>(entry, thread, index, need)?.object)
    }

    /// Lets a fence go on from this core, which has left all its guests.
    pub(crate) fn fence_step(&self, entry: &Entry<'_>, item: ExecutionRef) {
        let execution = self.execution(entry, item);
        execution
            .fence_pending
            .set(execution.fence_pending.get() & !(1 << entry.core()));
        if execution.fence_pending.get() == 0 {
            // The call is over; its results are written before it goes home.
            self.thread(entry, item).frame.complete();
        }
        self.travel(entry, item);
    }

    /// Sends the caller of a fence to the next core, or home.
    fn travel(&self, entry: &Entry<'_>, item: ExecutionRef) {
        let execution = self.execution(entry, item);
        let pending = execution.fence_pending.get();
        if pending == 0 {
            return self.send_home(entry, item);
        }
        let next = pending.trailing_zeros() as usize;
        self.post(next, item.address(), &execution.inbox_next);
    }
}

/// Returns the indices of the bits of a mask.
fn bits(mask: u64) -> impl Iterator<Item = u64> {
    (0..64).filter(move |index| mask >> index & 1 == 1)
}
