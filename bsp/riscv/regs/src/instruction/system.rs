//! Instructions of the SYSTEM opcode (I 6, II 3.3, 15.3).

use super::Gpr;

/// What a CSR instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CsrOperation {
    /// Writes the operand (csrrw, csrrwi).
    Write,
    /// Sets the operand's bits (csrrs, csrrsi).
    Set,
    /// Clears the operand's bits (csrrc, csrrci).
    Clear,
}

/// Where a CSR instruction's operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CsrOperand {
    /// A register.
    Register(Gpr),
    /// Five bits of the instruction, zero-extended.
    Immediate(u8),
}

/// One CSR instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CsrAccess {
    /// Number of the CSR, 12 bits.
    pub csr: u16,
    /// What is done.
    pub operation: CsrOperation,
    /// With what.
    pub operand: CsrOperand,
    /// The register that gets the old value.
    pub destination: Gpr,
}

impl CsrAccess {
    /// Returns whether the CSR is written: csrrs and csrrc with x0 or 0 only read (I 6.1).
    #[must_use]
    pub const fn writes(self) -> bool {
        match (self.operation, self.operand) {
            (CsrOperation::Write, _) => true,
            (_, CsrOperand::Register(register)) => register.number() != 0,
            (_, CsrOperand::Immediate(value)) => value != 0,
        }
    }

    /// Returns whether the CSR is read: csrrw to x0 only writes.
    #[must_use]
    pub const fn reads(self) -> bool {
        !matches!(self.operation, CsrOperation::Write) || self.destination.number() != 0
    }

    /// Returns the CSR's new value, from the old one and the operand's value.
    #[must_use]
    pub const fn apply(self, old: u64, operand: u64) -> u64 {
        match self.operation {
            CsrOperation::Write => operand,
            CsrOperation::Set => old | operand,
            CsrOperation::Clear => old & !operand,
        }
    }
}

/// An instruction of the SYSTEM opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SystemInstruction {
    /// An access to a CSR.
    Csr(CsrAccess),
    /// ecall.
    Call,
    /// ebreak.
    Break,
    /// sret.
    SupervisorReturn,
    /// mret.
    MachineReturn,
    /// wfi.
    Wait,
    /// sfence.vma, sinval.vma and their fences.
    SupervisorFence,
    /// hfence.*, hinval.*.
    HypervisorFence,
    /// hlv.*, hlvx.*, hsv.*.
    HypervisorAccess,
}

impl SystemInstruction {
    /// Decodes an instruction; `None` where it is not of this opcode or reserved.
    #[must_use]
    pub const fn decode(bits: u32) -> Option<Self> {
        if bits & 0x7f != 0x73 {
            return None;
        }
        match (bits >> 12) & 7 {
            0 => Self::decode_privileged(bits),
            4 => Some(Self::HypervisorAccess),
            funct3 => Some(Self::Csr(CsrAccess {
                csr: (bits >> 20) as u16,
                operation: match funct3 & 3 {
                    1 => CsrOperation::Write,
                    2 => CsrOperation::Set,
                    _ => CsrOperation::Clear,
                },
                operand: if funct3 & 4 == 0 {
                    CsrOperand::Register(Gpr::field(bits, 15))
                } else {
                    CsrOperand::Immediate(((bits >> 15) & 31) as u8)
                },
                destination: Gpr::field(bits, 7),
            })),
        }
    }

    /// Decodes what has funct3 = 0.
    const fn decode_privileged(bits: u32) -> Option<Self> {
        match (bits >> 25, bits) {
            (_, 0x0000_0073) => Some(Self::Call),
            (_, 0x0010_0073) => Some(Self::Break),
            (_, 0x1020_0073) => Some(Self::SupervisorReturn),
            (_, 0x3020_0073) => Some(Self::MachineReturn),
            (_, 0x1050_0073) => Some(Self::Wait),
            (_, 0x1800_0073 | 0x1810_0073) => Some(Self::SupervisorFence),
            (0x09 | 0x0b, _) if bits >> 7 & 31 == 0 => Some(Self::SupervisorFence),
            (0x11 | 0x31 | 0x13 | 0x33, _) if bits >> 7 & 31 == 0 => Some(Self::HypervisorFence),
            _ => None,
        }
    }
}
