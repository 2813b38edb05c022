//! The supervisor binary interface, version 2.0, as the guest's firmware.
//!
//! Sections are those of "RISC-V Supervisor Binary Interface Specification", version 2.0.

mod base;
mod dbcn;
mod harts;
mod hsm;
mod ipi;
mod rfence;
mod srst;
mod time;

pub use base::{IMPLEMENTATION, SPECIFICATION};

use super::{Riscv, Trouble};
use crate::{Effects, Outcome, VcpuId};
use riscv_regs::Gpr;

/// Error codes (section 3, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum SbiError {
    /// Failed.
    Failed = -1,
    /// Not supported.
    NotSupported = -2,
    /// Invalid parameter.
    InvalidParameter = -3,
    /// Denied or not allowed.
    Denied = -4,
    /// Invalid address.
    InvalidAddress = -5,
    /// Already available.
    AlreadyAvailable = -6,
}

/// What a call gives back to the guest: a value or an error.
pub(super) type SbiResult = Result<u64, SbiError>;

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It returns.
    Return(SbiResult),
    /// It returns, or begins elsewhere, when an interrupt is pending; its registers are set.
    Suspend,
    /// It does not return: the hart stops.
    Stop,
}

impl From<SbiResult> for Answer {
    fn from(result: SbiResult) -> Self {
        Self::Return(result)
    }
}

/// One call: function and arguments a0 to a5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub vcpu: VcpuId,
    pub function: u64,
    pub arguments: [u64; 6],
}

/// The extensions that exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Extension {
    /// BASE (section 4).
    Base = 0x10,
    /// TIME (section 6).
    Time = 0x5449_4d45,
    /// IPI (section 7).
    Ipi = 0x0073_5049,
    /// RFENCE (section 8).
    Rfence = 0x5246_4e43,
    /// HSM (section 9).
    Hsm = 0x0048_534d,
    /// SRST (section 10).
    Srst = 0x5352_5354,
    /// DBCN (section 12).
    Dbcn = 0x4442_434e,
}

impl Extension {
    /// Every extension.
    pub const ALL: [Self; 7] = [
        Self::Base,
        Self::Time,
        Self::Ipi,
        Self::Rfence,
        Self::Hsm,
        Self::Srst,
        Self::Dbcn,
    ];

    /// Returns the extension with this id, or `None`: legacy ones do not exist.
    #[must_use]
    pub fn from_id(id: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|&extension| extension as u64 == id)
    }
}

impl Riscv {
    /// Handles an ecall from the guest's supervisor; the kernel has moved the program counter
    /// behind it already.
    pub(super) fn call<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let registers = [Gpr::A0, Gpr::A1, Gpr::A2, Gpr::A3, Gpr::A4, Gpr::A5];
        let arguments = registers.map(|register| effects.general(vcpu, register.number()));
        let function = effects.general(vcpu, Gpr::A6.number());
        let extension = Extension::from_id(effects.general(vcpu, Gpr::A7.number()));
        let answer = self.answer(
            extension,
            Call {
                vcpu,
                function,
                arguments,
            },
            effects,
        )?;
        let result = match answer {
            Answer::Return(result) => result,
            Answer::Suspend => return Ok(Outcome::Idle),
            Answer::Stop => return Ok(Outcome::Stop),
        };
        let (error, value) = match result {
            Ok(value) => (0, value),
            Err(error) => ((error as i64).cast_unsigned(), 0),
        };
        effects.set_general(vcpu, Gpr::A0.number(), error);
        effects.set_general(vcpu, Gpr::A1.number(), value);
        Ok(Outcome::Resume)
    }

    /// Performs a call.
    fn answer<E: Effects>(
        &mut self,
        extension: Option<Extension>,
        call: Call,
        effects: &mut E,
    ) -> Result<Answer, Trouble> {
        let Some(extension) = extension else {
            self.metrics.calls.unknown += 1;
            return Ok(Err(SbiError::NotSupported).into());
        };
        let counts = &mut self.metrics.calls;
        match extension {
            Extension::Base => {
                counts.base += 1;
                Ok(self.base(call).into())
            }
            Extension::Time => {
                counts.time += 1;
                time::call(call, effects).map(Answer::Return)
            }
            Extension::Ipi => {
                counts.ipi += 1;
                Ok(self.ipi(call, effects).into())
            }
            Extension::Rfence => {
                counts.rfence += 1;
                Ok(self.rfence(call, effects).into())
            }
            Extension::Hsm => {
                counts.hsm += 1;
                self.hsm(call, effects)
            }
            Extension::Srst => {
                counts.srst += 1;
                Ok(self.srst(call, effects))
            }
            Extension::Dbcn => {
                counts.dbcn += 1;
                self.dbcn(call, effects).map(Answer::Return)
            }
        }
    }
}
