//! Register ids of a RISC-V vCPU, compatible with KVM's ONE_REG (`guest-contract.md`).
//!
//! Bits 63:56 architecture (0x80), 55:52 log2 of the size, 31:24 type, 23:16 subtype, 15:0 index.

use crate::{Extension, Gpr, numbered};

/// Architecture of the ids.
const ARCHITECTURE: u64 = 0x80 << 56;
/// Size of a 32-bit register.
const U32: u64 = 2 << 52;
/// Size of a 64-bit register.
const U64: u64 = 3 << 52;
/// What an id has besides type, subtype and index.
const HEAD: u64 = !0xffff_ffff;

numbered! {
    /// Facts about the vCPU (type 1).
    pub enum ConfigRegister: u16 {
        /// Single-letter extensions, bit n for letter n.
        Isa = 0,
        /// Block size of Zicbom in bytes.
        ZicbomBlockSize = 1,
        /// Vendor.
        Mvendorid = 2,
        /// Architecture.
        Marchid = 3,
        /// Implementation.
        Mimpid = 4,
        /// Block size of Zicboz in bytes.
        ZicbozBlockSize = 5,
        /// Largest mode of satp.
        SatpMode = 6,
        /// Block size of Zicbop in bytes.
        ZicbopBlockSize = 7,
    }
}

numbered! {
    /// Supervisor CSRs of the guest (type 3, subtype 0), under their names without H.
    pub enum CsrRegister: u16 {
        /// vsstatus.
        Sstatus = 0,
        /// vsie.
        Sie = 1,
        /// vstvec.
        Stvec = 2,
        /// vsscratch.
        Sscratch = 3,
        /// vsepc.
        Sepc = 4,
        /// vscause.
        Scause = 5,
        /// vstval.
        Stval = 6,
        /// vsip.
        Sip = 7,
        /// vsatp.
        Satp = 8,
        /// scounteren.
        Scounteren = 9,
        /// senvcfg.
        Senvcfg = 10,
    }
}

numbered! {
    /// CSRs of the advanced interrupt architecture (type 3, subtype 1).
    pub enum AiaRegister: u16 {
        /// vsiselect.
        Siselect = 0,
        /// hviprio1.
        Iprio1 = 1,
        /// hviprio2.
        Iprio2 = 2,
        /// vsieh.
        Sieh = 3,
        /// vsiph.
        Siph = 4,
        /// hviprio1h.
        Iprio1h = 5,
        /// hviprio2h.
        Iprio2h = 6,
    }
}

numbered! {
    /// The timer (type 4).
    pub enum TimerRegister: u16 {
        /// Ticks per second.
        Frequency = 0,
        /// The guest's time.
        Time = 1,
        /// The deadline.
        Compare = 2,
        /// 1 where the deadline is armed.
        State = 3,
    }
}

numbered! {
    /// Extensions of the SBI (type 8).
    pub enum SbiExtension: u16 {
        /// The legacy calls.
        Legacy = 0,
        /// TIME.
        Time = 1,
        /// IPI.
        Ipi = 2,
        /// RFENCE.
        Rfence = 3,
        /// SRST.
        Srst = 4,
        /// HSM.
        Hsm = 5,
        /// PMU.
        Pmu = 6,
        /// The experimental range.
        Experimental = 7,
        /// The vendor range.
        Vendor = 8,
        /// DBCN.
        Dbcn = 9,
        /// STA.
        Sta = 10,
        /// SUSP.
        Susp = 11,
        /// FWFT.
        Fwft = 12,
    }
}

/// A register of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Register {
    /// A fact about the vCPU.
    Config(ConfigRegister),
    /// The program counter.
    ProgramCounter,
    /// A general register other than x0.
    General(Gpr),
    /// The privilege mode: 1 supervisor, 0 user.
    Mode,
    /// A supervisor CSR.
    Csr(CsrRegister),
    /// A CSR of the advanced interrupt architecture.
    Aia(AiaRegister),
    /// sstateen0.
    StateEnable,
    /// The timer.
    Timer(TimerRegister),
    /// A double-precision register, 0 to 31.
    Double(u8),
    /// fcsr; 32 bits.
    FloatControl,
    /// Whether the guest has an extension.
    Extension(Extension),
    /// Whether the guest has an SBI extension.
    Sbi(SbiExtension),
}

/// Value of [`Register::Mode`] in supervisor mode.
pub const MODE_SUPERVISOR: u64 = 1;
/// Value of [`Register::Mode`] in user mode.
pub const MODE_USER: u64 = 0;

impl Register {
    /// Returns the id.
    #[must_use]
    pub const fn id(self) -> u64 {
        let (size, kind, subtype, index) = match self {
            Self::Config(register) => (U64, 1, 0, register.number()),
            Self::ProgramCounter => (U64, 2, 0, 0),
            Self::General(gpr) => (U64, 2, 0, gpr.number() as u64),
            Self::Mode => (U64, 2, 0, 32),
            Self::Csr(register) => (U64, 3, 0, register.number()),
            Self::Aia(register) => (U64, 3, 1, register.number()),
            Self::StateEnable => (U64, 3, 2, 0),
            Self::Timer(register) => (U64, 4, 0, register.number()),
            Self::Double(number) => (U64, 6, 0, number as u64),
            Self::FloatControl => (U32, 6, 0, 32),
            Self::Extension(extension) => (U64, 7, 0, extension.id()),
            Self::Sbi(extension) => (U64, 8, 0, extension.number()),
        };
        ARCHITECTURE | size | kind << 24 | subtype << 16 | index
    }

    /// Returns the register with this id, or `None` where there is none: wrong architecture, size,
    /// type, subtype or index.
    #[must_use]
    pub fn from_id(id: u64) -> Option<Self> {
        let register = Self::from_parts(id >> 24 & 0xff, id >> 16 & 0xff, id & 0xffff)?;
        (register.id() & HEAD == id & HEAD).then_some(register)
    }

    /// Returns the register of a type, subtype and index.
    fn from_parts(kind: u64, subtype: u64, index: u64) -> Option<Self> {
        match (kind, subtype, index) {
            (1, 0, _) => ConfigRegister::from_number(index).map(Self::Config),
            (2, 0, 0) => Some(Self::ProgramCounter),
            (2, 0, 32) => Some(Self::Mode),
            (2, 0, _) => Gpr::new(u8::try_from(index).ok()?).map(Self::General),
            (3, 0, _) => CsrRegister::from_number(index).map(Self::Csr),
            (3, 1, _) => AiaRegister::from_number(index).map(Self::Aia),
            (3, 2, 0) => Some(Self::StateEnable),
            (4, 0, _) => TimerRegister::from_number(index).map(Self::Timer),
            (6, 0, 0..32) => Some(Self::Double(u8::try_from(index).ok()?)),
            (6, 0, 32) => Some(Self::FloatControl),
            (7, 0, _) => Extension::from_id(index).map(Self::Extension),
            (8, 0, _) => SbiExtension::from_number(index).map(Self::Sbi),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_the_ones_that_tools_know() {
        assert_eq!(Register::ProgramCounter.id(), 0x8030_0000_0200_0000);
        assert_eq!(Register::General(Gpr::A0).id(), 0x8030_0000_0200_000a);
        assert_eq!(Register::Mode.id(), 0x8030_0000_0200_0020);
        assert_eq!(Register::Csr(CsrRegister::Satp).id(), 0x8030_0000_0300_0008);
        assert_eq!(
            Register::Aia(AiaRegister::Siselect).id(),
            0x8030_0000_0301_0000
        );
        assert_eq!(
            Register::Timer(TimerRegister::Compare).id(),
            0x8030_0000_0400_0002
        );
        assert_eq!(Register::FloatControl.id(), 0x8020_0000_0600_0020);
        assert_eq!(
            Register::Extension(Extension::Zclsd).id(),
            0x8030_0000_0700_004b
        );
        assert_eq!(
            Register::Extension(Extension::Zilsd).id(),
            0x8030_0000_0700_004c
        );
        assert_eq!(
            Register::Sbi(SbiExtension::Dbcn).id(),
            0x8030_0000_0800_0009
        );
    }

    #[test]
    fn ids_agree_with_the_kernels_layout() {
        assert_eq!(ARCHITECTURE, abi::register::RISCV);
        assert_eq!(
            (U32, U64),
            (abi::register::SIZE_U32, abi::register::SIZE_U64)
        );
        assert_eq!(Register::from_id(abi::register::TIMER_DEADLINE), None);
    }

    #[test]
    fn exactly_the_ids_that_registers_have_decode() {
        let mut found = 0;
        for kind in 0..=255 {
            for subtype in 0..=4 {
                for index in 0..=300 {
                    for size in [U32, U64] {
                        let id = ARCHITECTURE | size | kind << 24 | subtype << 16 | index;
                        let Some(register) = Register::from_id(id) else {
                            continue;
                        };
                        assert_eq!(register.id(), id);
                        found += 1;
                    }
                }
            }
        }
        let named = ConfigRegister::ALL.len() + CsrRegister::ALL.len() + AiaRegister::ALL.len();
        let lists = TimerRegister::ALL.len() + Extension::ALL.len() + SbiExtension::ALL.len();
        assert_eq!(found, 33 + named + 1 + lists + 33);
    }

    proptest! {
        #[test]
        fn an_id_decodes_to_itself_or_to_nothing(id: u64) {
            if let Some(register) = Register::from_id(id) {
                prop_assert_eq!(register.id(), id);
            }
        }
    }
}
