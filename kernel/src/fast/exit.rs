//! Exits of guests: to a server that waits, and back into the guest.

use super::{CALLS, DEVICE_CALLS, DEVICE_REPLIES, Fast, Message, REPLIES, SIGNALS, TAKEN, is_long};
use crate::Visit;
use crate::arch::{Arch, Exit, UserFrame};
use crate::guest::exit::Pending;
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::thread::Thread;
use crate::object::vcpu::{DEVICES, Vcpu};
use crate::visit::CURRENT;
use abi::ObjectKind;
use abi::exit::{AccessInfo, ExitClass, ExitReply};

impl<A: Arch> Visit<'_, A> {
    /// Brings an exit of the current vCPU, which is `vcpu`, to its server, which waits; `None` leaves
    /// all as it was but the words of the exit, for [`Visit::handle`].
    #[inline(always)]
    pub fn fast_exit<'e>(&'e self, vcpu: &'e Vcpu<A>, exit: &Exit) -> Option<Fast<'e, A>> {
        if !TAKEN {
            return None;
        }
        let pending = match exit {
            Exit::Hypercall => self.pending_hypercall(vcpu),
            _ => self.pending_exit(vcpu, exit)?,
        };
        self.fast_send_exit(vcpu, &pending, || self.leave_vcpu(vcpu))
    }

    /// Returns what a hypercall is to its server, and sets its words: inline, for it is the shortest.
    #[inline(always)]
    pub(crate) fn pending_hypercall(&self, vcpu: &Vcpu<A>) -> Pending {
        let pc = self.arch.guest_program_counter(&vcpu.guest);
        let [bits, mode] = self.arch.guest_instruction(&vcpu.guest);
        vcpu.execution().set_words([pc, bits, mode, 0, 0, 0]);
        Pending::of(ExitClass::Hypercall)
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

    /// Returns the pin of what answers the pending exit of a vCPU.
    #[inline(always)]
    pub(super) fn reply_pin(vcpu: &Vcpu<A>) -> usize {
        if vcpu.access.get() == 0 {
            REPLIES
        } else {
            DEVICE_REPLIES
        }
    }

    /// An answer that lets a vCPU go on with its guest, or makes an access for it.
    #[inline(always)]
    pub(super) fn fast_answer_exit<'e>(
        &'e self,
        wait: (&Execution, &Endpoint, u64),
        item: ExecutionRef,
        (server, info): (&Thread<A>, u64),
    ) -> Option<Fast<'e, A>> {
        let vcpu = self.at::<Vcpu<A>, true>(item.address(), CURRENT)?;
        let execution = vcpu.execution();
        let flags = execution.flags();
        (!is_long(info) && flags & !(flag::VCPU | flag::TURNS) == 0).then_some(())?;
        let word = |index| server.frame.argument(index);
        let access = match (vcpu.access.get(), ExitReply::from_number(info >> 16)) {
            (0, Some(ExitReply::Resume)) => 0,
            (0, Some(ExitReply::Behind)) => AccessInfo::behind(word(1)).into_bits(),
            (0, Some(ExitReply::Forward)) => {
                let pending = self.forwarded(vcpu, [word(1), word(2), word(3), 0, 0, 0]);
                return self.fast_send_exit(vcpu, &pending, || {
                    self.fast_wait(wait);
                    self.core.current.set(Some(item));
                });
            }
            (0, _) => return None,
            (access, _) => access,
        };
        (self.is_first(execution) && self.is_loaded(item)).then_some(())?;
        let budget = execution.budget.get();
        let pin = Self::reply_pin(vcpu);
        let is_charged = self.fast_budget::<true>((budget, pin))?;
        if flags & flag::TURNS != 0
            && self.at::<Budget, true>(budget?.address(), SIGNALS)?.left() <= 0
        {
            return None;
        }
        let timer = self.arch.guest_timer(&vcpu.guest, true);
        if timer.is_some_and(|it| !it.in_hardware && it.deadline < self.core.timer.get()) {
            return None;
        }
        vcpu.exit_pending.set(0);
        if access != 0 {
            vcpu.access.set(0);
            self.complete_access(vcpu, access, word(1));
        }
        self.fast_wait(wait);
        execution.set_state(State::Ready);
        self.core.current.set(Some(item));
        self.fast_charge((is_charged, pin), budget);
        Some(Fast::Guest(vcpu, self.enter_guest(item, vcpu)))
    }
}
