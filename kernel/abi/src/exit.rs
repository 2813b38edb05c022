//! What leaves a guest, and how a server answers.

use bitfield_struct::bitfield;

crate::error::numbered! {
    /// Classes of exits of a vCPU; each has an endpoint of its own.
    pub enum ExitClass: u16 {
        /// The guest called its hypervisor (ecall, VMMCALL/VMCALL, DIAG). Words: 0 the program
        /// counter, which is behind the instruction already.
        Hypercall = 0,
        /// An instruction that has to be emulated. Words: 0 program counter, 1 instruction bits or 0.
        Instruction = 1,
        /// An access in a device route that the hardware did not describe. Words: 0 program
        /// counter, 1 address, 2 the guest's own address or 0, 3 the machine's cause, 4 the address
        /// space, a [`RouteKey`], where `Device` stands for guest-physical addresses, 5 an
        /// [`AccessInfo`], or 0 where nobody described the access.
        Device = 2,
        /// An access to memory of the guest that is not there, in a memory route. Words as `Device`,
        /// but 5 is 0: what the hardware says of the access is not looked at.
        Memory = 3,
        /// An access to what is neither device nor memory of this guest, or that the server of its
        /// memory declined. Words as `Device`, or `Memory`; a described store's value is in its
        /// register.
        Unclaimed = 4,
        /// The vCPU can take an interrupt that the machine does not deliver by itself. Words: 0
        /// program counter, 1 the raised lines that it can take.
        Window = 5,
        /// Anything else. Words: 0 program counter, 1 the machine's cause, 2 and 3 its details.
        Other = 6,
    }
}

/// Number of exit classes.
pub const EXIT_CLASSES: usize = ExitClass::ALL.len();

crate::error::numbered! {
    /// How a server answers an exit; the label of its reply.
    pub enum ExitReply: u16 {
        /// The guest goes on with the registers as they are now.
        Resume = 0,
        /// The access in word 0 (address), word 1 ([`AccessInfo`]) and word 2 (value) is made for
        /// the guest by the server of its device route.
        Forward = 1,
        /// The vCPU stays stopped until it is resumed.
        Stop = 2,
        /// Not for this server: the exit is delivered as [`ExitClass::Unclaimed`].
        Decline = 3,
        /// The guest waits for an interrupt, as after its own instruction for it, and then goes on
        /// with the registers as they are now.
        Idle = 4,
        /// The instruction was emulated: the guest goes on behind it, which has as many bytes as
        /// word 0 says (0 to 15), with the registers as they are now.
        Behind = 5,
    }
}

/// One access of a guest to a device.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct AccessInfo {
    /// Base-two logarithm of the size in bytes, 0 to 3.
    #[bits(2)]
    pub size_log2: u8,
    /// Set for a store.
    pub write: bool,
    /// Set where a loaded value is sign-extended.
    pub signed: bool,
    /// The guest's general register that a load goes to.
    #[bits(5)]
    pub register: u8,
    /// Bytes of the instruction.
    #[bits(4)]
    pub instruction_length: u8,
    /// Index of the device route.
    pub route: u8,
    /// The address space, a [`RouteKey`]: `Device` (0) for guest-physical addresses.
    #[bits(4)]
    pub key: u8,
    /// Set where a load of less than eight bytes keeps the other bits of its register; else they
    /// become zero, or copies of the sign.
    pub merge: bool,
    /// Set where a load of one byte goes to bits 15:8 of its register and keeps the others.
    pub high: bool,
    #[bits(37)]
    __: u64,
}

impl AccessInfo {
    /// Returns the size in bytes: 1, 2, 4 or 8.
    #[must_use]
    pub const fn size(self) -> u64 {
        1 << self.size_log2()
    }
}

crate::error::numbered! {
    /// What a device route is keyed by.
    pub enum RouteKey: u8 {
        /// Guest-physical addresses of a device.
        Device = 0,
        /// Guest-physical addresses of the guest's memory: a missing page is an
        /// [`ExitClass::Memory`] exit.
        Memory = 1,
        /// x86 I/O ports.
        Port = 2,
        /// s390 subchannels or DIAG codes.
        Subchannel = 3,
    }
}

// The kernel takes whatever is not above `Memory` for guest-physical addresses.
const _: () = assert!(RouteKey::Device as u8 == 0 && RouteKey::Memory as u8 == 1);

/// Routes that one guest space holds.
pub const MAX_ROUTES: usize = 32;
