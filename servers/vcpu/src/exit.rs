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

/// How an exit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the vCPU waits for the answer"]
pub enum Outcome {
    /// The guest goes on with the registers as they are now.
    Resume,
    /// The instruction that it left at, of so many bytes, was emulated: the guest goes on behind it
    /// with the registers as they are now.
    Behind(u64),
    /// The device's server makes this access.
    Forward(Access),
    /// The guest waits for an interrupt, then goes on with the registers as they are now.
    Idle,
    /// The vCPU stays stopped. After the reply, call [`crate::Machine::parked`].
    Stop,
    /// Not for this server.
    Decline,
    /// A page of the guest is absent: leave the exit unanswered and handle it again when the page
    /// at this guest-physical address is there. Nothing has happened yet.
    Wait {
        /// An address in the missing page.
        address: u64,
    },
}

impl Outcome {
    /// Returns label and words of the reply, or `None` where there is none yet.
    #[must_use]
    pub const fn reply(self) -> Option<(ExitReply, [u64; 3])> {
        match self {
            Self::Resume => Some((ExitReply::Resume, [0; 3])),
            Self::Behind(length) => Some((ExitReply::Behind, [length, 0, 0])),
            Self::Forward(access) => {
                let words = [access.address, access.info.into_bits(), access.value];
                Some((ExitReply::Forward, words))
            }
            Self::Idle => Some((ExitReply::Idle, [0; 3])),
            Self::Stop => Some((ExitReply::Stop, [0; 3])),
            Self::Decline => Some((ExitReply::Decline, [0; 3])),
            Self::Wait { .. } => None,
        }
    }
}
