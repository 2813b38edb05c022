//! Program interruptions (PoP chapter 6, "Program Interruption").

/// What a program interruption is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramException {
    /// An instruction that there is not, that is privileged, or that cannot do what it says.
    Operation,
    /// Something that has to be aligned is not: the instruction itself, or an operand.
    Specification,
    /// An access that the translation does not allow.
    Protection,
    /// An address without memory behind its translation.
    Addressing,
    /// There is no translation. The program counter stays at the instruction.
    Translation,
}

impl ProgramException {
    /// Returns what an interruption code says; bit 8 (an event was recorded too) does not count.
    #[must_use]
    pub const fn of(code: u16) -> Self {
        match code & 0x7f {
            0x04 => Self::Protection,
            0x05 => Self::Addressing,
            0x06 => Self::Specification,
            0x10 | 0x11 | 0x38..=0x3b => Self::Translation,
            _ => Self::Operation,
        }
    }

    /// Returns whether the program counter is behind the instruction: it was not nullified.
    #[must_use]
    pub const fn is_behind(self) -> bool {
        !matches!(self, Self::Translation)
    }
}

/// Translation-exception identification: what a translation or protection exception stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identification(pub u64);

impl Identification {
    /// Returns the address of the page.
    #[must_use]
    pub const fn page(self) -> u64 {
        self.0 & !0xfff
    }

    /// Returns whether a protection exception was about the fetch of an instruction.
    #[must_use]
    pub const fn is_protected_fetch(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// Returns whether a protection exception was about what a translation says, not about keys or
    /// the first bytes of the prefix area.
    #[must_use]
    pub const fn is_protected_by_table(self) -> bool {
        self.0 & 0x4 != 0
    }

    /// Returns whether it was a store, where the machine says (facility 75).
    #[must_use]
    pub const fn is_store(self) -> bool {
        self.0 >> 10 & 3 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::{Identification, ProgramException};

    #[test]
    fn codes_are_those_of_the_manual() {
        for (code, exception) in [
            (0x01, ProgramException::Operation),
            (0x02, ProgramException::Operation),
            (0x04, ProgramException::Protection),
            (0x05, ProgramException::Addressing),
            (0x06, ProgramException::Specification),
            (0x08, ProgramException::Operation),
            (0x10, ProgramException::Translation),
            (0x11, ProgramException::Translation),
            (0x91, ProgramException::Translation),
            (0x3b, ProgramException::Translation),
        ] {
            assert_eq!(ProgramException::of(code), exception, "{code:#x}");
        }
        assert!(!ProgramException::of(0x11).is_behind());
        assert!(ProgramException::of(0x01).is_behind());
    }

    #[test]
    fn an_identification_has_page_and_access() {
        let store = Identification(0x1234_5400);
        assert_eq!((store.page(), store.is_store()), (0x1234_5000, true));
        assert!(!store.is_protected_fetch() && !store.is_protected_by_table());
        assert!(Identification(0x1234_5404).is_protected_by_table());
        assert!(Identification(0x1234_5884).is_protected_fetch());
        assert!(!Identification(0x1234_5800).is_store());
        assert!(!Identification(0x1234_5000).is_store());
    }
}
