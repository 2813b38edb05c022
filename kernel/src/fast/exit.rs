//! Exits of guests: to a server that waits, and back into the guest.

use super::{CALLS, DEVICE_CALLS, DEVICE_REPLIES, Fast, Message, REPLIES, SIGNALS, TAKEN, is_long};
use crate::Visit;
use crate::arch::{Arch, Exit};
use crate::guest::exit::{LENGTH, Pending};
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{State, flag};
use crate::object::thread::Thread;
use crate::object::vcpu::{DEVICES, Vcpu};
use crate::visit::CURRENT;
use abi::ObjectKind;
use abi::exit::ExitReply;
use arena::Handle;

impl<A: Arch> Visit<'_, A> {
    /// Brings an exit of the current vCPU, which is `vcpu`, to its server, which waits; `None` leaves
    /// all as it was but the words of the exit, for [`Visit::handle`].
    #[inline(always)]
    pub fn fast_exit<'e>(&'e self, vcpu: &'e Vcpu<A>, exit: &Exit) -> Option<Fast<'e, A>> {
        if !TAKEN {
            return None;
        }
        let pending = match exit {
            Exit::Hypercall => self.pending_instruction(vcpu, None),
            Exit::Instruction { bits } => self.pending_instruction(vcpu, Some(*bits)),
            Exit::Access(access) => self.pending_access(vcpu, access),
            _ => self.pending_exit(vcpu, exit)?,
        };
        self.fast_send_exit(vcpu, &pending, || self.leave_vcpu(vcpu))
    }

    /// Brings an exit to its server, which waits, behind what makes its vCPU the current execution.
    #[inline(always)]
    fn fast_send_exit<'e>(
        &'e self,
        vcpu: &'e Vcpu<A>,
        pending: &Pending,
        become_current: impl FnOnce(),
    ) -> Option<Fast<'e, A>> {
        let route = pending.route();
        let pin = if route < DEVICES { CALLS } else { DEVICE_CALLS };
        let slot = vcpu.slots.get(route)?;
        (slot.own_tag().kind() == ObjectKind::Endpoint as u8).then_some(())?;
        let endpoint = self.at::<Endpoint, true>(slot.object.get(), pin)?;
        let (from, badge) = (vcpu.execution(), slot.badge.get());
        let waiting = self.fast_server::<true>(endpoint, (from, 0, pin))?;
        become_current();
        Self::make_pending(vcpu, pending);
        self.fast_deliver::<true>(from, &waiting, badge);
        let [a, b, c, d, e, f] = &from.words;
        Some(Fast::Message(Message {
            to: waiting.server,
            words: [a.get(), b.get(), c.get(), d.get(), e.get(), f.get()],
            info: u64::from(pending.info.into_bits()),
            badge,
            sequence: from.sequence.get(),
        }))
    }

    /// Returns the vCPU that the current thread, which is `thread`, answers by its reply, if it is the
    /// last one that ran here: the reply is [`Visit::fast_answer`]'s then.
    #[inline(always)]
    pub fn answered_guest(&self, thread: &Thread<A>) -> Option<&Vcpu<A>> {
        let caller = thread.execution().caller.get().filter(|_| TAKEN);
        self.entry
            .pinned(caller.map_or(0, Handle::address), CURRENT)
    }

    /// Makes the current thread's reply and receive where it lets a vCPU go on with its guest, or makes
    /// an access for it: an attempt behind the first, with words 0 to 2 of the reply, which are not read
    /// from the frame: a machine need not have saved them. `None` leaves all as it was but the words of
    /// the exit.
    #[inline(always)]
    pub fn fast_answer<'e>(
        &'e self,
        thread: &'e Thread<A>,
        [target, info]: [u64; 2],
        word: impl Fn(usize) -> u64,
    ) -> Option<Fast<'e, A>> {
        let vcpu = self.answered_guest(thread)?;
        let item = thread.execution().caller.get()?;
        let is_access = vcpu.access.get() != 0;
        let pin = if is_access { DEVICE_REPLIES } else { REPLIES };
        let wait = self.fast_receive::<true>(thread, (target, pin))?;
        let execution = vcpu.execution();
        let flags = execution.flags();
        (!is_long(info) && flags & !(flag::VCPU | flag::TURNS) == 0).then_some(())?;
        // Of an instruction that is skipped, its length and one: 0 is none.
        let (access, skipped) = match (vcpu.access.get(), ExitReply::from_number(info >> 16)) {
            (0, Some(ExitReply::Resume)) => (0, 0),
            (0, Some(ExitReply::Behind)) => (0, (word(0) & LENGTH) + 1),
            (0, Some(ExitReply::Forward)) => {
                let pending = self.forwarded(vcpu, [word(0), word(1), word(2), 0, 0, 0]);
                return self.fast_send_exit(vcpu, &pending, || {
                    self.fast_wait(wait);
                    self.core.current.set(Some(item));
                });
            }
            (0, _) => return None,
            (access, _) => (access, 0),
        };
        (self.is_first(execution) && self.is_loaded(item)).then_some(())?;
        let budget = execution.budget.get();
        let is_charged = self.fast_budget::<true>((budget, pin))?;
        if flags & flag::TURNS != 0
            && self.at::<Budget, true>(budget?.address(), SIGNALS)?.left() <= 0
        {
            return None;
        }
        if self.arch.guest_software_timer(&vcpu.guest) < self.core.timer.get() {
            return None;
        }
        vcpu.exit_pending.set(0);
        if access != 0 {
            vcpu.access.set(0);
            self.complete_access(vcpu, access, word(0));
        } else if skipped != 0 {
            self.arch.guest_skip(&vcpu.guest, skipped - 1);
        }
        self.fast_wait(wait);
        execution.set_state(State::Ready);
        self.core.current.set(Some(item));
        self.fast_charge((is_charged, pin), budget);
        Some(Fast::Guest(vcpu, self.enter_guest(item, vcpu)))
    }
}
