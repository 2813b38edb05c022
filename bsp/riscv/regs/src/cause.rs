//! Why a hart trapped: scause (II 10.1.8, 15.2).

crate::numbered! {
    /// Synchronous exceptions, by their code in scause.
    pub enum Exception: u8 {
        /// Instruction address misaligned.
        FetchMisaligned = 0,
        /// Instruction access fault.
        FetchAccess = 1,
        /// Illegal instruction.
        IllegalInstruction = 2,
        /// Breakpoint.
        Breakpoint = 3,
        /// Load address misaligned.
        LoadMisaligned = 4,
        /// Load access fault.
        LoadAccess = 5,
        /// Store or AMO address misaligned.
        StoreMisaligned = 6,
        /// Store or AMO access fault.
        StoreAccess = 7,
        /// Call from (virtual) user mode.
        UserCall = 8,
        /// Call from the hypervisor's supervisor mode.
        SupervisorCall = 9,
        /// Call from a guest's supervisor mode.
        GuestCall = 10,
        /// Call from machine mode.
        MachineCall = 11,
        /// Instruction page fault.
        FetchPage = 12,
        /// Load page fault.
        LoadPage = 13,
        /// Store or AMO page fault.
        StorePage = 15,
        /// Double trap (Ssdbltrp).
        DoubleTrap = 16,
        /// Software check (Zicfiss, Zicfilp).
        SoftwareCheck = 18,
        /// Hardware error.
        HardwareError = 19,
        /// Instruction guest-page fault.
        FetchGuestPage = 20,
        /// Load guest-page fault.
        LoadGuestPage = 21,
        /// Virtual instruction.
        VirtualInstruction = 22,
        /// Store or AMO guest-page fault.
        StoreGuestPage = 23,
    }
}

crate::numbered! {
    /// Interrupts, by their code in scause.
    pub enum Interrupt: u8 {
        /// Supervisor software interrupt.
        SupervisorSoftware = 1,
        /// The guest's software interrupt.
        GuestSoftware = 2,
        /// Supervisor timer interrupt.
        SupervisorTimer = 5,
        /// The guest's timer interrupt.
        GuestTimer = 6,
        /// Supervisor external interrupt.
        SupervisorExternal = 9,
        /// The guest's external interrupt.
        GuestExternal = 10,
        /// External interrupt of a guest interrupt file.
        SupervisorGuestExternal = 12,
        /// Counter overflow.
        CounterOverflow = 13,
    }
}

/// A decoded scause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A synchronous exception.
    Exception(Exception),
    /// An interrupt.
    Interrupt(Interrupt),
    /// A code that is reserved or custom.
    Unknown(u64),
}

/// The bit of scause that tells interrupts from exceptions.
const INTERRUPT: u64 = 1 << 63;

impl Cause {
    /// Decodes a value of scause.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let code = bits & !INTERRUPT;
        if bits & INTERRUPT == 0 {
            if let Some(exception) = Exception::from_number(code) {
                return Self::Exception(exception);
            }
        } else if let Some(interrupt) = Interrupt::from_number(code) {
            return Self::Interrupt(interrupt);
        }
        Self::Unknown(bits)
    }

    /// Returns the value of scause.
    #[must_use]
    pub const fn into_bits(self) -> u64 {
        match self {
            Self::Exception(exception) => exception.number(),
            Self::Interrupt(interrupt) => interrupt.number() | INTERRUPT,
            Self::Unknown(bits) => bits,
        }
    }
}

impl Exception {
    /// Returns the access fault that a guest gets for a guest-page fault with this code, or `None`
    /// where the exception is no guest-page fault.
    #[must_use]
    pub const fn guest_access_fault(self) -> Option<Self> {
        match self {
            Self::FetchGuestPage => Some(Self::FetchAccess),
            Self::LoadGuestPage => Some(Self::LoadAccess),
            Self::StoreGuestPage => Some(Self::StoreAccess),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Exception, Interrupt};

    #[test]
    fn every_cause_decodes_to_itself() {
        for code in (0..64).chain((0..64).map(|code| code | 1 << 63)) {
            assert_eq!(Cause::from_bits(code).into_bits(), code);
        }
        assert_eq!(
            Cause::from_bits(22),
            Cause::Exception(Exception::VirtualInstruction)
        );
        assert_eq!(
            Cause::from_bits(1 << 63 | 9),
            Cause::Interrupt(Interrupt::SupervisorExternal)
        );
        assert_eq!(Cause::from_bits(14), Cause::Unknown(14));
    }
}
