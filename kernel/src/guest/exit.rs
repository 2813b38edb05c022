//! Exits out: calls on behalf of a vCPU, and what their answers do.

use crate::Visit;
use crate::arch::{Arch, Exit};
use crate::object::endpoint::Endpoint;
use crate::object::execution::{ExecutionRef, State};
use crate::object::space::Route;
use crate::object::vcpu::{DEVICES, EXITS, Vcpu};
use abi::exit::{AccessInfo, ExitClass, ExitReply, RouteKey};
use abi::{DeliveryKind, MessageInfo, ObjectKind};
use arena::Handle;

impl<A: Arch> Visit<'_, A> {
    /// Handles an exit of the current vCPU.
    pub(crate) fn guest_exit(&self, exit: Exit) {
        let Some(item) = self.core.current.get() else {
            return;
        };
        let vcpu = self.vcpu(item);
        let pc = self.arch.guest_program_counter(&vcpu.guest);
        match exit {
            Exit::Idle => {
                let [_, idle, _] = &vcpu.counts;
                idle.add(1);
                self.idle_vcpu(item, vcpu.execution());
            }
            Exit::Hypercall => self.send_exit(item, ExitClass::Hypercall, words([pc])),
            Exit::Instruction { bits } => {
                self.send_exit(item, ExitClass::Instruction, words([pc, bits]));
            }
            Exit::Window { lines } => {
                self.send_exit(item, ExitClass::Window, words([pc, lines]));
            }
            Exit::Other {
                details: [first, second, third],
            } => {
                let words = words([pc, first, second, third]);
                self.send_exit(item, ExitClass::Other, words);
            }
            Exit::Access {
                key,
                address,
                virtual_address,
                cause,
                access,
            } => {
                let access = access.map(|(info, value)| (info.with_key(key as u8), value));
                let info = access.map_or(0, |(info, _)| info.into_bits());
                let words = [pc, address, virtual_address, cause, key.number(), info];
                self.access_exit(item, (key, address, words), access);
            }
        }
    }

    /// Sends an access to whoever owns the address.
    fn access_exit(
        &self,
        item: ExecutionRef,
        (key, address, words): (RouteKey, u64, [u64; 6]),
        access: Option<(AccessInfo, u64)>,
    ) {
        let vcpu = self.vcpu(item);
        match (self.find_route(vcpu, (key, address)), access) {
            (Some((_, RouteKey::Memory)), _) => {
                self.send_exit(item, ExitClass::Memory, words);
            }
            (Some((route, _)), Some((info, value))) => {
                self.send_access(item, address, (info.with_route(route), value));
            }
            (Some(_), None) => self.send_exit(item, ExitClass::Device, words),
            (None, _) => self.send_exit(item, ExitClass::Unclaimed, words),
        }
    }

    /// Returns index and key of the route that has `address` of the address space of `key`.
    fn find_route(
        &self,
        vcpu: &Vcpu<A>,
        (key, address): (RouteKey, u64),
    ) -> Option<(u8, RouteKey)> {
        let space = self.guest_space_of(vcpu)?;
        let has = |route: &Route| {
            route.is_in_space_of(key) && address.wrapping_sub(route.base.get()) < route.length.get()
        };
        let index = space.routes.iter().position(has)?;
        let key = RouteKey::from_number(space.routes.get(index)?.key.get())?;
        Some((u8::try_from(index).ok()?, key))
    }

    /// Makes an exit of this class the pending one, and sends it to its server.
    fn send_exit(&self, item: ExecutionRef, class: ExitClass, words: [u64; 6]) {
        let vcpu = self.vcpu(item);
        let label = u16::try_from(class.number()).unwrap_or(0);
        if let Some(count) = vcpu.class_counts.get(usize::from(label)) {
            count.add(1);
        }
        vcpu.access.set(0);
        let count = match class {
            ExitClass::Device | ExitClass::Memory | ExitClass::Unclaimed => 6,
            ExitClass::Hypercall
            | ExitClass::Instruction
            | ExitClass::Window
            | ExitClass::Other => 4,
        };
        let info = MessageInfo::new()
            .with_kind(DeliveryKind::Exit as u8)
            .with_label(label)
            .with_words(count);
        self.new_exit(item, info, words);
    }

    /// Makes a device access the pending exit, and sends it to the device's server.
    fn send_access(&self, item: ExecutionRef, address: u64, (info, value): (AccessInfo, u64)) {
        let vcpu = self.vcpu(item);
        vcpu.access_count.add(1);
        vcpu.access.set(info.into_bits());
        let words = [address, info.into_bits(), value, 0, 0, 0];
        let shape = MessageInfo::new()
            .with_kind(DeliveryKind::Access as u8)
            .with_words(3);
        self.new_exit(item, shape, words);
    }

    /// Makes an exit the pending one, with a sequence number of its own, and sends it.
    fn new_exit(&self, item: ExecutionRef, info: MessageInfo, words: [u64; 6]) {
        let vcpu = self.vcpu(item);
        let execution = vcpu.execution();
        for (word, value) in execution.words.iter().zip(words) {
            word.set(value);
        }
        execution.info.set(u64::from(info.into_bits()));
        execution.sequence.add(1);
        vcpu.exit_pending.set(1);
        self.send_exit_again(item);
    }

    /// Sends the pending exit to the server that its route names now.
    pub(crate) fn send_exit_again(&self, item: ExecutionRef) {
        let vcpu = self.vcpu(item);
        let execution = vcpu.execution();
        let info = MessageInfo::from_bits(u32::try_from(execution.info.get()).unwrap_or(0));
        let index = if info.kind() == DeliveryKind::Access as u8 {
            DEVICES + usize::from(AccessInfo::from_bits(vcpu.access.get()).route())
        } else {
            EXITS + usize::from(info.label())
        };
        let slot = vcpu.slots.get(index);
        let slot = slot.filter(|slot| slot.tag().object_kind() == Some(ObjectKind::Endpoint));
        let endpoint = slot.and_then(|slot| Handle::<Endpoint>::from_address(slot.object.get()));
        match (
            slot,
            endpoint.filter(|endpoint| self.entry.find(*endpoint).is_some()),
        ) {
            (Some(slot), Some(endpoint)) => {
                execution.badge.set(slot.badge.get());
                self.send_call(item, endpoint);
            }
            _ => execution.set_state(State::Unrouted),
        }
    }

    /// Does what a server answered to the pending exit.
    pub(crate) fn answer_exit(&self, item: ExecutionRef, label: u16, words: [u64; 6]) {
        let vcpu = self.vcpu(item);
        vcpu.exit_pending.set(0);
        let [first, second, third, ..] = words;
        if vcpu.access.get() != 0 {
            let access = vcpu.access.replace(0);
            self.complete_access(vcpu, access, first);
            return self.make_ready(item);
        }
        match ExitReply::from_number(u64::from(label)) {
            Some(ExitReply::Resume) => self.make_ready(item),
            Some(ExitReply::Forward) => {
                let info = AccessInfo::from_bits(second);
                self.forward(item, first, (info, third));
            }
            Some(ExitReply::Decline) => {
                let words = vcpu
                    .execution()
                    .words
                    .each_ref()
                    .map(crate::word::Word::get);
                self.send_exit(item, ExitClass::Unclaimed, words);
            }
            Some(ExitReply::Idle) => self.idle_vcpu(item, vcpu.execution()),
            Some(ExitReply::Stop) | None => vcpu.execution().set_state(State::Stopped),
        }
    }

    /// Ends the access that a device answered with `value`.
    pub(crate) fn complete_access(&self, vcpu: &Vcpu<A>, access: u64, value: u64) {
        if let Some(registers) = self.registers(vcpu) {
            let access = AccessInfo::from_bits(access);
            self.arch
                .guest_complete(&vcpu.guest, registers, access, value);
        }
    }

    /// Makes an access for the guest that its vcpu server decoded.
    fn forward(&self, item: ExecutionRef, address: u64, (info, value): (AccessInfo, u64)) {
        let vcpu = self.vcpu(item);
        let key = RouteKey::from_number(u64::from(info.key()));
        match key.and_then(|key| self.find_route(vcpu, (key, address))) {
            Some((route, RouteKey::Device | RouteKey::Port | RouteKey::Subchannel)) => {
                self.send_access(item, address, (info.with_route(route), value));
            }
            Some((_, RouteKey::Memory)) | None => {
                let pc = self.arch.guest_program_counter(&vcpu.guest);
                let key = u64::from(info.key());
                let words = [pc, address, 0, 0, key, info.into_bits()];
                self.send_exit(item, ExitClass::Unclaimed, words);
            }
        }
    }
}

/// Returns the words of an exit, filled up with zeros.
fn words<const N: usize>(first: [u64; N]) -> [u64; 6] {
    core::array::from_fn(|index| first.get(index).copied().unwrap_or(0))
}
