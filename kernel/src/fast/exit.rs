//! Exits of guests: to a server that waits, and back into the guest.

use super::{Fast, Message, SHAPE, TAKEN};
use crate::Visit;
use crate::arch::{Arch, Exit, UserFrame};
use crate::object::endpoint::Endpoint;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::ObjectKind;
use abi::exit::ExitReply;
use abi::message::REGISTER_WORDS;
use arena::Handle;

impl<A: Arch> Visit<'_, A> {
    /// Brings an exit of the current vCPU to its server, which waits; `None` leaves all as it was,
    /// for [`Visit::handle`].
    #[inline(always)]
    pub fn fast_exit(&self, exit: &Exit) -> Option<Fast<'_, A>> {
        if !TAKEN {
            return None;
        }
        let item = self.core.current.get()?;
        let vcpu = self.entry.look(item.cast::<Vcpu<A>>())?;
        let pending = self.pending_exit(vcpu, exit)?;
        let slot = vcpu.slots.get(pending.route())?;
        if slot.own_tag().kind() != ObjectKind::Endpoint as u8 {
            return None;
        }
        let endpoint = self.entry.look(Handle::from_address(slot.object.get())?)?;
        let from = vcpu.execution();
        let waiting = self.fast_server::<true>(endpoint, from)?;
        let badge = slot.badge.get();
        self.leave_vcpu(vcpu);
        Self::make_pending(vcpu, &pending);
        self.fast_deliver::<true>((item, from), &waiting, badge);
        Some(Fast::Message(Message {
            to: waiting.server,
            words: pending.words,
            info: u64::from(pending.info.into_bits()),
            badge,
            sequence: from.sequence.get(),
        }))
    }

    /// An answer that lets a vCPU go on with its guest.
    #[inline(always)]
    pub(super) fn fast_answer_exit<'e>(
        &'e self,
        wait: (ExecutionRef, &Execution, &Endpoint, Handle<Endpoint>),
        item: ExecutionRef,
        (server, info): (&Thread<A>, u64),
    ) -> Option<Fast<'e, A>> {
        let vcpu = self.entry.look(item.cast::<Vcpu<A>>())?;
        let execution = vcpu.execution();
        let (flags, access) = (execution.flags(), vcpu.access.get());
        let goes_on = access != 0 || info >> 16 == ExitReply::Resume.number();
        if !goes_on
            || info & SHAPE > REGISTER_WORDS as u64
            || flags & !(flag::VCPU | flag::TURNS) != 0
            || !self.is_first(execution)
            || !self.is_loaded(item)
        {
            return None;
        }
        let is_charged = self.fast_budget::<true>(execution.budget.get())?;
        if flags & flag::TURNS != 0 && self.entry.look(execution.budget.get()?)?.left() <= 0 {
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
        if is_charged {
            self.charge_to(item);
        }
        Some(Fast::Guest(vcpu, self.enter_guest(item, vcpu)))
    }
}
