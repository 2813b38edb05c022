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
    Return {
        /// Number of the error, or 0.
        error: u64,
        /// The value.
        value: u64,
    },
    /// It returns, or begins elsewhere, when an interrupt is pending; its registers are set.
    Suspend,
    /// It does not return: the hart stops.
    Stop,
}

impl From<SbiResult> for Answer {
    #[inline]
    fn from(result: SbiResult) -> Self {
        match result {
            Ok(value) => Self::Return { error: 0, value },
            Err(error) => Self::Return {
                error: (error as i64).cast_unsigned(),
                value: 0,
            },
        }
    }
}

/// One call of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub vcpu: VcpuId,
    pub function: u64,
}

impl Call {
    /// Returns the first arguments, of which there may be six, from a0 on.
    #[inline]
    fn arguments<E: Effects, const COUNT: usize>(self, effects: &mut E) -> [u64; COUNT] {
        const { assert!(COUNT <= 6, "a6 and a7 say which call it is") };
        effects.generals(self.vcpu, Gpr::A0.number())
    }
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
    #[inline]
    pub fn from_id(id: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|&extension| extension as u64 == id)
    }
}

impl Riscv {
    /// Handles an ecall from the guest's supervisor; the kernel has moved the program counter
    /// behind it already.
    #[inline]
    pub(super) fn call<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let [function, extension] = effects.generals(vcpu, Gpr::A6.number());
        let call = Call { vcpu, function };
        match self.answer(Extension::from_id(extension), call, effects)? {
            Answer::Return { error, value } => {
                effects.set_generals(vcpu, Gpr::A0.number(), [error, value]);
                Ok(Outcome::RESUME)
            }
            Answer::Suspend => Ok(Outcome::IDLE),
            Answer::Stop => Ok(Outcome::STOP),
        }
    }

    /// Performs a call.
    #[inline]
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
                Ok(self.base(call, effects).into())
            }
            Extension::Time => {
                counts.time += 1;
                time::call(call, effects).map(Answer::from)
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
                self.dbcn(call, effects).map(Answer::from)
            }
        }
    }
}
