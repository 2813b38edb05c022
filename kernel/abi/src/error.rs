//! Why the kernel refused a call.

/// Declares an integer enum together with its decoder and the list of its members.
macro_rules! numbered {
    ($(#[$outer:meta])* pub enum $name:ident: $int:ty { $($(#[$inner:meta])* $variant:ident = $value:expr,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr($int)]
        pub enum $name { $($(#[$inner])* $variant = $value,)+ }

        impl $name {
            /// Every member, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the member with this number, or `None` where there is none.
            #[must_use]
            pub const fn from_number(number: u64) -> Option<Self> {
                $(if number == $value { return Some(Self::$variant); })+
                None
            }

            /// Returns the number of this member.
            #[must_use]
            pub const fn number(self) -> u64 {
                self as u64
            }
        }
    };
}
pub(crate) use numbered;

numbered! {
    /// Why the kernel refused a call. The numbers are ABI: append, never renumber.
    pub enum Error: u16 {
        /// The slot is empty, or its index is out of range.
        NoCapability = 1,
        /// The capability names an object of another kind.
        WrongObject = 2,
        /// The capability lacks a right that the call needs.
        MissingRight = 3,
        /// The call number is not one that this kernel knows.
        UnknownCall = 4,
        /// An argument has a value that the call does not take.
        BadArgument = 5,
        /// An address or a size is not aligned as the call needs.
        Misaligned = 6,
        /// A range leaves the object or the address space that it is used in.
        OutOfRange = 7,
        /// The destination slot holds a capability already.
        SlotOccupied = 8,
        /// The untyped memory has too little left.
        OutOfMemory = 9,
        /// The space needs another page table and its fund is empty.
        NeedsMemory = 10,
        /// Something is mapped in this range already.
        AlreadyMapped = 11,
        /// The capability is not mapped.
        NotMapped = 12,
        /// The object is bound to another core.
        WrongCore = 13,
        /// The deadline passed first.
        TimedOut = 14,
        /// The server died, or gave up the call, before it replied.
        ServerGone = 15,
        /// Nobody waits for a reply.
        NoCaller = 16,
        /// The chain of calls is at its limit.
        CallTooDeep = 17,
        /// The capability cannot be copied.
        NotCopyable = 18,
        /// The capability has descendants that forbid this.
        HasChildren = 19,
        /// The derivation tree is at its greatest depth.
        TreeTooDeep = 20,
        /// The object is in a state in which the call makes no sense.
        WrongState = 21,
        /// The thread lacks something that the call needs: a space, a budget, a message page.
        NotConfigured = 22,
        /// A fixed table of the object is full.
        TableFull = 23,
        /// The machine lacks the feature.
        Unsupported = 24,
        /// The register id is not one that this object has.
        NoSuchRegister = 25,
        /// The register does not take this value.
        BadRegisterValue = 26,
        /// The firmware refused the call.
        FirmwareRefused = 27,
        /// The interrupt has an owner already.
        InterruptTaken = 28,
        /// The memory that the capability named was taken away while the call ran.
        Revoked = 29,
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn every_number_decodes_to_itself_and_none_is_zero() {
        for &error in Error::ALL {
            assert_eq!(Error::from_number(error.number()), Some(error));
        }
        assert_eq!(Error::from_number(0), None);
    }
}
