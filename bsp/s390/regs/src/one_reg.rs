//! Register ids of a guest, in KVM's layout of ONE_REG: architecture 0x50 in bits 63:56, the size in
//! 55:52, the type in 39:32, the index in 31:0. Type 0 is KVM's; the others are Skerry's own, all of
//! eight bytes.

/// All ids: architecture and size of eight bytes.
const ALL: u64 = 0x5030_0000_0000_0000;
/// The TOD programmable field, which KVM has with four bytes.
const TOD_PROGRAMMABLE: u64 = 0x5020_0000_0000_0001;
/// Type: registers of the CPU.
const CORE: u64 = 4;
/// Type: control registers.
const CONTROL: u64 = 5;
/// Type: access registers.
const ACCESS: u64 = 6;
/// Type: floating-point registers, and behind them their control register.
const FLOAT: u64 = 7;

/// A register of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// General register 0 to 15.
    General(u8),
    /// First doubleword of the PSW.
    PswMask,
    /// Second doubleword of the PSW.
    PswAddress,
    /// Prefix.
    Prefix,
    /// The instruction that the guest was left behind, the first byte the most significant of 48
    /// bits. It is read only.
    Instruction,
    /// Control register 0 to 15.
    Control(u8),
    /// Access register 0 to 15.
    Access(u8),
    /// Floating-point register 0 to 15.
    Float(u8),
    /// Floating-point control register.
    FloatControl,
    /// What the guest's TOD clock is ahead of the host's.
    Epoch,
    /// CPU timer.
    CpuTimer,
    /// Clock comparator, in the guest's time.
    ClockComparator,
    /// TOD programmable field.
    TodProgrammable,
}

impl Register {
    /// Returns the register with this id.
    #[must_use]
    pub const fn from_id(id: u64) -> Option<Self> {
        if id == TOD_PROGRAMMABLE {
            return Some(Self::TodProgrammable);
        }
        if id & 0xffff_ff00_0000_0000 != ALL {
            return None;
        }
        let index = id as u32;
        let number = index as u8;
        Some(match (id >> 32 & 0xff, index) {
            (0, 2) => Self::Epoch,
            (0, 3) => Self::CpuTimer,
            (0, 4) => Self::ClockComparator,
            (CORE, 0..=15) => Self::General(number),
            (CORE, 16) => Self::PswMask,
            (CORE, 17) => Self::PswAddress,
            (CORE, 18) => Self::Prefix,
            (CORE, 19) => Self::Instruction,
            (CONTROL, 0..=15) => Self::Control(number),
            (ACCESS, 0..=15) => Self::Access(number),
            (FLOAT, 0..=15) => Self::Float(number),
            (FLOAT, 16) => Self::FloatControl,
            _ => return None,
        })
    }

    /// Returns the register's id.
    #[must_use]
    pub const fn id(self) -> u64 {
        let (kind, index) = match self {
            Self::TodProgrammable => return TOD_PROGRAMMABLE,
            Self::Epoch => (0, 2),
            Self::CpuTimer => (0, 3),
            Self::ClockComparator => (0, 4),
            Self::General(number) => (CORE, number),
            Self::PswMask => (CORE, 16),
            Self::PswAddress => (CORE, 17),
            Self::Prefix => (CORE, 18),
            Self::Instruction => (CORE, 19),
            Self::Control(number) => (CONTROL, number),
            Self::Access(number) => (ACCESS, number),
            Self::Float(number) => (FLOAT, number),
            Self::FloatControl => (FLOAT, 16),
        };
        ALL | kind << 32 | index as u64
    }

    /// Returns whether it can have this value: what SIE, or the instruction that loads the register,
    /// would refuse is refused.
    #[must_use]
    pub const fn takes(self, value: u64) -> bool {
        match self {
            Self::PswMask => is_mask(value),
            Self::Prefix => value & !0x7fff_e000 == 0,
            Self::Instruction => false,
            Self::Access(_) | Self::TodProgrammable => value >> 32 == 0,
            // Bits of every machine with decimal floating point.
            Self::FloatControl => value & !0xf8f8_ff73 == 0,
            _ => true,
        }
    }
}

/// Returns whether a PSW can have this first doubleword (PoP chapter 6, "Early Exception
/// Recognition").
const fn is_mask(mask: u64) -> bool {
    const RESERVED: u64 = 0xb808_0000_7fff_ffff | 0xfe << 32;
    const EXTENDED: u64 = 1 << 32;
    const BASIC: u64 = 1 << 31;
    mask & RESERVED == 0 && (mask & EXTENDED == 0 || mask & BASIC != 0)
}

#[cfg(test)]
mod tests {
    use super::Register;
    use crate::PswMask;

    #[test]
    fn ids_are_those_of_the_contract_and_come_back() {
        assert_eq!(Register::Epoch.id(), 0x5030_0000_0000_0002);
        assert_eq!(Register::CpuTimer.id(), 0x5030_0000_0000_0003);
        assert_eq!(Register::ClockComparator.id(), 0x5030_0000_0000_0004);
        assert_eq!(Register::TodProgrammable.id(), 0x5020_0000_0000_0001);
        assert_eq!(Register::PswAddress.id(), 0x5030_0004_0000_0011);
        let counts = [(4, 20), (5, 16), (6, 16), (7, 17)];
        for (kind, count) in counts {
            for index in 0..count {
                let id = 0x5030_0000_0000_0000 | kind << 32 | index;
                assert_eq!(Register::from_id(id).map(Register::id), Some(id));
            }
            let id = 0x5030_0000_0000_0000 | kind << 32 | count;
            assert_eq!(Register::from_id(id), None);
        }
        for id in [0, u64::MAX, 0x5030_0000_0000_0001, 0x5030_0008_0000_0000] {
            assert_eq!(Register::from_id(id), None);
        }
    }

    #[test]
    fn a_mask_with_reserved_bits_is_none() {
        let takes = |mask| Register::PswMask.takes(mask);
        let all = PswMask::BITS_64
            .with_event_recording(true)
            .with_translation(true)
            .with_input_output(true)
            .with_external(true)
            .with_key(15)
            .with_machine_check(true)
            .with_wait(true)
            .with_problem(true)
            .with_condition(3)
            .with_program_mask(15);
        assert!(takes(all.into_bits()) && takes(0));
        for bit in [0, 2, 3, 4, 12, 24, 30, 33, 63] {
            assert!(!takes(PswMask::BITS_64.into_bits() | 1 << (63 - bit)));
        }
        assert!(!takes(PswMask::new().with_extended(true).into_bits()));
    }

    #[test]
    fn a_prefix_is_eight_kibibytes_of_two_gibibytes() {
        assert!(Register::Prefix.takes(0x7fff_e000));
        assert!(!Register::Prefix.takes(0x1000));
        assert!(!Register::Prefix.takes(1 << 31));
    }
}
