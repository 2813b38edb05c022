//! Exits as the kernel reports them, and the answers.

use abi::exit::{AccessInfo, ExitClass, ExitReply};

/// One exit of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its class: the label of the kernel's message.
    pub class: ExitClass,
    /// Words of the message; which mean what is at [`ExitClass`].
    pub words: [u64; 6],
}

impl Exit {
    /// Returns the exit of a message with this label, or `None` where it is no class.
    #[must_use]
    #[inline]
    pub fn decode(label: u16, words: [u64; 6]) -> Option<Self> {
        ExitClass::from_number(label.into()).map(|class| Self { class, words })
    }
}

/// A device access that the hardware did not describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The guest-physical address.
    pub address: u64,
    /// Size, direction, register; the route is the kernel's business and 0 here.
    pub info: AccessInfo,
    /// The value stored; 0 of a load.
    pub value: u64,
}

/// How an exit is answered: label and words of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the vCPU waits for the answer"]
pub struct Outcome {
    /// Number of the label: as wide as a register, so that a copy is four of them.
    label: u64,
    words: [u64; 3],
}

/// A page of the guest is absent: the exit is to be handled again when it is there. Nothing has
/// happened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// An address in the missing page.
    pub address: u64,
}

impl Outcome {
    /// The guest goes on with the registers as they are now.
    pub const RESUME: Self = Self::new(ExitReply::Resume, [0; 3]);
    /// The guest waits for an interrupt, then goes on with the registers as they are now.
    pub const IDLE: Self = Self::new(ExitReply::Idle, [0; 3]);
    /// The vCPU stays stopped. After the reply, call [`crate::Machine::parked`].
    pub const STOP: Self = Self::new(ExitReply::Stop, [0; 3]);
    /// Not for this server.
    pub const DECLINE: Self = Self::new(ExitReply::Decline, [0; 3]);

    /// Returns the outcome with this label and these words.
    const fn new(label: ExitReply, words: [u64; 3]) -> Self {
        let label = label.number();
        Self { label, words }
    }

    /// Returns that the instruction that the guest left at, of so many bytes, was emulated: it goes
    /// on behind it with the registers as they are now.
    #[inline]
    pub const fn behind(length: u64) -> Self {
        Self::new(ExitReply::Behind, [length, 0, 0])
    }

    /// Returns that the device's server makes this access.
    #[inline]
    pub const fn forward(access: Access) -> Self {
        let words = [access.address, access.info.into_bits(), access.value];
        Self::new(ExitReply::Forward, words)
    }

    /// Returns the label of the reply.
    #[must_use]
    #[inline]
    pub const fn label(self) -> u16 {
        self.label as u16
    }

    /// Returns the words of the reply.
    #[must_use]
    #[inline]
    pub const fn words(&self) -> &[u64; 3] {
        &self.words
    }

    /// Returns whether the vCPU stays stopped.
    #[must_use]
    #[inline]
    pub const fn stops(self) -> bool {
        self.label == ExitReply::Stop.number()
    }

    /// Returns the access that a device's server makes, if it does.
    #[must_use]
    pub const fn access(self) -> Option<Access> {
        if self.label != ExitReply::Forward.number() {
            return None;
        }
        let [address, info, value] = self.words;
        let info = AccessInfo::from_bits(info);
        Some(Access {
            address,
            info,
            value,
        })
    }
}
