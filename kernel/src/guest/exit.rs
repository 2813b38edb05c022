//! Exits out: calls on behalf of a vCPU, and what their answers do.

use crate::Visit;
use crate::arch::{Access, Arch, Exit};
use crate::object::endpoint::Endpoint;
use crate::object::execution::{ExecutionRef, State};
use crate::object::space::Route;
use crate::object::vcpu::{DEVICES, EXITS, Vcpu};
use abi::exit::{AccessInfo, ExitClass, ExitReply, RouteKey};
use abi::{DeliveryKind, MessageInfo, Rights};

impl<A: Arch> Visit<'_, A> {
    /// Handles an exit of the current vCPU.
    pub(crate) fn guest_exit(&self, exit: &Exit) {
        let Some(item) = self.core.current.get() else {
            return;
        };
        let vcpu = self.vcpu(item);
        if let Some(pending) = self.pending_exit(vcpu, exit) {
            self.send_exit(item, &pending);
        } else {
            let [_, idle, _] = &vcpu.counts;
            idle.add(1);
            self.idle_vcpu(item, vcpu.execution());
        }
    }

    /// Returns what an exit is to a server, and sets its words; `None` where the guest only waits.
    #[inline(never)]
    pub(crate) fn pending_exit(&self, vcpu: &Vcpu<A>, exit: &Exit) -> Option<Pending> {
        let pc = self.arch.guest_program_counter(&vcpu.guest);
        let of = |class, words| Pending::with(vcpu, class, words);
        Some(match *exit {
            Exit::Idle => return None,
            Exit::Hypercall => self.pending_instruction(vcpu, None),
            Exit::Instruction { bits } => self.pending_instruction(vcpu, Some(bits)),
            Exit::Window { lines } => of(ExitClass::Window, [pc, lines, 0, 0, 0, 0]),
            Exit::Other { details: [a, b, c] } => of(ExitClass::Other, [pc, a, b, c, 0, 0]),
            Exit::Access(access) => self.pending_access(vcpu, &access),
        })
    }

    /// Returns what an instruction is to a server, and sets its words: that of a hypercall, unless it
    /// has bits. Inline, for it is the shortest, like accesses.
    #[inline(always)]
    pub(crate) fn pending_instruction(&self, vcpu: &Vcpu<A>, bits: Option<u64>) -> Pending {
        let pc = self.arch.guest_program_counter(&vcpu.guest);
        let [own, mode] = self.arch.guest_instruction(&vcpu.guest);
        let class = bits.map_or(ExitClass::Hypercall, |_| ExitClass::Instruction);
        Pending::with(vcpu, class, [pc, bits.unwrap_or(own), mode, 0, 0, 0])
    }

    /// Returns what an access is to a server, and sets its words.
    #[inline(always)]
    pub(crate) fn pending_access(&self, vcpu: &Vcpu<A>, access: &Access) -> Pending {
        let (key, address) = (access.key, access.address);
        let route = self.find_route(vcpu, (key, address));
        let described = match route {
            // Who maps memory does not ask what the instruction does.
            Some((_, RouteKey::Memory)) => None,
            _ => self.described(vcpu, access.description),
        };
        let described = described.map(|(info, value)| (info.with_key(key as u8), value));
        let words = [address, access.virtual_address, access.cause, key.number()];
        self.pending_at(vcpu, (route, described), words)
    }

    /// Returns what the hardware says about an access.
    #[inline(always)]
    fn described(&self, vcpu: &Vcpu<A>, description: u64) -> Option<(AccessInfo, u64)> {
        let registers = || self.registers(vcpu).unwrap_or(&[]);
        self.arch.guest_access(&vcpu.guest, description, registers)
    }

    /// Returns what an access is to the server of its route, with what describes it: address, the
    /// guest's own, cause, and key of the address space.
    #[inline(always)]
    fn pending_at(
        &self,
        vcpu: &Vcpu<A>,
        (route, described): (Found, Option<(AccessInfo, u64)>),
        [address, at, cause, key]: [u64; 4],
    ) -> Pending {
        let class = match (route, described) {
            (Some((_, RouteKey::Memory)), None) => ExitClass::Memory,
            (Some((_, RouteKey::Memory)) | None, _) => ExitClass::Unclaimed,
            (Some(_), None) => ExitClass::Device,
            (Some((route, _)), Some((info, value))) => {
                return Pending::access(vcpu, (address, value), info.with_route(route));
            }
        };
        let pc = self.arch.guest_program_counter(&vcpu.guest);
        let info = described.map_or(0, |(info, _)| info.into_bits());
        Pending::with(vcpu, class, [pc, address, at, cause, key, info])
    }

    /// Returns index and key of the route that has `address` of the address space of `key`: no two
    /// do, so the one of the vCPU's last access is looked at before all others.
    #[inline(always)]
    fn find_route(&self, vcpu: &Vcpu<A>, (key, address): (RouteKey, u64)) -> Found {
        let has = |route: &&Route| {
            address.wrapping_sub(route.base.get()) < route.length.get() && route.is_in_space_of(key)
        };
        let routes = &self.guest_space_of(vcpu)?.routes;
        let mut last = vcpu.route.get();
        if routes.get(last as usize).filter(has).is_none() {
            last = routes.iter().position(|route| has(&route))? as u64;
            vcpu.route.set(last);
        }
        let key = RouteKey::from_number(routes.get(last as usize)?.key.get())?;
        Some((last as u8, key))
    }

    /// Makes an exit the pending one, and sends it to its server.
    fn send_exit(&self, item: ExecutionRef, pending: &Pending) {
        Self::make_pending(self.vcpu(item), pending);
        self.send_exit_again(item);
    }

    /// Makes an exit, whose words are set, the pending one, with a sequence number of its own.
    #[inline(always)]
    pub(crate) fn make_pending(vcpu: &Vcpu<A>, pending: &Pending) {
        let execution = vcpu.execution();
        let count = if pending.info.kind() == DeliveryKind::Access as u8 {
            Some(&vcpu.access_count)
        } else {
            vcpu.class_counts.get(usize::from(pending.info.label()))
        };
        if let Some(count) = count {
            count.add(1);
        }
        vcpu.access.set(pending.access);
        execution.info.set(u64::from(pending.info.into_bits()));
        execution.sequence.add(1);
        vcpu.exit_pending.set(1);
    }

    /// Sends the pending exit to the server that its route names now.
    pub(crate) fn send_exit_again(&self, item: ExecutionRef) {
        let vcpu = self.vcpu(item);
        let execution = vcpu.execution();
        let info = MessageInfo::from_bits(u32::try_from(execution.info.get()).unwrap_or(0));
        let slot = vcpu.slots.get(route_of(info, vcpu.access.get()));
        match slot.map(|slot| self.resolved::<Endpoint>(slot, Rights::new())) {
            Some(Ok(to)) => {
                execution.badge.set(to.slot.badge.get());
                self.send_call(item, to.handle);
            }
            _ => execution.set_state(State::Unrouted),
        }
    }

    /// Does what a server answered to the pending exit.
    pub(crate) fn answer_exit(&self, item: ExecutionRef, label: u16, words: [u64; 6]) {
        let vcpu = self.vcpu(item);
        vcpu.exit_pending.set(0);
        let [first, ..] = words;
        if vcpu.access.get() != 0 {
            let access = vcpu.access.replace(0);
            self.complete_access(vcpu, access, first);
            return self.make_ready(item);
        }
        match ExitReply::from_number(u64::from(label)) {
            Some(ExitReply::Resume) => self.make_ready(item),
            Some(ExitReply::Behind) => {
                self.arch.guest_skip(&vcpu.guest, first & LENGTH);
                self.make_ready(item);
            }
            Some(ExitReply::Forward) => self.send_exit(item, &self.forwarded(vcpu, words)),
            Some(ExitReply::Decline) => {
                // Who hears of it next decodes: what that asks for is put into the page.
                self.described(vcpu, 0);
                self.send_exit(item, &Pending::of(ExitClass::Unclaimed));
            }
            Some(ExitReply::Idle) => self.idle_vcpu(item, vcpu.execution()),
            Some(ExitReply::Stop) | None => vcpu.execution().set_state(State::Stopped),
        }
    }

    /// Ends the access that a device answered with `value`.
    pub(crate) fn complete_access(&self, vcpu: &Vcpu<A>, access: u64, value: u64) {
        let access = AccessInfo::from_bits(access);
        self.arch
            .guest_skip(&vcpu.guest, access.instruction_length().into());
        if !access.write()
            && let Some(registers) = self.registers(vcpu)
        {
            self.arch.guest_loaded(registers, access, value);
        }
    }

    /// Returns what an access that a vcpu server decoded is to its device's server.
    #[inline(never)]
    pub(crate) fn forwarded(&self, vcpu: &Vcpu<A>, words: [u64; 6]) -> Pending {
        let [address, info, value, ..] = words;
        let info = AccessInfo::from_bits(info);
        let key = u64::from(info.key());
        let route =
            RouteKey::from_number(key).and_then(|key| self.find_route(vcpu, (key, address)));
        self.pending_at(vcpu, (route, Some((info, value))), [address, 0, 0, key])
    }
}

/// The bits of an answer that say how long an instruction is.
pub(crate) const LENGTH: u64 = 15;

/// Index and key of the route that has an address.
type Found = Option<(u8, RouteKey)>;

/// An exit as its server hears of it, beside its words, which are in the vCPU's execution.
pub(crate) struct Pending {
    /// Kind, label and number of words.
    pub info: MessageInfo,
    /// The access that a device server is to make, an [`AccessInfo`]; 0 of every other exit.
    access: u64,
}

impl Pending {
    /// Makes an exit of a class.
    #[inline(always)]
    pub(crate) fn of(class: ExitClass) -> Self {
        let count = match class {
            ExitClass::Device | ExitClass::Memory | ExitClass::Unclaimed => 6,
            ExitClass::Hypercall
            | ExitClass::Instruction
            | ExitClass::Window
            | ExitClass::Other => 4,
        };
        let info = MessageInfo::new()
            .with_kind(DeliveryKind::Exit as u8)
            .with_label(class as u16)
            .with_words(count);
        Self { info, access: 0 }
    }

    /// Makes an exit of a class, and sets its words.
    #[inline(always)]
    fn with<A: Arch>(vcpu: &Vcpu<A>, class: ExitClass, words: [u64; 6]) -> Self {
        vcpu.execution().set_words(words);
        Self::of(class)
    }

    /// Makes a device access.
    fn access<A: Arch>(vcpu: &Vcpu<A>, (address, value): (u64, u64), info: AccessInfo) -> Self {
        let access = info.into_bits();
        vcpu.execution()
            .set_words([address, access, value, 0, 0, 0]);
        Self {
            info: MessageInfo::new()
                .with_kind(DeliveryKind::Access as u8)
                .with_words(3),
            access,
        }
    }

    /// Returns the slot of the vCPU that names the server.
    #[inline(always)]
    pub(crate) fn route(&self) -> usize {
        route_of(self.info, self.access)
    }
}

/// Returns the slot of a vCPU that names the server of an exit.
#[inline(always)]
fn route_of(info: MessageInfo, access: u64) -> usize {
    if info.kind() == DeliveryKind::Access as u8 {
        DEVICES + usize::from(AccessInfo::from_bits(access).route())
    } else {
        EXITS + usize::from(info.label())
    }
}
