//! Exits of guests: to a server that waits, and back into the guest.

use super::{CALLS, Fast, Message, REPLIES, SIGNALS, TAKEN, is_long};
use crate::Visit;
use crate::arch::{Arch, Exit, UserFrame};
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use crate::visit::CURRENT;
use crate::word::Word;
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
        let pending = self.pending_exit(vcpu, exit)?;
        let slot = vcpu.slots.get(pending.route())?;
        if slot.own_tag().kind() != ObjectKind::Endpoint as u8 {
            return None;
        }
        let endpoint = self.at::<Endpoint, true>(slot.object.get(), CALLS)?;
        let from = vcpu.execution();
        let waiting = self.fast_server::<true>(endpoint, (from, 0))?;
        let badge = slot.badge.get();
        self.leave_vcpu(vcpu);
        Self::make_pending(vcpu, &pending);
        self.fast_deliver::<true>(from, &waiting, badge);
        Some(Fast::Message(Message {
            to: waiting.server,
            words: from.words.each_ref().map(Word::get),
            info: u64::from(pending.info.into_bits()),
            badge,
            sequence: from.sequence.get(),
        }))
    }

    /// An answer that lets a vCPU go on with its guest.
    #[inline(always)]
    pub(super) fn fast_answer_exit<'e>(
        &'e self,
        wait: (&Execution, &Endpoint, u64),
        item: ExecutionRef,
        (server, info): (&Thread<A>, u64),
    ) -> Option<Fast<'e, A>> {
        let vcpu = self.at::<Vcpu<A>, true>(item.address(), CURRENT)?;
        let execution = vcpu.execution();
        let (flags, access) = (execution.flags(), vcpu.access.get());
        let goes_on = access != 0 || info >> 16 == ExitReply::Resume.number();
        if !goes_on
            || is_long(info)
            || flags & !(flag::VCPU | flag::TURNS) != 0
            || !self.is_first(execution)
            || !self.is_loaded(item)
        {
            return None;
        }
        let budget = execution.budget.get();
        let is_charged = self.fast_budget::<true>((budget, REPLIES))?;
        let left =
            |it: Handle<Budget>| Some(self.at::<Budget, true>(it.address(), SIGNALS)?.left());
        if flags & flag::TURNS != 0 && budget.and_then(left)? <= 0 {
            return None;
        }
        let timer = self.arch.guest_timer(&vcpu.guest, true);
        if timer.is_some_and(|it| !it.in_hardware && it.deadline < self.core.timer.get()) {
            return None;
        }
        vcpu.exit_pending.set(0);
        if access != 0 {
            vcpu.access.set(0);
            self.complete_access(vcpu, access, server.frame.argument(1));
        }
        self.fast_wait(wait);
        execution.set_state(State::Ready);
        self.core.current.set(Some(item));
        self.fast_charge(is_charged, budget);
        Some(Fast::Guest(vcpu, self.enter_guest(item, vcpu)))
    }
}
