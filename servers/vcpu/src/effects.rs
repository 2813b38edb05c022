//! What handlers may do to the guest and the world; the binaries implement it over the kernel.

use crate::Lifecycle;
use abi::exit::ExitClass;
use irq_api::floating::{Act, Answer};

/// The most vCPUs of a VM.
pub const MAX_VCPUS: usize = 64;

/// Index of a vCPU in its VM; below [`MAX_VCPUS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub struct VcpuId(u8);

impl VcpuId {
    /// The vCPU that a guest boots on.
    pub const FIRST: Self = Self(0);

    /// Returns the id with this index, or `None` from [`MAX_VCPUS`] on.
    #[must_use]
    pub const fn new(index: usize) -> Option<Self> {
        if index < MAX_VCPUS {
            Some(Self(index as u8))
        } else {
            None
        }
    }

    /// Returns the index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of vCPUs of one VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VcpuSet(u64);

impl VcpuSet {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// Returns the set of the first `count` vCPUs.
    #[must_use]
    pub const fn first(count: usize) -> Self {
        if count >= MAX_VCPUS {
            Self(u64::MAX)
        } else {
            Self((1 << count) - 1)
        }
    }

    /// Returns the set whose members have their bit set: bit `i` is vCPU `i`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bits: bit `i` is vCPU `i`.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the set with `vcpu` too.
    #[must_use]
    pub const fn with(self, vcpu: VcpuId) -> Self {
        Self(self.0 | 1 << vcpu.0)
    }

    /// Returns the set without `vcpu`.
    #[must_use]
    pub const fn without(self, vcpu: VcpuId) -> Self {
        Self(self.0 & !(1 << vcpu.0))
    }

    /// Returns whether `vcpu` is a member.
    #[must_use]
    pub const fn contains(self, vcpu: VcpuId) -> bool {
        self.0 >> vcpu.0 & 1 == 1
    }

    /// Returns whether every member is one of `other`.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Returns whether there is no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members in rising order.
    pub fn iter(self) -> impl Iterator<Item = VcpuId> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let first = rest.trailing_zeros();
            rest &= rest - 1;
            Some(VcpuId(first as u8))
        })
    }
}

/// Interrupt lines that firmware calls move; device interrupts are the irq server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The guest's inter-processor interrupt.
    Software,
    /// The guest's timer, which the kernel raises when the deadline passes.
    Timer,
}

/// What a fence makes vCPUs forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceKind {
    /// Translations of the guest's own tables, and fetched instructions.
    All,
    /// Fetched instructions.
    Instructions,
}

/// What a processor has to do: stop where it waits to be started, then start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub vcpu: VcpuId,
    /// It is reset, and waits.
    pub stop: bool,
    /// It starts at this page of 4 KiB, if it waits.
    pub page: Option<u8>,
}

/// Why guest memory was not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// Part of the range is the guest's but is not there now; nothing, or part, was copied.
    Absent {
        /// A guest-physical address in the missing page.
        address: u64,
    },
    /// Part of the range is not memory of the guest; nothing was copied.
    Outside,
}

/// The vCPU does not have the register, or not with this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterError;

/// Something worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum Event {
    /// A guest accessed what is neither memory nor device; reported once per address.
    Unclaimed {
        /// Which vCPU.
        vcpu: VcpuId,
        /// The guest-physical address.
        address: u64,
        /// The guest's program counter.
        program_counter: u64,
    },
    /// An access to a device that no device can serve (atomic, floating point, misaligned);
    /// reported once per address.
    UnsupportedAccess {
        /// Which vCPU.
        vcpu: VcpuId,
        /// The guest-physical address.
        address: u64,
        /// The instruction.
        instruction: u32,
    },
    /// An exit that the machine should not have made.
    UnexpectedExit {
        /// Which vCPU.
        vcpu: VcpuId,
        /// The class of the exit.
        class: ExitClass,
    },
    /// The VM's lifecycle moved.
    Lifecycle(Lifecycle),
}

/// What handlers may do. `vcpu` is a vCPU of this VM; what is meant for another one is left out, and
/// is answered by zeros, errors and `false`.
///
/// Registers other than the general ones are named by the ids of `abi::register` and the machines'
/// `*-regs` crates; they can be read and written only while the vCPU is stopped or waits for the
/// reply to an exit.
pub trait Effects {
    /// Returns general register `register` (0 to 31) of a vCPU, from its register page.
    fn general(&mut self, vcpu: VcpuId, register: u8) -> u64;

    /// Sets general register `register` (0 to 31); of a register that is always zero, does nothing.
    fn set_general(&mut self, vcpu: VcpuId, register: u8, value: u64);

    /// Returns so many general registers, from `first` on.
    fn generals<const COUNT: usize>(&mut self, vcpu: VcpuId, first: u8) -> [u64; COUNT] {
        let mut registers = first..;
        [(); COUNT].map(|()| self.general(vcpu, registers.next().unwrap_or_default()))
    }

    /// Sets the general registers from `first` on.
    fn set_generals<const COUNT: usize>(&mut self, vcpu: VcpuId, first: u8, values: [u64; COUNT]) {
        for (register, value) in (first..).zip(values) {
            self.set_general(vcpu, register, value);
        }
    }

    /// Reads the register with this id.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] where there is none.
    fn read_register(&mut self, vcpu: VcpuId, id: u64) -> Result<u64, RegisterError>;

    /// Returns the registers that an access which the hardware does not describe leaves at hand, as
    /// many as are asked for, in the machine's order; `None` where this exit left none, or one was
    /// written since: then [`Self::read_register`] has them.
    fn noted<const COUNT: usize>(&mut self, vcpu: VcpuId) -> Option<[u64; COUNT]> {
        let _ = vcpu;
        None
    }

    /// Writes the register with this id.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] where there is none, or it does not take the value.
    fn write_register(&mut self, vcpu: VcpuId, id: u64, value: u64) -> Result<(), RegisterError>;

    /// Raises (`level`) or lowers an interrupt line of a vCPU, on any core.
    fn inject(&mut self, vcpu: VcpuId, line: Line, level: bool);

    /// Makes every vCPU of the set forget before its next guest instruction; returns when all did.
    fn fence(&mut self, vcpus: VcpuSet, kind: FenceKind);

    /// Lets a stopped vCPU run. Returns whether it runs now; where it will run later, the binary
    /// reports that by [`crate::Machine::started`].
    fn start(&mut self, vcpu: VcpuId) -> bool;

    /// Stops a vCPU other than the one that is handled now.
    fn stop(&mut self, vcpu: VcpuId);

    /// Stops a vCPU other than the one that is handled now between two instructions: what it waits
    /// for stays, and is answered when it is started again.
    fn pause(&mut self, vcpu: VcpuId) {
        self.stop(vcpu);
    }

    /// Makes a stopped vCPU give up what it waits for, so that its registers can be set.
    fn abandon(&mut self, vcpu: VcpuId) {
        let _ = vcpu;
    }

    /// Posts, takes or forgets interruptions of a machine whose interrupt server keeps them, for an
    /// exit of vCPU `by`; once for each exit.
    fn interruption(&mut self, by: VcpuId, act: Act) -> Answer {
        let _ = (by, act);
        Answer::default()
    }

    /// Returns whether a vCPU's guest waits for an interrupt now.
    fn is_idle(&mut self, vcpu: VcpuId) -> bool;

    /// Copies guest-physical memory out; never blocks.
    ///
    /// # Errors
    ///
    /// [`MemoryError`] where not all of it is there.
    fn read_guest(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError>;

    /// Returns eight bytes of guest-physical memory, loaded at once where they are aligned; `None`
    /// where they are not at hand, which [`Self::read_guest`] goes on with, or tells why.
    fn guest_word(&mut self, address: u64) -> Option<[u8; 8]> {
        let mut bytes = [0; 8];
        self.read_guest(address, &mut bytes).ok()?;
        Some(bytes)
    }

    /// Copies into guest-physical memory; never blocks.
    ///
    /// # Errors
    ///
    /// [`MemoryError`] where not all of it is there.
    fn write_guest(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError>;

    /// Writes to the guest's console; returns how many bytes it took.
    fn console_write(&mut self, bytes: &[u8]) -> usize;

    /// Reads from the guest's console; returns how many bytes there were.
    fn console_read(&mut self, buffer: &mut [u8]) -> usize;

    /// Reports an event.
    fn event(&mut self, event: Event);

    /// Returns the machine's counter.
    fn counter(&mut self) -> u64 {
        0
    }

    /// Returns the ticks per second of the machine's counter.
    fn ticks_per_second(&mut self) -> u64 {
        1
    }

    /// Returns the machine's counter, and its ticks per second.
    fn clock(&mut self) -> (u64, u64) {
        (self.counter(), self.ticks_per_second())
    }

    /// Loads from a device, for an instruction that does more with the value than the kernel can;
    /// `ports` says what the address is. `None` where no device is there. Once in an exit.
    fn load_device(&mut self, _vcpu: VcpuId, _ports: bool, _place: (u64, u8)) -> Option<u64> {
        None
    }

    /// Accesses a register that is the interrupt controllers': stores the value, or loads. `None`
    /// where there is none, or it does not take the value. Once in an exit.
    fn controller_register(
        &mut self,
        _vcpu: VcpuId,
        _number: u32,
        _store: Option<u64>,
    ) -> Option<u64> {
        None
    }

    /// Returns what a processor has to do as the interrupt controllers say, once.
    fn take_start(&mut self) -> Option<Start> {
        None
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{MAX_VCPUS, VcpuId, VcpuSet};
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn the_members_of_a_set_are_those_whose_bit_is_set(bits: u64) {
            let members: Vec<_> = VcpuSet::from_bits(bits).iter().map(VcpuId::index).collect();
            let set = (0..MAX_VCPUS).filter(|index| bits >> index & 1 == 1);
            prop_assert_eq!(members, set.collect::<Vec<_>>());
        }
    }
}
