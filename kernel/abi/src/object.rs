//! The kinds of object that a capability can name.

use crate::error::numbered;

numbered! {
    /// The kinds of object that a capability can name.
    pub enum ObjectKind: u8 {
        /// Memory that has no type yet; source of all other objects.
        Untyped = 1,
        /// A table of capability slots.
        CapTable = 2,
        /// One power-of-two block of memory that can be mapped.
        Frame = 3,
        /// An address space of a process.
        Space = 4,
        /// The second-stage address space of a guest.
        GuestSpace = 5,
        /// A thread of a process.
        Thread = 6,
        /// A scheduling context: an amount of time per period.
        Budget = 7,
        /// A place where calls meet their server.
        Endpoint = 8,
        /// A caller that waits for its answer.
        Reply = 9,
        /// A word of signal bits.
        Notification = 10,
        /// A virtual processor of a guest.
        Vcpu = 11,
        /// A physical interrupt.
        Interrupt = 12,
        /// The authority to make Interrupt capabilities.
        InterruptControl = 13,
        /// The authority to make allow-listed firmware calls.
        Firmware = 14,
        /// A range of the machine's I/O ports.
        IoPorts = 15,
    }
}

impl ObjectKind {
    /// Returns whether `retype` makes objects of this kind out of Untyped memory.
    #[must_use]
    pub const fn is_retyped(self) -> bool {
        !matches!(
            self,
            Self::Interrupt | Self::InterruptControl | Self::Firmware | Self::IoPorts
        )
    }
}
