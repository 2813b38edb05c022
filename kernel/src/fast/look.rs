//! What fast paths look at before anything changes.

use super::{BUDGETS, DEVICE_REPLIES, Need, REPLIES, SIGNALS, SPACES};
use crate::Visit;
use crate::arch::Arch;
use crate::cap::Slot;
use crate::cap::slot::{Role, Tag};
use crate::ipc::KEEPS_OWN_BUDGET;
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::object::space::Space;
use crate::object::thread::Thread;
use abi::ObjectKind;
use arena::{Handle, Object};
use core::sync::atomic::{AtomicU64, Ordering};

/// A server that waits for a message, and that can run in place of whoever sends one.
pub(super) struct Waiting<'e, A: Arch> {
    /// Its name.
    pub item: Option<ExecutionRef>,
    /// The server.
    pub server: &'e Thread<A>,
    /// Where it waits.
    endpoint: &'e Endpoint,
    /// What it takes to go over to it.
    switch: Switch,
}

/// What it takes to go over to another execution: the address of its space and what makes that
/// current; the budget that time is charged to from then on, and whether some has to be until then,
/// with the pin of the budget that it is taken off.
#[derive(Clone, Copy)]
pub(super) struct Switch {
    space: (u64, u64),
    budget: Option<Handle<Budget>>,
    charge: (bool, usize),
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

    /// Returns the object of this core that slot `index` of a thread's table names, with
    /// its address, and the badge there; of a slot to receive from, the notification that is bound
    /// to the thread instead. Note number `pin` has what was found last, and holds until this core
    /// acknowledges the next round: without one, no slot that was filled changes.
    #[inline(always)]
    pub(super) fn fast_target<T: Object, const RARE: bool>(
        &self,
        thread: &Thread<A>,
        (index, pin): (u64, usize),
        (need, core): (Need, impl Fn(&T) -> u64),
    ) -> Option<(&T, u64, u64)> {
        let [owner, number, object, badge] = self.entry.note(pin)?;
        if read(owner) == key(thread) && read(number) == index {
            let object = read(object);
            let target = self.at::<T, RARE>(object, pin)?;
            return Some((target, object, read(badge)));
        }
        if !RARE {
            return None;
        }
        let slot = self.table_slot(thread, index)?;
        if !has(slot.tag(), need) {
            return None;
        }
        let object = slot.object.get();
        let target = self.at::<T, true>(object, pin)?;
        let badge = if matches!(pin, REPLIES | DEVICE_REPLIES) {
            bound_notification(thread)
        } else {
            slot.badge.get()
        };
        if core(target) != self.entry.core() as u64 {
            return None;
        }
        self.entry
            .make_note(pin, [key(thread), index, object, badge]);
        Some((target, object, badge))
    }

    /// Returns slot `index` of a thread's table.
    #[inline(never)]
    pub(super) fn table_slot(&self, thread: &Thread<A>, index: u64) -> Option<&Slot> {
        let table = thread.cap_table();
        let tag = table.own_tag();
        if tag.kind() != ObjectKind::CapTable as u8 || index == 0 || index >> tag.order() != 0 {
            return None;
        }
        self.entry.at(table.object.get() + index * Slot::STRIDE)
    }

    /// Returns whether nobody ready is as urgent as `next`.
    #[inline(always)]
    pub(super) fn is_first(&self, next: &Execution) -> bool {
        self.core.ready_bits.get() >> (next.priority.get() & 63) == 0
    }

    /// Returns the space of `thread` with its address and what makes it current, if it has one that
    /// this core used before.
    #[inline(always)]
    fn fast_space<const RARE: bool>(&self, thread: &Thread<A>, pin: usize) -> Option<(u64, u64)> {
        // What is noted here was used before, and `cores` loses nobody.
        let [owner, address, word, _] = self.entry.note(SPACES + pin)?;
        if read(owner) == key(thread) {
            return Some((read(address), read(word)));
        }
        RARE.then(|| self.first_space(thread, pin))?
    }

    /// Does what [`Visit::fast_space`] does, and notes the space.
    #[inline(never)]
    fn first_space(&self, thread: &Thread<A>, pin: usize) -> Option<(u64, u64)> {
        let slot = thread.space();
        if slot.own_tag().kind() != ObjectKind::Space as u8 {
            return None;
        }
        let address = slot.object.get();
        let [space] = &self.entry.at::<Space>(address)?.space;
        let (word, knows) = (space.word.get(), space.cores.get() >> self.entry.core() & 1);
        if word == 0 || knows == 0 {
            return None;
        }
        self.entry
            .make_note(SPACES + pin, [key(thread), address, word, 0]);
        Some((address, word))
    }

    /// Returns whether time has to be charged to go over to this budget; `None` where the general
    /// path is needed: one of both has an end. Note number `pin` of pairs has two without, and whether
    /// one of them takes turns.
    #[inline(always)]
    pub(super) fn fast_budget<const RARE: bool>(
        &self,
        (next, pin): (Option<Handle<Budget>>, usize),
    ) -> Option<bool> {
        // Who runs has a budget, so that no budget is not the same.
        let before = self.core.budget.get();
        if before == next {
            return Some(false);
        }
        if !RARE && pin != SIGNALS {
            return None;
        }
        let [first, second, takes_turns, _] = self.entry.note(BUDGETS + pin)?;
        if read(first) == before?.address() && read(second) == next?.address() {
            return Some(RARE && read(takes_turns) != 0);
        }
        RARE.then(|| self.first_budgets(before?, next?, pin))?
    }

    /// Does what [`Visit::fast_budget`] does, and notes both.
    #[inline(never)]
    fn first_budgets(
        &self,
        before: Handle<Budget>,
        next: Handle<Budget>,
        pin: usize,
    ) -> Option<bool> {
        let pair = [self.entry.find(before)?, self.entry.find(next)?];
        let is_endless = |it: &Budget| it.is_unlimited() && it.amount.get() != 0;
        if !pair.into_iter().all(is_endless) {
            return None;
        }
        let takes_turns = pair.into_iter().any(Budget::takes_turns);
        // What signals look at first charges nothing.
        if !takes_turns || pin != SIGNALS {
            let [before, next] = [before, next].map(Handle::address);
            self.entry
                .make_note(BUDGETS + pin, [before, next, takes_turns.into(), 0]);
        }
        Some(takes_turns)
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
            charge: (self.fast_budget::<RARE>((budget, pin))?, pin),
            space: self.fast_space::<RARE>(next, pin)?,
            budget,
        })
    }

    /// Makes `next` the current execution, with its space.
    #[inline(always)]
    pub(super) fn fast_switch<const RARE: bool>(&self, next: Option<ExecutionRef>, switch: Switch) {
        let (address, word) = switch.space;
        self.core.current.set(next);
        if address != self.core.loaded_space.get() {
            self.core.loaded_space.set(address);
            self.arch.load_space(word);
        }
        if RARE {
            self.fast_charge(switch.charge, switch.budget);
        }
    }

    /// Lets time be charged to another budget from now on. The timer stays: neither budget has an
    /// end, and no turn ends by the timer where nobody as urgent is ready.
    #[inline(always)]
    pub(super) fn fast_charge(
        &self,
        (is_charged, pin): (bool, usize),
        budget: Option<Handle<Budget>>,
    ) {
        if is_charged {
            self.charge_pinned(pin);
        }
        self.core.budget.set(budget);
    }

    /// Charges the time since the last charge to the budget that it was used on.
    #[inline(never)]
    fn charge_pinned(&self, pin: usize) {
        let now = self.arch.now();
        let since = self.core.since.replace(now);
        let before = self.core.budget.get().map_or(0, Handle::address);
        if let Some(budget) = self.at::<Budget, true>(before, pin) {
            budget.charge(now.saturating_sub(since));
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
            && !switch.charge.0
        {
            execution.set_state(State::Ready);
            return self.fast_switch::<true>(Some(next), switch);
        }
        self.make_ready(next);
    }

    /// Returns the server that waits at an endpoint, which is of this core, if it can run in place of `from`,
    /// and neither it nor `hazard` has anything unusual; `pin` is what such servers are pinned by.
    #[inline(always)]
    pub(super) fn fast_server<'e, const RARE: bool>(
        &'e self,
        endpoint: &'e Endpoint,
        (from, hazard, pin): (&Execution, u64, usize),
    ) -> Option<Waiting<'e, A>> {
        let item = endpoint.receivers.first.get();
        let server = self.at::<Thread<A>, RARE>(item.map_or(0, Handle::address), pin)?;
        let (to, keeps) = (server.execution(), server.execution().detail.get());
        let hazard = hazard | to.flags() | to.next.address();
        if hazard | if RARE { 0 } else { keeps } != 0 {
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
            switch: self.fast_way::<RARE>((server, pin), budget)?,
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
        from.callee.set(waiting.item.map_or(0, Handle::address));
        to.caller.set(self.core.current.get());
        to.depth.set(from.depth.get() + 1);
        to.budget.set(waiting.switch.budget);
        to.set_state(State::Ready);
        self.fast_switch::<RARE>(waiting.item, waiting.switch);
    }
}

/// Returns whether a tag says `what`, as far as the bits of `mask` go.
#[inline(always)]
pub(super) const fn says(tag: Tag, mask: u64, what: u64) -> bool {
    tag.into_bits() & mask == what
}

/// Returns whether a slot with this tag has what a call needs.
#[inline(always)]
pub(super) const fn has(tag: Tag, (kind, rights): Need) -> bool {
    let need = kind as u64 | Tag::new().with_rights(rights).into_bits();
    says(tag, need | 0xff, need)
}

/// Returns the address of the notification that is bound to a thread, or 0.
fn bound_notification<A: Arch>(thread: &Thread<A>) -> u64 {
    let slot = thread.slot(Role::Notification);
    let slot = slot.filter(|slot| !slot.own_tag().is_empty());
    slot.map_or(0, |slot| slot.object.get())
}

/// Returns what a thread is noted by.
#[inline(always)]
pub(super) fn key<A: Arch>(thread: &Thread<A>) -> u64 {
    core::ptr::from_ref(thread).addr() as u64
}

/// Returns a word of a note.
#[inline(always)]
pub(super) fn read(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}
