//! What travels: words, badge, budget.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::cap::Slot;
use crate::object::budget::Budget;
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::thread::Thread;
use crate::visit::CURRENT;
use abi::message::{MAX_CAPS, MAX_WORDS, REGISTER_WORDS};
use abi::{CallWord, DeliveryKind, Error, MessageInfo, ObjectKind};
use core::sync::atomic::AtomicU64;

impl<A: Arch> Visit<'_, A> {
    /// Checks the shape of a message that a thread is about to send.
    pub(crate) fn check_message(&self, thread: &Thread<A>, info: MessageInfo) -> Result<(), Error> {
        if info.words() > MAX_WORDS || info.caps() > MAX_CAPS {
            return Err(Error::BadArgument);
        }
        let needs_page = info.words() > REGISTER_WORDS || info.caps() > 0;
        if needs_page && self.message_page(thread).is_none() {
            return Err(Error::NotConfigured);
        }
        Ok(())
    }

    /// Returns the words of a thread's message page.
    pub(crate) fn message_page(&self, thread: &Thread<A>) -> Option<&[AtomicU64]> {
        self.page_of(thread.message_page(), CURRENT)
    }

    /// Returns the words of the page that a binding of an object of this core names, by this pin.
    #[inline(always)]
    pub(crate) fn page_of(&self, slot: &Slot, pin: usize) -> Option<&[AtomicU64]> {
        if slot.own_tag().kind() != ObjectKind::Frame as u8 {
            return None;
        }
        Some(self.entry.page(slot.object.get(), pin)?)
    }

    /// Hands a call to its receiver, which is then the one to answer it.
    pub(crate) fn deliver(&self, caller: ExecutionRef, receiver: ExecutionRef) {
        let (from, to) = (self.execution(caller), self.execution(receiver));
        from.set_state(State::AwaitingReply);
        from.callee.set(receiver.address());
        to.caller.set(Some(caller));
        to.depth.set(from.depth.get() + 1);
        self.lend_budget(from, to);
        let target = self.thread(receiver);
        target.frame.complete();
        let info = if from.is_vcpu() || from.has(flag::KERNEL_MESSAGE) {
            Self::copy_kernel_message(from, &target.frame);
            MessageInfo::from_bits(u32::try_from(from.info.get()).unwrap_or(0))
        } else {
            let source = self.thread(caller);
            let info = CallWord::from_bits(source.frame.call_word()).info();
            let info = self.copy_message(source, target, info);
            info.with_kind(DeliveryKind::Call as u8)
        };
        target.frame.set_info(u64::from(info.into_bits()));
        target.frame.set_result(7, from.badge.get());
        if from.is_vcpu() {
            target.frame.set_result(8, from.sequence.get());
        }
    }

    /// Copies the words of a message that the kernel made.
    fn copy_kernel_message(from: &Execution, frame: &A::Frame) {
        for (index, word) in from.words.iter().enumerate() {
            frame.set_result(index + 1, word.get());
        }
    }

    /// Copies words and capabilities of a message; returns the shape that arrived.
    pub(crate) fn copy_message(
        &self,
        source: &Thread<A>,
        target: &Thread<A>,
        info: MessageInfo,
    ) -> MessageInfo {
        for index in 1..=REGISTER_WORDS {
            target.frame.set_result(index, source.frame.argument(index));
        }
        if info.words() <= REGISTER_WORDS && info.caps() == 0 {
            return info;
        }
        let pages = (self.message_page(source), self.message_page(target));
        let (Some(from), Some(to)) = pages else {
            return info
                .with_words(info.words().min(REGISTER_WORDS))
                .with_caps(0);
        };
        let long = REGISTER_WORDS..info.words().max(REGISTER_WORDS);
        self.copy_words(from.get(long.clone()).zip(to.get(long)));
        let caps = if info.caps() > 0 {
            self.transfer(source, target, info)
        } else {
            0
        };
        info.with_caps(caps)
    }

    /// Lets a server run on its caller's budget, unless it keeps to its own or nothing is left:
    /// the handler of a timeout is not to wait for the budget that ran out.
    fn lend_budget(&self, from: &Execution, to: &Execution) {
        let Some(handle) = from.budget.get() else {
            return;
        };
        if to.detail.get() == KEEPS_OWN_BUDGET || from.core.get() != to.core.get() {
            return;
        }
        let has_time = |budget: &Budget| budget.is_unlimited() || budget.left() > 0;
        if self.entry.find(handle).is_some_and(has_time) {
            to.budget.set(Some(handle));
        }
    }
}

/// `Execution::detail` of a thread that serves its clients on its own budget.
pub const KEEPS_OWN_BUDGET: u64 = 1;
