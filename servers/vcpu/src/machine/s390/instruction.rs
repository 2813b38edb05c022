//! Instructions that SIE leaves to the host.

use super::program::Exception;
use super::text::{Instruction, Text};
use super::{S390, Trouble, operand, sigp, write};
use crate::{Effects, EndReason, Outcome, VcpuId};
use s390_regs::PswMask;
use s390_regs::one_reg::Register;

impl S390 {
    /// Handles an instruction; the program counter is at it.
    #[inline(never)]
    pub(super) fn instruction<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (at, bits, psw): (u64, u64, PswMask),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let text = Text::from_bits(bits);
        let behind = operand::wrap(at.wrapping_add(text.length()), psw);
        let performed = if psw.problem() {
            Err(Exception::PrivilegedOperation.into())
        } else {
            self.perform(vcpu, text.decode(), effects)
        };
        match performed {
            Ok((outcome, condition)) => {
                write(vcpu, Register::PswAddress, behind, effects)?;
                if let Some(condition) = condition {
                    let mask = psw.with_condition(condition).into_bits();
                    write(vcpu, Register::PswMask, mask, effects)?;
                }
                Ok(outcome)
            }
            Err(Trouble::Program {
                exception,
                identification,
            }) => {
                let old = if exception.nullifies() { at } else { behind };
                write(vcpu, Register::PswAddress, old, effects)?;
                self.except(vcpu, (exception, identification, text.length()), effects)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Performs an instruction; returns what the vCPU does next, and the condition code if it sets
    /// one.
    fn perform<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        instruction: Instruction,
        effects: &mut E,
    ) -> Result<(Outcome, Option<u8>), Trouble> {
        let done = (Outcome::RESUME, None);
        let with = |condition| (Outcome::RESUME, Some(condition));
        Ok(match instruction {
            Instruction::ServiceCall { r1, r2 } => {
                let operands = (effects.general(vcpu, r1), effects.general(vcpu, r2));
                self.metrics.calls.dbcn += 1;
                self.service_call(vcpu, operands, effects)?;
                with(0)
            }
            Instruction::SignalProcessor { r1, r3, order } => {
                self.metrics.calls.ipi += 1;
                let number = operand::address_of(vcpu, order, effects)? & 0xff;
                self.order(vcpu, (r1, r3, number), effects)?
            }
            Instruction::LoadControl {
                r1,
                r3,
                from,
                is_long,
            } => {
                Self::load_control(vcpu, ((r1, r3), from, is_long), effects)?;
                done
            }
            // There are no subchannels: nothing is pending, and nothing operates.
            Instruction::TestPendingInterruption => with(0),
            Instruction::Channel => with(3),
            Instruction::Diagnose { .. } | Instruction::Other => {
                return Err(Exception::Operation.into());
            }
            Instruction::StoreSystemInformation(_)
            | Instruction::StoreCpuId(_)
            | Instruction::StoreCpuAddress(_)
            | Instruction::SetPrefix(_)
            | Instruction::StorePrefix(_)
            | Instruction::SetClock(_)
            | Instruction::StoreFacilityList => {
                (Outcome::RESUME, self.tell(vcpu, instruction, effects)?)
            }
        })
    }

    /// Performs an instruction about the CPU itself; returns the condition code if it sets one.
    fn tell<E: Effects>(
        &self,
        vcpu: VcpuId,
        instruction: Instruction,
        effects: &mut E,
    ) -> Result<Option<u8>, Trouble> {
        Ok(match instruction {
            Instruction::StoreSystemInformation(place) => {
                Some(self.store_system_information(vcpu, place, effects)?)
            }
            Instruction::StoreCpuId(place) => {
                Self::store_cpu_id(vcpu, place, effects)?;
                None
            }
            Instruction::StoreCpuAddress(place) => {
                Self::store_cpu_address(vcpu, place, effects)?;
                None
            }
            Instruction::SetPrefix(place) => {
                self.load_prefix(vcpu, place, effects)?;
                None
            }
            Instruction::StorePrefix(place) => {
                Self::store_prefix(vcpu, place, effects)?;
                None
            }
            Instruction::SetClock(place) => {
                self.set_clock(vcpu, place, effects)?;
                Some(0)
            }
            Instruction::StoreFacilityList => {
                Self::store_facility_list(vcpu, effects)?;
                None
            }
            _ => None,
        })
    }

    /// Gives an order to a CPU.
    fn order<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (r1, r3, number): (u8, u8, u64),
        effects: &mut E,
    ) -> Result<(Outcome, Option<u8>), Trouble> {
        let order = sigp::Order {
            by: vcpu,
            cpu: effects.general(vcpu, r3),
            number,
            parameter: effects.general(vcpu, r1 | 1),
        };
        Ok(match self.signal(order, effects)? {
            sigp::Answer::Accepted => (Outcome::RESUME, Some(0)),
            sigp::Answer::NotOperational => (Outcome::RESUME, Some(3)),
            sigp::Answer::StopsItself => {
                self.end_where_nothing_runs(vcpu, EndReason::None, effects);
                (Outcome::STOP, Some(0))
            }
            sigp::Answer::Status(status) => {
                let high = effects.general(vcpu, r1) >> 32 << 32;
                effects.set_general(vcpu, r1, high | status);
                (Outcome::RESUME, Some(1))
            }
        })
    }
}
