//! Accesses to devices in memory: the machine tells where, the instruction tells what.
//!
//! A plain load or store is forwarded: the kernel ends it. What does more with a value asks the
//! device for it at once, so that nothing of the guest's sees a half-way state; a store that follows
//! is forwarded still.

use super::arithmetic::{self, cut, extend};
use super::exception::Event;
use super::instruction::{Instruction, Operation, Operator, Part, Source};
use super::ports::{count_down, step_index};
use super::registers::{general, linear, part, read, set_part, write};
use super::walk::{fetch, translate};
use super::{Trouble, X86};
use crate::{Access, Effects, Event as Report, Exit, Outcome, VcpuId};
use abi::exit::{AccessInfo, ExitClass};
use x86_regs::one_reg::Register;

/// The machine's cause, as of a page fault: a store.
const STORE: u64 = 1 << 1;
/// A fetch.
const FETCH: u64 = 1 << 4;
/// None of the machine's: a device server has the address.
const CLAIMED: u64 = 1 << 63;
/// A walk of the guest's tables.
const WALK: u64 = 1 << 33;
/// RSI.
const SOURCE: u8 = 6;
/// RDI.
const DESTINATION: u8 = 7;

/// One access, as the machine reported it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// The guest-physical address.
    pub address: u64,
    /// The machine's cause, and [`CLAIMED`].
    cause: u64,
}

impl Fault {
    /// Returns the access of an exit.
    #[inline]
    pub(super) const fn of(exit: Exit) -> Self {
        let [_, address, _, cause, ..] = exit.words;
        let cause = if matches!(exit.class, ExitClass::Device) {
            cause | CLAIMED
        } else {
            cause & !CLAIMED
        };
        Self { address, cause }
    }

    /// Returns whether a device server has the address; else nothing is there.
    #[inline]
    pub(super) const fn claimed(self) -> bool {
        self.cause & CLAIMED != 0
    }

    /// Returns whether the instruction stores there.
    #[inline]
    const fn stores(self) -> bool {
        self.cause & STORE != 0
    }

    /// Returns whether the instruction, or a table, is there.
    #[inline]
    const fn fetches(self) -> bool {
        self.cause & (FETCH | WALK) != 0
    }

    /// Returns the class of its exit.
    const fn class(self) -> ExitClass {
        if self.claimed() {
            ExitClass::Device
        } else {
            ExitClass::Unclaimed
        }
    }
}

impl X86 {
    /// Handles an access to memory that is no RAM, by the instruction at the program counter.
    #[inline(never)]
    pub(super) fn access<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        program_counter: u64,
        fault: Fault,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        if !fault.claimed() {
            self.report(vcpu, program_counter, fault, effects);
        }
        if fault.fetches() {
            // Code or tables where no memory is: nothing sensible can follow.
            let cause = (fault.class(), fault.address);
            return Ok(self.give_up(vcpu, cause, program_counter, effects));
        }
        let (bytes, mode) = fetch(vcpu, program_counter, effects)?;
        match Instruction::decode(bytes, mode) {
            Some(instruction) => self.perform(vcpu, fault, instruction, effects),
            None => {
                let first = bytes.from(0) as u32;
                self.unknown(vcpu, (program_counter, first), fault, effects)
            }
        }
    }

    /// Reports an access to what is neither memory nor device.
    #[cold]
    #[inline(never)]
    fn report<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        program_counter: u64,
        fault: Fault,
        effects: &mut E,
    ) {
        let address = fault.address;
        if self.reported.is_new(address) {
            effects.event(Report::Unclaimed {
                vcpu,
                address,
                program_counter,
            });
        }
    }

    /// Refuses an instruction that is not known, of which these are the first bytes.
    #[cold]
    #[inline(never)]
    fn unknown<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (program_counter, instruction): (u64, u32),
        fault: Fault,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let address = fault.address;
        if self.reported.is_new(program_counter) {
            effects.event(Report::UnsupportedAccess {
                vcpu,
                address,
                instruction,
            });
        }
        self.refuse(vcpu, Event::InvalidOpcode, effects)
    }

    /// Does what an instruction does.
    #[inline]
    fn perform<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        fault: Fault,
        it: Instruction,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        match it.operation {
            Operation::Load { to, wide, signed } => {
                self.load((vcpu, fault), it, (to, wide, signed), effects)
            }
            Operation::Store(source) => {
                let value = operand(vcpu, source, (it.size, it.immediate), effects)?;
                Ok(self.store(fault, (it.size, it.length), value))
            }
            Operation::MoveString | Operation::StoreString | Operation::LoadString => {
                self.string(vcpu, fault, it, effects)
            }
            _ => self.modify(vcpu, fault, it, effects),
        }
    }

    /// Loads into a register: forwarded, where the kernel can say what happens to the register.
    #[inline]
    fn load<E: Effects>(
        &mut self,
        (vcpu, fault): (VcpuId, Fault),
        it: Instruction,
        (to, wide, signed): (Part, u8, bool),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        const STACK_POINTER: u8 = 4;
        let is_plain = match (signed, wide) {
            (false, 4..) => true,
            (false, wide) => wide == it.size,
            (true, wide) => wide == 8,
        };
        if fault.claimed() && is_plain && to.register != STACK_POINTER {
            self.metrics.forwarded += 1;
            let info = AccessInfo::new()
                .with_size_log2(it.size.trailing_zeros() as u8)
                .with_signed(signed)
                .with_register(to.register)
                .with_instruction_length(it.length)
                .with_merge(wide < 4)
                .with_high(to.high);
            return Ok(Outcome::forward(Access {
                address: fault.address,
                info,
                value: 0,
            }));
        }
        self.load_now((vcpu, fault), it, (to, wide, signed), effects)
    }

    /// Loads into a register.
    #[inline]
    fn load_now<E: Effects>(
        &mut self,
        (vcpu, fault): (VcpuId, Fault),
        it: Instruction,
        (to, wide, signed): (Part, u8, bool),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let value = self.value(vcpu, fault, it.size, effects);
        let value = if signed {
            extend(value, it.size)
        } else {
            value
        };
        set_part(vcpu, (to, wide), value, effects)?;
        Ok(Outcome::behind(it.length.into()))
    }

    /// Returns what a device has at the address: all ones where there is none.
    fn value<E: Effects>(&mut self, vcpu: VcpuId, fault: Fault, size: u8, effects: &mut E) -> u64 {
        let loaded = if fault.claimed() {
            self.metrics.forwarded += 1;
            effects.load_device(vcpu, false, (fault.address, size))
        } else {
            None
        };
        cut(loaded.unwrap_or(u64::MAX), size)
    }

    /// Stores a value, and lets the instruction pointer go on by `length`.
    #[inline]
    fn store(&mut self, fault: Fault, (size, length): (u8, u8), value: u64) -> Outcome {
        if !fault.claimed() {
            return Outcome::behind(length.into());
        }
        self.metrics.forwarded += 1;
        let info = AccessInfo::new()
            .with_size_log2(size.trailing_zeros() as u8)
            .with_write(true)
            .with_instruction_length(length);
        Outcome::forward(Access {
            address: fault.address,
            info,
            value: cut(value, size),
        })
    }

    /// Loads a value, and does something with it.
    #[inline]
    fn modify<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        fault: Fault,
        it: Instruction,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let flags = read(vcpu, Register::Rflags, effects)?;
        let other = match it.operation {
            Operation::Combine { source, .. } | Operation::Bit { source, .. } => {
                operand(vcpu, source, (it.size, it.immediate), effects)?
            }
            Operation::Exchange(with) => part(vcpu, with, it.size, effects)?,
            _ => 0,
        };
        let value = self.value(vcpu, fault, it.size, effects);
        let (result, after) = match it.operation {
            Operation::Combine {
                operator,
                to_register,
                ..
            } => {
                let (left, right) = if to_register {
                    (other, value)
                } else {
                    (value, other)
                };
                arithmetic::combine(operator, left, right, it.size, flags)
            }
            Operation::Step { down } => arithmetic::step(value, down, it.size, flags),
            Operation::Bit { change, .. } => arithmetic::bit(value, other, change, it.size, flags),
            Operation::Exchange(_) => (other, flags),
            _ => (!value, flags),
        };
        write(vcpu, (Register::Rflags, after), effects)?;
        if let Operation::Exchange(with) = it.operation {
            set_part(vcpu, (with, it.size), value, effects)?;
        }
        if let Some(to) = destination(it.operation) {
            set_part(vcpu, (to, it.size), result, effects)?;
        } else if stores(it.operation) {
            return Ok(self.store(fault, (it.size, it.length), result));
        }
        Ok(Outcome::behind(it.length.into()))
    }

    /// Handles one element of a string instruction of which one side is a device.
    #[inline]
    fn string<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        fault: Fault,
        it: Instruction,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let is_move = it.operation == Operation::MoveString;
        // The side that is memory: its index register and its segment.
        let memory = match (is_move, fault.stores()) {
            (false, _) => None,
            (true, true) => Some((SOURCE, it.prefixes.segment.unwrap_or(3))),
            (true, false) => Some((DESTINATION, 0)),
        };
        let mut bytes = [0; 8];
        let mut place = 0;
        if let Some((index, segment)) = memory {
            let offset = cut(general(vcpu, index, effects)?, it.address_size());
            let address = linear(vcpu, segment, offset, effects)?;
            let Some(physical) = translate(vcpu, address, effects)? else {
                return Ok(Outcome::RESUME);
            };
            place = physical;
            let filled = bytes.get_mut(..usize::from(it.size)).unwrap_or_default();
            if let Some(outcome) = Self::copied(effects.read_guest(place, filled))? {
                return Ok(outcome);
            }
        }
        if fault.stores() {
            let value = match is_move {
                true => u64::from_le_bytes(bytes),
                false => effects.general(vcpu, 0),
            };
            let length = count_element(vcpu, it, effects)?;
            return Ok(self.store(fault, (it.size, length), value));
        }
        let value = self.value(vcpu, fault, it.size, effects);
        if is_move {
            let value = value.to_le_bytes();
            let filled = value.get(..usize::from(it.size)).unwrap_or_default();
            if let Some(outcome) = Self::copied(effects.write_guest(place, filled))? {
                return Ok(outcome);
            }
        } else {
            let accumulator = Part {
                register: 0,
                high: false,
            };
            set_part(vcpu, (accumulator, it.size), value, effects)?;
        }
        let length = count_element(vcpu, it, effects)?;
        Ok(Outcome::behind(length.into()))
    }
}

/// Counts an element of a string instruction; returns how far the instruction pointer goes.
#[inline(always)]
fn count_element<E: Effects>(
    vcpu: VcpuId,
    it: Instruction,
    effects: &mut E,
) -> Result<u8, Trouble> {
    let indices: &[u8] = match it.operation {
        Operation::StoreString => &[DESTINATION],
        Operation::LoadString => &[SOURCE],
        _ => &[SOURCE, DESTINATION],
    };
    for index in indices {
        step_index(vcpu, (*index, it.address_size()), it.size, effects)?;
    }
    if it.prefixes.repeats && count_down(vcpu, it.address_size(), effects)? {
        return Ok(0);
    }
    Ok(it.length)
}

/// Returns the other operand.
fn operand<E: Effects>(
    vcpu: VcpuId,
    source: Source,
    (size, immediate): (u8, i32),
    effects: &mut E,
) -> Result<u64, Trouble> {
    match source {
        Source::Register(from) => part(vcpu, from, size, effects),
        Source::Immediate => Ok(cut(i64::from(immediate).cast_unsigned(), size)),
    }
}

/// Returns the register that a result goes to, if it goes to one.
const fn destination(operation: Operation) -> Option<Part> {
    match operation {
        Operation::Combine {
            operator,
            source: Source::Register(to),
            to_register: true,
        } if keeps(operator) => Some(to),
        _ => None,
    }
}

/// Returns whether an operator has a result beside flags.
const fn keeps(operator: Operator) -> bool {
    !matches!(operator, Operator::Compare | Operator::Test)
}

/// Returns whether a result goes to memory.
const fn stores(operation: Operation) -> bool {
    use super::instruction::BitChange;
    match operation {
        Operation::Combine {
            operator,
            to_register,
            ..
        } => keeps(operator) && !to_register,
        Operation::Bit { change, .. } => !matches!(change, BitChange::Test),
        _ => true,
    }
}
