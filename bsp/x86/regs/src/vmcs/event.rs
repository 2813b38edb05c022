//! Events that are injected into guests.

use bitfield_struct::bitfield;

/// An event that is injected or was being delivered (SDM 3C, "VM-Entry Controls for Event
/// Injection"). SVM has the same layout, with the error code in the upper half of 64 bits.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Event {
    /// The vector.
    pub vector: u8,
    /// One of [`kind`].
    #[bits(3)]
    pub kind: u8,
    /// There is an error code.
    pub has_error: bool,
    /// In the exit's event: the guest's IRET had ended the blocking of non-maskable interrupts.
    pub unblocked_nmi: bool,
    #[bits(18)]
    __: u32,
    /// There is an event.
    pub valid: bool,
}

/// Kinds of events.
pub mod kind {
    /// A maskable interrupt.
    pub const INTERRUPT: u8 = 0;
    /// A non-maskable interrupt.
    pub const NMI: u8 = 2;
    /// An exception that no instruction asked for.
    pub const EXCEPTION: u8 = 3;
    /// INT n; 5 and 6 are INT1, and INT3 and INTO.
    pub const SOFTWARE: u8 = 4;
}

impl Event {
    /// Tells whether an exception of this vector has an error code in protected mode (SDM 3A,
    /// "Exception and Interrupt Reference").
    #[must_use]
    pub const fn takes_error(vector: u8) -> bool {
        matches!(vector, 8 | 10..=14 | 17 | 21)
    }

    /// Returns the event as the processor injects it. It has its own idea of what has an error code:
    /// an exception of some vectors, in protected mode. What an instruction of the guest asked for is
    /// injected with the length of that; without one it is an interrupt.
    #[must_use]
    pub const fn injected(self, is_protected: bool, length: u64) -> Self {
        let kind = match self.kind() {
            kind::SOFTWARE.. if length == 0 => kind::INTERRUPT,
            kind => kind,
        };
        let has_error = kind == kind::EXCEPTION && is_protected && Self::takes_error(self.vector());
        Self::new()
            .with_vector(self.vector())
            .with_kind(kind)
            .with_has_error(has_error)
            .with_valid(self.valid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_an_error_code_where_the_processor_wants_one() {
        let fault = Event::new()
            .with_valid(true)
            .with_kind(kind::EXCEPTION)
            .with_vector(13);
        assert!(fault.injected(true, 0).has_error());
        assert!(!fault.with_has_error(true).injected(false, 0).has_error());
        assert!(
            !fault
                .with_vector(6)
                .with_has_error(true)
                .injected(true, 0)
                .has_error()
        );
        let software = fault.with_kind(kind::SOFTWARE).with_vector(0x80);
        assert_eq!(software.injected(true, 0).kind(), kind::INTERRUPT);
        assert_eq!(software.injected(true, 2).kind(), kind::SOFTWARE);
        assert!(!Event::new().injected(true, 0).valid());
    }
}
