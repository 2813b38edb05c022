//! Signals: notifications, and interrupts that arrive as such.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::right::{SIGNAL, WAIT};
use crate::object::execution::{ExecutionRef, State};
use crate::object::interrupt::Interrupt;
use crate::object::notification::Notification;
use crate::object::thread::Thread;
use abi::{DeliveryKind, Error, MessageInfo, ObjectKind};
use arena::Handle;
use core::sync::atomic::Ordering;

/// Returns the bits that a badge signals.
pub(crate) const fn bits_of(badge: u64) -> u64 {
    if badge == 0 { 1 } else { badge }
}

/// Information word of a message that is the bits of a notification.
pub(crate) const BITS: u64 = MessageInfo::new()
    .with_words(1)
    .with_kind(DeliveryKind::Notification as u8)
    .into_bits() as u64;

impl<A: Arch> Visit<'_, A> {
    /// Signals a notification that a thread names.
    pub(crate) fn signal(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let to = self.resolve::<Notification>(thread, SIGNAL)?;
        self.raise(to.handle, bits_of(to.slot.badge.get()));
        Ok(Outcome::ok())
    }

    /// Sets bits in a notification; its own core wakes whoever waits.
    pub(crate) fn raise(&self, to: Handle<Notification>, bits: u64) {
        let notification = self.entry.get(to);
        notification.bits.shared().fetch_or(bits, Ordering::SeqCst);
        let core = usize::try_from(notification.core.get()).unwrap_or(usize::MAX);
        if core == self.entry.core() {
            self.wake_waiter(notification);
        } else if notification.inbox_queued.shared().swap(1, Ordering::SeqCst) == 0 {
            self.post(core, to.address(), &notification.inbox_next);
        }
    }

    /// Hands the bits of a notification of this core to whoever waits for them.
    pub(crate) fn wake_waiter(&self, notification: &Notification) {
        if let Some(waiter) = notification.waiter.get() {
            let bits = notification.take_bits();
            if bits != 0 {
                self.leave_queue(waiter);
                self.finish_call(waiter, Ok(bits));
            }
            return;
        }
        let Some(bound) = notification.bound.get() else {
            return;
        };
        if self.execution(bound).state() == State::Receiving {
            let thread = self.thread(bound);
            if notification.bits.get() != 0 {
                self.leave_queue(bound);
                self.receive_bits(thread);
                self.make_ready(bound);
            }
        }
    }

    /// Waits for bits of a notification.
    pub(crate) fn wait(&self, waiter: ExecutionRef, thread: &Thread<A>) -> Result<Outcome, Error> {
        let at = self.resolve::<Notification>(thread, WAIT)?;
        Self::check_same_core(thread, &at.object.core)?;
        if at.object.waiter.get().is_some() || at.object.bound.get().is_some() {
            return Err(Error::WrongState);
        }
        let bits = at.object.take_bits();
        if bits != 0 {
            return Ok(Outcome::value(bits));
        }
        let deadline = thread.frame.argument(7);
        if deadline <= self.arch.now() {
            return Err(Error::TimedOut);
        }
        thread.execution().set_state(State::Waiting);
        thread.execution().waits_at.set(at.handle.address());
        at.object.waiter.set(Some(waiter));
        self.add_deadline(waiter, deadline);
        Ok(Outcome::Waiting)
    }

    /// Turns the interrupts that wait at this core into signals.
    pub(crate) fn external_interrupts(&self) {
        while let Some(line) = self.arch.claim_interrupt() {
            let Some(interrupt) = self.interrupt_line(line) else {
                continue;
            };
            // It was masked by a core that could not reach the mask of this one.
            if interrupt.masked.replace(1) != 0 {
                continue;
            }
            let [slot] = &interrupt.binding;
            if slot.tag().object_kind() != Some(ObjectKind::Notification) {
                continue;
            }
            if let Some(to) = Handle::<Notification>::from_address(slot.object.get()) {
                self.raise(to, bits_of(slot.badge.get()));
            }
        }
    }

    /// Returns the object of an interrupt line.
    pub(crate) fn interrupt_line(&self, line: u32) -> Option<&Interrupt> {
        if line >= A::INTERRUPTS {
            return None;
        }
        let base = self.interrupts.get();
        let address = base + u64::from(line) * size_of::<Interrupt>() as u64;
        self.entry.find(Handle::from_address(address)?)
    }
}
