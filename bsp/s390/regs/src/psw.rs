//! Program-status word (PoP chapter 4): the first of its two doublewords; the second is the
//! instruction address.

use bitfield_struct::bitfield;

/// The address space that DAT uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AddressSpace {
    /// Control register 1.
    Primary = 0,
    /// As the access registers say.
    AccessRegister = 1,
    /// Control register 7 for data.
    Secondary = 2,
    /// Control register 13.
    Home = 3,
}

impl AddressSpace {
    /// Returns the space that two bits encode.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Primary,
            1 => Self::AccessRegister,
            2 => Self::Secondary,
            _ => Self::Home,
        }
    }

    /// Returns the two bits of this space.
    #[must_use]
    pub const fn into_bits(self) -> u8 {
        self as u8
    }
}

/// Bits 0 to 63 of the program-status word.
#[bitfield(u64, order = Msb)]
#[derive(PartialEq, Eq)]
pub struct PswMask {
    __: bool,
    /// Program-event recording.
    pub event_recording: bool,
    #[bits(3)]
    __: u8,
    /// Addresses are translated.
    pub translation: bool,
    /// Input/output interrupts are taken.
    pub input_output: bool,
    /// External interrupts are taken.
    pub external: bool,
    /// Storage-access key.
    #[bits(4)]
    pub key: u8,
    __: bool,
    /// Machine-check interrupts are taken.
    pub machine_check: bool,
    /// The CPU waits for an interrupt; with none enabled, for ever.
    pub wait: bool,
    /// Problem state.
    pub problem: bool,
    /// The address space in use.
    #[bits(2)]
    pub space: AddressSpace,
    /// Condition code.
    #[bits(2)]
    pub condition: u8,
    /// Program mask: which arithmetic exceptions interrupt.
    #[bits(4)]
    pub program_mask: u8,
    #[bits(7)]
    __: u8,
    /// With `basic`: 64-bit addresses.
    pub extended: bool,
    /// Without `extended`: 31-bit addresses.
    pub basic: bool,
    #[bits(31)]
    __: u32,
}

impl PswMask {
    /// 64-bit addresses, nothing else.
    pub const BITS_64: Self = Self::new().with_extended(true).with_basic(true);
}

#[cfg(test)]
mod tests {
    use super::{AddressSpace, PswMask};

    #[test]
    fn status_bits_lie_where_the_manual_puts_them() {
        assert_eq!(PswMask::BITS_64.into_bits(), 0x0000_0001_8000_0000);
        let waiting = PswMask::BITS_64.with_wait(true);
        assert_eq!(waiting.into_bits(), 0x0002_0001_8000_0000);
        let user = PswMask::BITS_64
            .with_translation(true)
            .with_input_output(true)
            .with_external(true)
            .with_machine_check(true)
            .with_problem(true);
        assert_eq!(user.into_bits(), 0x0705_0001_8000_0000);
        let home = PswMask::new().with_space(AddressSpace::Home);
        assert_eq!(home.into_bits(), 0x0000_c000_0000_0000);
        assert_eq!(PswMask::new().with_key(15).into_bits(), 0x00f0 << 48);
        assert_eq!(PswMask::new().with_condition(3).into_bits(), 0x3000 << 32);
        assert_eq!(
            PswMask::new().with_program_mask(15).into_bits(),
            0x0f00 << 32
        );
        let recording = PswMask::new().with_event_recording(true);
        assert_eq!(recording.into_bits(), 1 << 62);
    }
}
