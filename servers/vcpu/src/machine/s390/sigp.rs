//! SIGNAL PROCESSOR (PoP chapter 4, "Signal-Processor Orders").

use super::cpu::Cpu;
use super::program::{GuestEvent, interrupt};
use super::{S390, Trouble, operand, read, write};
use crate::{Effects, VcpuId};
use irq_api::floating::{Act, Interruption};
use s390_regs::one_reg::Register;

/// Orders.
mod order {
    pub const SENSE: u64 = 0x01;
    pub const EXTERNAL_CALL: u64 = 0x02;
    pub const EMERGENCY_SIGNAL: u64 = 0x03;
    pub const START: u64 = 0x04;
    pub const STOP: u64 = 0x05;
    pub const RESTART: u64 = 0x06;
    pub const STOP_AND_STORE_STATUS: u64 = 0x09;
    pub const INITIAL_CPU_RESET: u64 = 0x0b;
    pub const CPU_RESET: u64 = 0x0c;
    pub const SET_PREFIX: u64 = 0x0d;
    pub const STORE_STATUS: u64 = 0x0e;
    pub const SET_ARCHITECTURE: u64 = 0x12;
    pub const CONDITIONAL_EMERGENCY_SIGNAL: u64 = 0x13;
    pub const SENSE_RUNNING: u64 = 0x15;
}

/// Bits of a status.
pub mod status {
    /// The order is not one.
    pub const INVALID_ORDER: u64 = 0x02;
    /// The CPU is stopped.
    pub const STOPPED: u64 = 0x40;
    /// An external call is pending already.
    pub const EXTERNAL_CALL_PENDING: u64 = 0x80;
    /// The parameter is not valid.
    pub const INVALID_PARAMETER: u64 = 0x100;
    /// The CPU is in another state than it has to be.
    pub const INCORRECT_STATE: u64 = 0x200;
    /// The CPU does not run now.
    pub const NOT_RUNNING: u64 = 0x400;
}

/// How an order was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Condition code 0.
    Accepted,
    /// Condition code 1, with a status.
    Status(u64),
    /// Condition code 3: there is no such CPU.
    NotOperational,
    /// Accepted, and the CPU that gave the order stops.
    StopsItself,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who gives it.
    pub by: VcpuId,
    /// Address of the CPU that gets it.
    pub cpu: u64,
    /// Its number.
    pub number: u64,
    /// Its parameter.
    pub parameter: u64,
}

/// Absolute address of a status that is stored without one given.
const STATUS_AREA: u64 = 0x1200;
/// Parts of a status: distance from its start, first register, bytes of each, and how many.
const STATUS: [(u64, Register, usize, u8); 10] = [
    (0x00, Register::Float(0), 8, 16),
    (0x80, Register::General(0), 8, 16),
    (0x100, Register::PswMask, 8, 1),
    (0x108, Register::PswAddress, 8, 1),
    (0x118, Register::Prefix, 4, 1),
    (0x11c, Register::FloatControl, 4, 1),
    (0x124, Register::TodProgrammable, 4, 1),
    (0x128, Register::CpuTimer, 8, 1),
    (0x140, Register::Access(0), 4, 16),
    (0x180, Register::Control(0), 8, 16),
];

/// Returns the register `index` behind the first of a file.
const fn nth(first: Register, index: u8) -> Register {
    match first {
        Register::Float(_) => Register::Float(index),
        Register::General(_) => Register::General(index),
        Register::Access(_) => Register::Access(index),
        Register::Control(_) => Register::Control(index),
        other => other,
    }
}

impl S390 {
    /// Follows an order.
    pub(super) fn signal<E: Effects>(
        &mut self,
        order: Order,
        effects: &mut E,
    ) -> Result<Answer, Trouble> {
        if order.number == order::SET_ARCHITECTURE {
            // All CPUs are in the only architecture that there is.
            return Ok(Answer::Status(status::INVALID_PARAMETER));
        }
        let index = usize::try_from(order.cpu & 0xffff).unwrap_or(usize::MAX);
        let (Some(target), Some(state)) = (VcpuId::new(index), self.cpus.get(index).copied())
        else {
            return Ok(Answer::NotOperational);
        };
        match order.number {
            order::SENSE if state.is_stopped() => Ok(Answer::Status(status::STOPPED)),
            order::SENSE => Ok(Answer::Accepted),
            order::SENSE_RUNNING if state.is_stopped() || effects.is_idle(target) => {
                Ok(Answer::Status(status::NOT_RUNNING))
            }
            order::SENSE_RUNNING => Ok(Answer::Accepted),
            order::EXTERNAL_CALL
            | order::EMERGENCY_SIGNAL
            | order::CONDITIONAL_EMERGENCY_SIGNAL => Ok(post(order, target, effects)),
            order::START => Ok(self.start(target, effects)),
            order::STOP => Ok(self.halt((order.by, target), effects)),
            order::RESTART => self.restart(target, effects),
            order::STOP_AND_STORE_STATUS => {
                let answer = self.halt((order.by, target), effects);
                store_status(target, STATUS_AREA, effects)?;
                Ok(answer)
            }
            order::INITIAL_CPU_RESET | order::CPU_RESET => {
                let is_initial = order.number == order::INITIAL_CPU_RESET;
                self.reset_by_order(order.by, (target, is_initial), effects)
            }
            order::SET_PREFIX => self.set_prefix(target, order.parameter, effects),
            order::STORE_STATUS => {
                let address = order.parameter & 0x7fff_fe00;
                self.store_status(target, address, effects)
            }
            _ => Ok(Answer::Status(status::INVALID_ORDER)),
        }
    }

    /// Lets a stopped CPU go on.
    fn start<E: Effects>(&mut self, target: VcpuId, effects: &mut E) -> Answer {
        if self.state(target) == Cpu::Stopped {
            self.set_state(target, Cpu::Operating);
            effects.start(target);
        }
        Answer::Accepted
    }

    /// Stops a CPU between two instructions.
    fn halt<E: Effects>(&mut self, (by, target): (VcpuId, VcpuId), effects: &mut E) -> Answer {
        if by == target {
            self.set_state(target, Cpu::Stopping);
            return Answer::StopsItself;
        }
        if self.state(target) == Cpu::Operating {
            effects.pause(target);
        }
        if self.state(target) != Cpu::Stopping {
            self.set_state(target, Cpu::Stopped);
        }
        Answer::Accepted
    }

    /// Interrupts a CPU with its restart PSW and lets it go on.
    fn restart<E: Effects>(&mut self, target: VcpuId, effects: &mut E) -> Result<Answer, Trouble> {
        let was_operating = self.state(target) == Cpu::Operating;
        if was_operating {
            effects.pause(target);
        }
        // What it was doing is done or is made again; the old PSW says where.
        effects.abandon(target);
        let interrupted = interrupt(target, GuestEvent::Restart, effects);
        if interrupted.is_ok() || was_operating {
            self.set_state(target, Cpu::Operating);
            effects.start(target);
        }
        interrupted.map(|()| Answer::Accepted)
    }

    /// Resets a CPU, which stops.
    fn reset_by_order<E: Effects>(
        &mut self,
        by: VcpuId,
        (target, is_initial): (VcpuId, bool),
        effects: &mut E,
    ) -> Result<Answer, Trouble> {
        if by == target {
            return Ok(Answer::Status(status::INVALID_ORDER));
        }
        if self.state(target) == Cpu::Operating {
            effects.pause(target);
        }
        self.set_state(target, Cpu::Stopped);
        effects.abandon(target);
        let cpu = target.index() as u8;
        effects.interruption(by, Act::Forget { cpu });
        Self::reset_cpu(target, is_initial, effects)?;
        Ok(Answer::Accepted)
    }

    /// Sets the prefix of a stopped CPU.
    fn set_prefix<E: Effects>(
        &mut self,
        target: VcpuId,
        parameter: u64,
        effects: &mut E,
    ) -> Result<Answer, Trouble> {
        let prefix = parameter & 0x7fff_e000;
        if !self.has_prefix_area(prefix) {
            return Ok(Answer::Status(status::INVALID_PARAMETER));
        }
        if self.state(target) != Cpu::Stopped {
            return Ok(Answer::Status(status::INCORRECT_STATE));
        }
        write(target, Register::Prefix, prefix, effects)?;
        Ok(Answer::Accepted)
    }

    /// Stores the status of a stopped CPU at an address.
    fn store_status<E: Effects>(
        &mut self,
        target: VcpuId,
        address: u64,
        effects: &mut E,
    ) -> Result<Answer, Trouble> {
        if self.state(target) != Cpu::Stopped {
            return Ok(Answer::Status(status::INCORRECT_STATE));
        }
        if address + 512 > self.memory {
            return Ok(Answer::Status(status::INVALID_PARAMETER));
        }
        store_status(target, address, effects)?;
        Ok(Answer::Accepted)
    }
}

/// Makes an interruption of another CPU pending.
fn post<E: Effects>(order: Order, target: VcpuId, effects: &mut E) -> Answer {
    let sender = order.by.index() as u8;
    let is_call = order.number == order::EXTERNAL_CALL;
    let interruption = if is_call {
        Interruption::ExternalCall { sender }
    } else {
        Interruption::EmergencySignal { sender }
    };
    let act = Act::Post {
        cpu: Some(target.index() as u8),
        interruption,
    };
    if effects.interruption(order.by, act).coalesced && is_call {
        Answer::Status(status::EXTERNAL_CALL_PENDING)
    } else {
        Answer::Accepted
    }
}

/// Stores the status of a CPU (PoP chapter 4, "Store Status").
fn store_status<E: Effects>(target: VcpuId, address: u64, effects: &mut E) -> Result<(), Trouble> {
    for (offset, first, bytes, count) in STATUS {
        for index in 0..count {
            let register = nth(first, index);
            let value = match register {
                Register::General(number) => effects.general(target, number),
                _ => read(target, register, effects)?,
            };
            let value = value.to_be_bytes();
            let place = address + offset + u64::from(index) * bytes as u64;
            operand::write_absolute(place, value.get(8 - bytes..).unwrap_or(&value), effects)?;
        }
    }
    // Of the clock comparator all but the last byte.
    let comparator = read(target, Register::ClockComparator, effects)? >> 8;
    operand::write_absolute(address + 0x130, &comparator.to_be_bytes(), effects)
}
