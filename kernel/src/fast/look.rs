//! What fast paths look at before anything changes.

use super::{CALLS, Need, REPLIES};
use crate::Visit;
use crate::arch::Arch;
use crate::cap::Slot;
use crate::cap::slot::Role;
use crate::ipc::KEEPS_OWN_BUDGET;
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::object::notification::Notification;
use crate::object::space::Space;
use crate::object::thread::Thread;
use abi::ObjectKind;
use arena::{Handle, Object};

/// A server that waits for a message, and that can run in place of whoever sends one.
pub(super) struct Waiting<'e, A: Arch> {
    /// Its name.
    pub item: ExecutionRef,
    /// The server.
    pub server: &'e Thread<A>,
    /// Where it waits.
    endpoint: &'e Endpoint,
    /// The budget that it will run on.
    budget: Option<Handle<Budget>>,
    /// What it takes to go over to it.
    switch: Switch,
}

/// What it takes to go over to another execution: the address of its space and what makes that
/// current, 0 where it is already; and whether time is charged to another budget from then on.
#[derive(Clone, Copy)]
pub(super) struct Switch {
    space: (u64, u64),
    is_charged: bool,
}

impl<A: Arch> Visit<'_, A> {
    /// Returns the object at an address that pin number `pin` of its type names; where it names another, a
    /// path that is a little longer looks, and pins.
    #[inline(always)]
    pub(super) fn at<T: Object, const RARE: bool>(&self, address: u64, pin: usize) -> Option<&T> {
        if RARE {
            self.entry.again(address, pin)
        } else {
            self.entry.pinned(address, pin)
        }
    }

    /// Returns slot `index` of a thread's table, if it has the right `need` to an object of `kind`.
    #[inline(always)]
    pub(super) fn fast_slot<const RARE: bool>(
        &self,
        thread: &Thread<A>,
        (index, pin): (u64, usize),
        (kind, need): Need,
    ) -> Option<&Slot> {
        let table = thread.cap_table();
        let tag = table.own_tag();
        // Slot 0 is nobody's, and so it is never pinned.
        let is_null = RARE && index == 0;
        if tag.kind() != ObjectKind::CapTable as u8 || is_null || index >> tag.order() != 0 {
            return None;
        }
        let address = table.object.get().wrapping_add(index * 64);
        let slot = self.at::<Slot, RARE>(address, pin)?;
        let need = u64::from(need.into_bits()) << 8;
        (slot.tag().into_bits() & (0xff | need) == kind as u64 | need).then_some(slot)
    }

    /// Returns whether nobody ready is as urgent as `next`.
    #[inline(always)]
    pub(super) fn is_first(&self, next: &Execution) -> bool {
        self.core.ready_bits.get() >> (next.priority.get() & 63) == 0
    }

    /// Returns the space of `thread` with its address and what makes it current, if it has one that
    /// this core used before: 0 where it is current already.
    #[inline(always)]
    fn fast_space<const RARE: bool>(&self, thread: &Thread<A>, pin: usize) -> Option<(u64, u64)> {
        let slot = thread.space();
        if slot.own_tag().kind() != ObjectKind::Space as u8 {
            return None;
        }
        let address = slot.object.get();
        if address == self.core.loaded_space.get() {
            return Some((address, 0));
        }
        // What is pinned here was used before, and `cores` loses nobody.
        let space = match self.entry.pinned::<Space>(address, pin) {
            Some(space) => space,
            None if RARE => self.first_space(address, pin)?,
            None => return None,
        };
        let [space] = &space.space;
        let word = space.word.get();
        (word != 0).then_some((address, word))
    }

    /// Returns the space at an address, which is pinned from now on, if this core used it before.
    #[inline(always)]
    fn first_space(&self, address: u64, pin: usize) -> Option<&Space> {
        let space = self.entry.look(Handle::<Space>::from_address(address)?)?;
        let [part] = &space.space;
        let knows = part.cores.get() >> self.entry.core() & 1 != 0;
        knows.then(|| self.entry.pin::<Space>(address, pin))?
    }

    /// Returns whether time is charged to another budget when it is charged to this one; `None`
    /// where the general path is needed: one of both has an end.
    #[inline(always)]
    pub(super) fn fast_budget<const RARE: bool>(
        &self,
        next: Option<Handle<Budget>>,
    ) -> Option<bool> {
        let (before, next) = (self.core.budget.get(), next?);
        if before == Some(next) {
            return Some(false);
        }
        if !RARE {
            return None;
        }
        let before = self.at::<Budget, true>(before?.address(), CALLS)?;
        let after = self.at::<Budget, true>(next.address(), REPLIES)?;
        let endless = before.is_unlimited() & after.is_unlimited() & (after.amount.get() != 0);
        endless.then_some(true)
    }

    /// Returns what it takes to go over to a thread on a budget.
    #[inline(always)]
    pub(super) fn fast_way<const RARE: bool>(
        &self,
        (next, pin): (&Thread<A>, usize),
        budget: Option<Handle<Budget>>,
    ) -> Option<Switch> {
        if !self.is_first(next.execution()) {
            return None;
        }
        Some(Switch {
            is_charged: self.fast_budget::<RARE>(budget)?,
            space: self.fast_space::<RARE>(next, pin)?,
        })
    }

    /// Makes `next` the current execution, with its space.
    #[inline(always)]
    pub(super) fn fast_switch<const RARE: bool>(&self, next: ExecutionRef, switch: Switch) {
        let (address, word) = switch.space;
        self.core.current.set(Some(next));
        if word != 0 {
            self.core.loaded_space.set(address);
            self.arch.load_space(word);
        }
        if RARE && switch.is_charged {
            self.charge_to(next);
        }
    }

    /// Lets a thread run that got what it waited for: at once in place of `waits`, if that is what
    /// the scheduler would decide.
    pub(crate) fn run_instead(&self, waits: ExecutionRef, next: ExecutionRef) {
        let thread = self.thread(next);
        let execution = thread.execution();
        if self.core.current.get() == Some(waits)
            && execution.flags() == 0
            && let Some(switch) = self.fast_way::<true>((thread, REPLIES), execution.budget.get())
            && !switch.is_charged
        {
            execution.set_state(State::Ready);
            return self.fast_switch::<false>(next, switch);
        }
        self.make_ready(next);
    }

    /// Returns the server that waits at an endpoint of this core, if it can run in place of `from`.
    #[inline(always)]
    pub(super) fn fast_server<'e, const RARE: bool>(
        &'e self,
        endpoint: &'e Endpoint,
        from: &Execution,
    ) -> Option<Waiting<'e, A>> {
        if endpoint.core.get() != self.entry.core() as u64 {
            return None;
        }
        let item = endpoint.receivers.first.address();
        let server = self.at::<Thread<A>, RARE>(item, CALLS)?;
        let to = server.execution();
        // One after the other: a word that is looked at at once needs no register for long.
        if to.flags() != 0 || to.next.get().is_some() {
            return None;
        }
        let keeps = to.detail.get();
        if !RARE && keeps != 0 {
            return None;
        }
        let budget = if RARE && keeps == KEEPS_OWN_BUDGET {
            to.budget.get()
        } else {
            from.budget.get()
        };
        Some(Waiting {
            item: Handle::from_address(item)?,
            server,
            endpoint,
            budget,
            switch: self.fast_way::<RARE>((server, CALLS), budget)?,
        })
    }

    /// Hands the call of `from`, the current execution, to a server that waited, which runs in its
    /// place.
    #[inline(always)]
    pub(super) fn fast_deliver<const RARE: bool>(
        &self,
        from: &Execution,
        waiting: &Waiting<'_, A>,
        badge: u64,
    ) {
        let to = waiting.server.execution();
        waiting.endpoint.receivers.first.set(None);
        waiting.endpoint.receivers.last.set(None);
        from.set_state(State::AwaitingReply);
        from.badge.set(badge);
        from.callee.set(waiting.item.address());
        to.caller.set(self.core.current.get());
        to.depth.set(from.depth.get() + 1);
        to.budget.set(waiting.budget);
        to.set_state(State::Ready);
        self.fast_switch::<RARE>(waiting.item, waiting.switch);
    }

    /// Returns whether the notification that is bound to a thread may have bits for it.
    #[inline(always)]
    pub(super) fn has_signals<const RARE: bool>(&self, thread: &Thread<A>) -> bool {
        let Some(slot) = thread.slot(Role::Notification) else {
            return true;
        };
        if slot.own_tag().is_empty() {
            return false;
        }
        let address = slot.object.get();
        let bound = self.at::<Notification, RARE>(address, REPLIES);
        bound.is_none_or(|notification| notification.bits.get() != 0)
    }
}
