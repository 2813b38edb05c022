//! What the controllers of all machines have in common, and what each makes of it.

use crate::apic::{self, Apics};
use crate::floating::{Floating, Lines};
use crate::plic::{LineChanges, Plic};
use abi::exit::RouteKey;
use alloc::vec::Vec;
use irq_api::floating::{Act, Answer};
use irq_api::{MAX_SOURCE, Source, Start, Statistics};
use riscv_regs::interrupt::GuestInterrupts;
use vcpu_api::description::PLIC_BASE;
use x86_regs::one_reg::Register;

/// An access of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The vCPU that makes it.
    pub vcpu: usize,
    /// Its sequence number.
    pub sequence: u64,
    /// What the address is of.
    pub key: RouteKey,
    /// The address.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The value stored, or `None` for a load.
    pub store: Option<u64>,
    /// The machine's counter.
    pub now: u64,
}

/// The vCPUs, as changes reach them.
pub trait Vcpus {
    /// Raises and lowers lines of a vCPU.
    fn inject(&mut self, vcpu: usize, raise: u64, lower: u64);
    /// Writes a register of the vCPU whose exit is being served.
    fn write(&mut self, vcpu: usize, id: u64, value: u64);
    /// Tells the vCPU server that there are processors to start or to stop.
    fn ring(&mut self);
}

/// The interrupt controllers of a machine.
pub trait Chips: Sized + Send + 'static {
    /// What has to be done at the vCPUs.
    type Changes: Default;

    /// Returns the controllers of a guest with so many vCPUs, or `None` where there are none such.
    fn new(vcpus: usize) -> Option<Self>;
    /// Serves an access; one that no controller has reads as zero and does nothing. Puts what has to
    /// be done into `changes`, where nothing is yet: they are not moved on the way.
    fn access(&mut self, access: &Access, changes: &mut Self::Changes) -> u64;
    /// Moves the line of a device; `None` where there is no such line.
    fn raise(&mut self, source: Source, level: bool) -> Option<Self::Changes>;
    /// Forgets what the guest wrote.
    fn reset(&mut self) -> Self::Changes;
    /// Returns the ledger's counts.
    fn counts(&self) -> Statistics;
    /// Tells the vCPUs.
    fn tell(changes: &Self::Changes, vcpus: &mut impl Vcpus);

    /// Serves a vCPU that can take what its `lines` ask for; where the hardware delivers, none asks.
    fn window(&mut self, _vcpu: usize, _lines: u64, _now: u64) -> Self::Changes {
        Self::Changes::default()
    }

    /// Serves an access to a register of a vCPU that is a controller's; `None` where there is none.
    fn register(
        &mut self,
        _vcpu: usize,
        _access: (u32, Option<u64>),
        _now: u64,
    ) -> Option<(u64, Self::Changes)> {
        None
    }

    /// Posts, takes or forgets interruptions that the vCPU server stores; `None` where there are none
    /// such, or no such CPU.
    fn interruption(&mut self, _act: Act) -> Option<(Answer, Self::Changes)> {
        None
    }

    /// Returns what some processor has to do that its vCPU server does, once.
    fn take_start(&mut self) -> Option<Start> {
        None
    }
}

/// The external interrupt line of a RISC-V vCPU.
const EXTERNAL: u64 = GuestInterrupts::new().with_external(true).into_bits();

impl Chips for Plic {
    type Changes = LineChanges;

    fn new(vcpus: usize) -> Option<Self> {
        Self::new(vcpus, MAX_SOURCE).ok()
    }

    fn access(&mut self, access: &Access, changes: &mut LineChanges) -> u64 {
        let offset = access.address.wrapping_sub(PLIC_BASE);
        let served = match access.store {
            None => self.read(offset, access.size),
            Some(value) => {
                let stored = self.write(offset, access.size, value as u32);
                stored.map(|changes| (0, changes))
            }
        };
        let Ok((value, moved)) = served else {
            return 0;
        };
        *changes = moved;
        value.into()
    }

    fn raise(&mut self, source: Source, level: bool) -> Option<LineChanges> {
        self.raise(source, level)
    }

    fn reset(&mut self) -> LineChanges {
        self.reset()
    }

    fn counts(&self) -> Statistics {
        self.ledger().counts()
    }

    fn tell(changes: &LineChanges, vcpus: &mut impl Vcpus) {
        for index in changes.raised.iter() {
            vcpus.inject(index, EXTERNAL, 0);
        }
        for index in changes.lowered.iter() {
            vcpus.inject(index, 0, EXTERNAL);
        }
    }
}

impl Chips for Apics {
    type Changes = apic::Changes;

    fn new(vcpus: usize) -> Option<Self> {
        Self::new(vcpus)
    }

    fn access(&mut self, access: &Access, changes: &mut apic::Changes) -> u64 {
        match (access.key, access.size) {
            (RouteKey::Port, 1) => {
                let store = access.store.map(|value| value as u8);
                self.port(access.address, store).into()
            }
            (RouteKey::Device, 4) => {
                let store = access.store.map(|value| value as u32);
                let place = (access.address, store);
                self.memory(access.vcpu, place, access.now, changes).into()
            }
            _ => 0,
        }
    }

    fn raise(&mut self, source: Source, level: bool) -> Option<apic::Changes> {
        self.raise(source, level)
    }

    fn reset(&mut self) -> apic::Changes {
        self.reset()
    }

    fn counts(&self) -> Statistics {
        self.ledger().counts()
    }

    #[inline]
    fn tell(changes: &apic::Changes, vcpus: &mut impl Vcpus) {
        if !changes.is_empty() {
            perform(changes, vcpus);
        }
    }

    fn window(&mut self, vcpu: usize, lines: u64, now: u64) -> apic::Changes {
        self.window(vcpu, lines, now)
    }

    fn register(
        &mut self,
        vcpu: usize,
        access: (u32, Option<u64>),
        now: u64,
    ) -> Option<(u64, apic::Changes)> {
        self.register(vcpu, access, now)
    }

    fn take_start(&mut self) -> Option<Start> {
        let (vcpu, start) = self.take_start()?;
        Some(Start {
            vcpu: u8::try_from(vcpu).ok()?,
            stop: start.stop,
            page: start.page,
        })
    }
}

/// Tells the vCPUs of a PC what is changed.
#[inline(never)]
fn perform(changes: &apic::Changes, vcpus: &mut impl Vcpus) {
    if let Some((vcpu, event)) = changes.event {
        vcpus.write(vcpu, Register::Event.id(), event.register());
    }
    if let Some((vcpu, deadline)) = changes.deadline {
        let deadline = deadline.unwrap_or(u64::MAX);
        vcpus.write(vcpu, abi::register::TIMER_DEADLINE, deadline);
    }
    if let Some((vcpu, priority)) = changes.priority {
        vcpus.write(vcpu, Register::Cr8.id(), priority.into());
    }
    let raised = changes.raised | changes.non_maskable_raised;
    let lowered = changes.lowered | changes.non_maskable_lowered | changes.timer_lowered;
    let mut rest = raised | lowered;
    while rest != 0 {
        let vcpu = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        let line = |set: u64, line: u64| if set >> vcpu & 1 == 1 { line } else { 0 };
        let raise = line(changes.raised, apic::INTERRUPT)
            | line(changes.non_maskable_raised, apic::NON_MASKABLE);
        let lower = line(changes.lowered, apic::INTERRUPT)
            | line(changes.non_maskable_lowered, apic::NON_MASKABLE)
            | line(changes.timer_lowered, apic::TIMER);
        vcpus.inject(vcpu, raise, lower);
    }
    if changes.starts {
        vcpus.ring();
    }
}

impl Chips for Floating {
    type Changes = Vec<(usize, Lines)>;

    fn new(vcpus: usize) -> Option<Self> {
        (vcpus > 0).then(|| Self::new(vcpus))
    }

    fn access(&mut self, _access: &Access, _changes: &mut Self::Changes) -> u64 {
        // Nothing of it is in memory.
        0
    }

    fn raise(&mut self, _source: Source, _level: bool) -> Option<Self::Changes> {
        // No device has a line: adapters will set indicators.
        None
    }

    fn reset(&mut self) -> Self::Changes {
        self.reset();
        self.settle_all()
    }

    fn counts(&self) -> Statistics {
        self.ledger().counts()
    }

    fn tell(changes: &Self::Changes, vcpus: &mut impl Vcpus) {
        for (vcpu, Lines { raised, lowered }) in changes {
            vcpus.inject(*vcpu, *raised, *lowered);
        }
    }

    fn interruption(&mut self, act: Act) -> Option<(Answer, Self::Changes)> {
        let answer = self.act(act)?;
        Some((answer, self.settle_all()))
    }
}
