//! Exits that need the instruction: devices, privileged instructions, stray accesses.

use super::walk::fetch_instruction;
use super::{Riscv, Trouble};
use crate::{Access, Effects, Event, Outcome, VcpuId};
use abi::exit::AccessInfo;
use riscv_regs::Exception;
use riscv_regs::instruction::{
    DataAccess, Length, MemoryInstruction, Operation, SystemInstruction,
};

/// One stage-2 fault, decoded from the words of an exit.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    program_counter: u64,
    /// Guest-physical address.
    physical: u64,
    /// The guest's own address.
    address: u64,
    /// What the guest gets where nobody serves the access.
    exception: Exception,
}

impl Fault {
    /// Decodes the words of a device or stray access.
    #[inline]
    pub(super) fn decode([program_counter, physical, address, cause, ..]: [u64; 6]) -> Self {
        let cause = Exception::from_number(cause).and_then(Exception::guest_access_fault);
        let exception = cause.unwrap_or(Exception::LoadAccess);
        Self {
            program_counter,
            physical,
            address,
            exception,
        }
    }

    /// Returns whether the access is one that `instruction` makes itself: a walk of the guest's
    /// tables reports the address of an entry, at another place in its page.
    const fn is_direct(self) -> bool {
        (self.physical ^ self.address) & 0xfff == 0
    }

    /// Returns whether a decoded access fits the fault's direction.
    fn fits(self, access: DataAccess) -> bool {
        let store = matches!(access.operation, Operation::Store { .. });
        store == (self.exception == Exception::StoreAccess)
    }
}

impl Riscv {
    /// Handles an access to a device that the hardware did not describe.
    #[inline(never)]
    pub(super) fn device<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        fault: Fault,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        if fault.exception == Exception::FetchAccess || !fault.is_direct() {
            return self.refuse(vcpu, fault, effects);
        }
        let Some(bits) = fetch_instruction(vcpu, fault.program_counter, effects)? else {
            return Ok(Outcome::RESUME);
        };
        match MemoryInstruction::decode(bits) {
            Some(MemoryInstruction::Data(access)) if !fault.fits(access) => Ok(Outcome::RESUME),
            Some(MemoryInstruction::Data(access))
                if fault.physical.is_multiple_of(access.width.bytes()) =>
            {
                Ok(self.forward(vcpu, fault.physical, access, effects))
            }
            // The instruction was replaced since it was executed: let the guest try again.
            None => Ok(Outcome::RESUME),
            Some(_) => {
                if self.reported.is_new(fault.physical) {
                    let address = fault.physical;
                    effects.event(Event::UnsupportedAccess {
                        vcpu,
                        address,
                        instruction: bits,
                    });
                }
                self.refuse(vcpu, fault, effects)
            }
        }
    }

    /// Returns the access for its device.
    fn forward<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        address: u64,
        access: DataAccess,
        effects: &mut E,
    ) -> Outcome {
        let info = AccessInfo::new()
            .with_size_log2(access.width.log2())
            .with_instruction_length(access.length.bytes());
        let (info, value) = match access.operation {
            Operation::Load {
                destination,
                signed,
            } => (
                info.with_signed(signed).with_register(destination.number()),
                0,
            ),
            Operation::Store { source } => {
                let register = source.number();
                let value = if register == 0 {
                    0
                } else {
                    effects.general(vcpu, register)
                };
                let mask = u64::MAX >> (64 - 8 * access.width.bytes());
                (info.with_write(true).with_register(register), value & mask)
            }
        };
        self.metrics.forwarded += 1;
        Outcome::forward(Access {
            address,
            info,
            value,
        })
    }

    /// Gives the guest the access fault that hardware would.
    fn refuse<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        fault: Fault,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        self.raise(
            vcpu,
            fault.program_counter,
            (fault.exception, fault.address),
            effects,
        )?;
        Ok(Outcome::RESUME)
    }

    /// Handles an access to what is neither memory nor device.
    #[inline(never)]
    pub(super) fn unclaimed<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        fault: Fault,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        if self.reported.is_new(fault.physical) {
            let (address, program_counter) = (fault.physical, fault.program_counter);
            effects.event(Event::Unclaimed {
                vcpu,
                address,
                program_counter,
            });
        }
        self.refuse(vcpu, fault, effects)
    }

    /// Handles an instruction that the guest may not, or cannot, execute: it gets an illegal
    /// instruction, as on a hart without the register or extension.
    #[inline(never)]
    pub(super) fn instruction<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        program_counter: u64,
        bits: u64,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let bits = match u32::try_from(bits) {
            Ok(bits @ 1..) => bits,
            _ => match fetch_instruction(vcpu, program_counter, effects)? {
                Some(bits) => bits,
                None => return Ok(Outcome::RESUME),
            },
        };
        if SystemInstruction::decode(bits) == Some(SystemInstruction::Wait) {
            // Waiting may end at any time; the kernel does the real waiting.
            return Ok(Outcome::behind(Length::Four.bytes().into()));
        }
        let exception = (Exception::IllegalInstruction, bits.into());
        self.raise(vcpu, program_counter, exception, effects)?;
        Ok(Outcome::RESUME)
    }
}
