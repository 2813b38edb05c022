//! What fast paths look at before anything changes.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::Slot;
use crate::cap::slot::Role;
use crate::ipc::KEEPS_OWN_BUDGET;
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::object::notification::Notification;
use crate::object::space::Space;
use crate::object::thread::Thread;
use abi::{ObjectKind, Rights};
use arena::Handle;

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
    /// Returns what the slot of a thread's table that its argument 0 names has: the address of an
    /// object of `kind`, and the badge, if the slot has the right `need`.
    #[inline(always)]
    pub(super) fn fast_slot(
        &self,
        thread: &Thread<A>,
        kind: ObjectKind,
        need: Rights,
    ) -> Option<(u64, u64)> {
        let table = thread.cap_table();
        let tag = table.own_tag();
        let index = thread.frame.argument(0);
        if tag.kind() != ObjectKind::CapTable as u8 || index == 0 || index >> tag.order() != 0 {
            return None;
        }
        let slot = Handle::<Slot>::from_address(table.object.get().wrapping_add(index * 64))?;
        let slot = self.entry.look(slot)?;
        let need = u64::from(need.into_bits()) << 8;
        if slot.tag().into_bits() & (0xff | need) != kind as u64 | need {
            return None;
        }
        Some((slot.object.get(), slot.badge.get()))
    }

    /// Returns whether nobody ready is as urgent as `next`.
    #[inline(always)]
    pub(super) fn is_first(&self, next: &Execution) -> bool {
        self.core.ready_bits.get() >> (next.priority.get() & 63) == 0
    }

    /// Returns the space of `thread` with its address and what makes it current, if it has one that
    /// this core used before: 0 where it is current already.
    #[inline(always)]
    fn fast_space(&self, thread: &Thread<A>) -> Option<(u64, u64)> {
        let slot = thread.space();
        if slot.own_tag().kind() != ObjectKind::Space as u8 {
            return None;
        }
        let address = slot.object.get();
        if address == self.core.loaded_space.get() {
            return Some((address, 0));
        }
        let [space] = &self
            .entry
            .look(Handle::<Space>::from_address(address)?)?
            .space;
        let knows = space.cores.get() >> self.entry.core() & 1;
        let word = space.word.get();
        (knows & u64::from(word != 0) != 0).then_some((address, word))
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
        let (before, after) = (self.entry.look(before?)?, self.entry.look(next)?);
        let endless = before.is_unlimited() & after.is_unlimited() & (after.amount.get() != 0);
        endless.then_some(true)
    }

    /// Returns what it takes to go over to a thread on a budget.
    #[inline(always)]
    pub(super) fn fast_way<const RARE: bool>(
        &self,
        next: &Thread<A>,
        budget: Option<Handle<Budget>>,
    ) -> Option<Switch> {
        if RARE {
            self.rare_way(next, budget)
        } else {
            self.way::<false>(next, budget)
        }
    }

    /// Does what [`Visit::fast_way`] does, in one place.
    #[inline(never)]
    fn rare_way(&self, next: &Thread<A>, budget: Option<Handle<Budget>>) -> Option<Switch> {
        self.way::<true>(next, budget)
    }

    /// Does what [`Visit::fast_way`] does.
    #[inline(always)]
    fn way<const RARE: bool>(
        &self,
        next: &Thread<A>,
        budget: Option<Handle<Budget>>,
    ) -> Option<Switch> {
        if !self.is_first(next.execution()) {
            return None;
        }
        Some(Switch {
            is_charged: self.fast_budget::<RARE>(budget)?,
            space: self.fast_space(next)?,
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
            && let Some(switch) = self.fast_way::<false>(thread, execution.budget.get())
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
        let item = endpoint.receivers.first.get()?;
        let server = self.entry.look(item.cast::<Thread<A>>())?;
        let to = server.execution();
        let keeps = to.detail.get();
        let hazard = to.flags()
            | to.next.address()
            | (endpoint.core.get() ^ self.entry.core() as u64)
            | if RARE { 0 } else { keeps };
        if hazard != 0 {
            return None;
        }
        let budget = if RARE && keeps == KEEPS_OWN_BUDGET {
            to.budget.get()
        } else {
            from.budget.get()
        };
        Some(Waiting {
            item,
            server,
            endpoint,
            budget,
            switch: self.fast_way::<RARE>(server, budget)?,
        })
    }

    /// Hands the call of `from` to a server that waited, which runs in its place.
    #[inline(always)]
    pub(super) fn fast_deliver<const RARE: bool>(
        &self,
        (item, from): (ExecutionRef, &Execution),
        waiting: &Waiting<'_, A>,
        badge: u64,
    ) {
        let to = waiting.server.execution();
        waiting.endpoint.receivers.first.set(None);
        waiting.endpoint.receivers.last.set(None);
        from.set_state(State::AwaitingReply);
        from.badge.set(badge);
        from.callee.set(waiting.item.address());
        to.caller.set(Some(item));
        to.depth.set(from.depth.get() + 1);
        to.budget.set(waiting.budget);
        to.set_state(State::Ready);
        self.fast_switch::<RARE>(waiting.item, waiting.switch);
    }

    /// Returns whether the notification that is bound to a thread may have bits for it.
    #[inline(always)]
    pub(super) fn has_signals(&self, thread: &Thread<A>) -> bool {
        let Some(slot) = thread.slot(Role::Notification) else {
            return true;
        };
        if slot.own_tag().is_empty() {
            return false;
        }
        let bound = Handle::<Notification>::from_address(slot.object.get());
        let bound = bound.and_then(|handle| self.entry.look(handle));
        bound.is_none_or(|notification| notification.bits.get() != 0)
    }
}
