//! Signals.

use super::{Fast, Message, SIGNAL, SIGNALS, TAKEN};
use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::object::endpoint::Endpoint;
use crate::object::execution::{State, flag};
use crate::object::notification::Notification;
use crate::object::thread::Thread;
use crate::signal::{BITS, bits_of};
use core::sync::atomic::Ordering;

impl<A: Arch> Visit<'_, A> {
    /// A signal of a notification of this core, that nobody waits for or somebody who is more urgent
    /// than the current thread.
    #[inline(always)]
    pub(super) fn fast_signal<'e, const RARE: bool, const WAKES: bool>(
        &'e self,
        thread: &'e Thread<A>,
        target: u64,
    ) -> Option<Fast<'e, A>> {
        let need = (SIGNAL, |it: &Notification| it.core.get());
        let target = self.fast_target::<_, RARE>(thread, (target, SIGNALS), need)?;
        let (notification, _, badge) = target;
        if (RARE || !WAKES)
            && notification.waiter.get().is_none()
            && notification.bound.get().is_none()
        {
            let bits = notification.bits.shared();
            bits.fetch_or(bits_of(badge), Ordering::SeqCst);
            return Some(Self::done(thread, [0; 2]));
        }
        (WAKES && TAKEN).then(|| self.fast_hand_over::<RARE>(thread, notification, badge))?
    }

    /// A signal of a notification of this core for which somebody waits who is more urgent than the
    /// current thread: in `Wait`, or for a message at an endpoint. The current thread is the next of
    /// its equals.
    #[inline(always)]
    fn fast_hand_over<'e, const RARE: bool>(
        &'e self,
        thread: &'e Thread<A>,
        notification: &Notification,
        badge: u64,
    ) -> Option<Fast<'e, A>> {
        let item = self.core.current.get()?;
        let waits = notification.waiter.get();
        let waiter = waits.or(notification.bound.get())?;
        let next = self.at::<Thread<A>, RARE>(waiter.address(), SIGNALS)?;
        let (from, to) = (thread.execution(), next.execution());
        let hazard = from.flags() | to.flags() | to.next.address() | to.previous.address();
        if hazard != 0 || from.priority.get() >= to.priority.get() {
            return None;
        }
        let queue = match waits {
            Some(_) => None,
            None if to.state() == State::Receiving => {
                let endpoint = self.at::<Endpoint, RARE>(to.waits_at.get(), SIGNALS)?;
                Some(&endpoint.receivers)
            }
            None => return None,
        };
        let switch = self.fast_way::<RARE>((next, SIGNALS), to.budget.get())?;
        let index = from.priority.get() & (abi::PRIORITIES as u64 - 1);
        let equals = self.core.ready.get(index as usize)?;
        if !RARE && !equals.is_empty() {
            return None;
        }
        let bits = notification.bits.shared().swap(0, Ordering::AcqRel) | bits_of(badge);
        match queue {
            Some(queue) => {
                queue.first.set(None);
                queue.last.set(None);
            }
            None => notification.waiter.set(None),
        }
        thread.frame.complete();
        if equals.is_empty() {
            equals.first.set(Some(item));
            equals.last.set(Some(item));
            from.raise(flag::QUEUED);
            let others = self.core.ready_bits.get();
            self.core.ready_bits.set(others | 1 << index);
        } else {
            self.enqueue(item, true);
            self.core.unsettled.set(0);
        }
        to.set_state(State::Ready);
        self.fast_switch::<true>(Some(waiter), switch);
        Some(Fast::Message(Message {
            to: next,
            words: [bits, 0, 0, 0, 0, 0],
            info: if queue.is_some() { BITS } else { 0 },
            badge: 0,
            sequence: 0,
        }))
    }
}
