//! What devices and the supervisor may ask of a guest's interrupt server.
//!
//! The guest's own accesses to its controllers do not come this way: the kernel delivers them as
//! `Access` messages.
#![no_std]
#![forbid(unsafe_code)]

pub mod floating;
pub mod line;

pub use line::{LineReport, LineReports};

use api::Newest;
use postcard::experimental::max_size::MaxSize;
use serde::{Deserialize, Serialize};

/// The protocol of the interrupt server.
#[derive(Clone, Copy, Debug)]
pub enum Irq {}

impl api::Protocol for Irq {
    const VERSION: u16 = 3;
    type Request = Request;
    type Reply = Result<Reply, Refusal>;
}

/// An input of the guest's interrupt controller, 1 to 127.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, MaxSize,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct Source(u8);

/// The highest source.
pub const MAX_SOURCE: u8 = 127;

/// The number is no source: 0, or above [`MAX_SOURCE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASource(pub u8);

impl core::fmt::Display for NotASource {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            formatter,
            "{} is no interrupt source (1 to {MAX_SOURCE})",
            self.0
        )
    }
}

impl Source {
    /// Returns source `number`, or `None` for 0 and above [`MAX_SOURCE`].
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number >= 1 && number <= MAX_SOURCE {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns the number, 1 to 127.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Source {
    type Error = NotASource;

    fn try_from(number: u8) -> Result<Self, NotASource> {
        Self::new(number).ok_or(NotASource(number))
    }
}

impl From<Source> for u8 {
    fn from(source: Source) -> Self {
        source.0
    }
}

/// On x86, the number of CR8 among the controllers' registers: the upper half of the task priority.
/// No model-specific register has it.
pub const CONTROL_REGISTER_8: u32 = 0xffff_0008;

/// What a client may ask. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
#[expect(
    clippy::large_enum_variant,
    reason = "a message is bytes on the stack: there is no heap to box in"
)]
pub enum Request {
    /// Sets the level of a source's line. Never waits and never fails for a source that exists.
    Raise {
        /// The line.
        source: Source,
        /// Its new level.
        level: bool,
        /// Number of this change of the line, counted by its device from 1: one that comes again
        /// has no second effect.
        sequence: u64,
    },
    /// Asks for the ledger.
    Statistics,
    /// The guest is reset: all controllers are as at first, but for lines that devices hold; from
    /// the guest's vcpu server only. Devices are reset before.
    Reset {
        /// Accesses up to these numbers were made before the reset: they have no effect.
        newest: Newest,
    },
    /// A vCPU accesses a register of its own that is a controller's; from the guest's vcpu server
    /// only, while it answers the vCPU's exit.
    Register {
        /// The vCPU.
        vcpu: u8,
        /// Number of the exit.
        sequence: u64,
        /// The register, as the machine numbers it.
        number: u32,
        /// The value stored, or `None` for a load.
        store: Option<u64>,
    },
    /// A vCPU loads from a controller by an instruction that does more with it; likewise.
    Access {
        /// The vCPU.
        vcpu: u8,
        /// Number of the exit.
        sequence: u64,
        /// The guest-physical address.
        address: u64,
        /// Bytes.
        size: u8,
    },
    /// Asks what processors have to do, as the interrupt server's ring said; likewise.
    TakeStart,
    /// s390x: posts, takes or forgets interruptions; from the guest's vcpu server only.
    Interruption {
        /// The vCPU whose exit causes it.
        by: u8,
        /// The number of that exit: one that comes again has no second effect.
        sequence: u64,
        /// What.
        act: floating::Act,
    },
}

/// What a processor has to do: stop where it waits to be started, then start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Start {
    /// The vCPU.
    pub vcpu: u8,
    /// It is reset, and waits.
    pub stop: bool,
    /// It starts at this page of 4 KiB, if it waits.
    pub page: Option<u8>,
}

/// What the server answers. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Reply {
    /// The line has its new level; the controllers are reset.
    Done,
    /// The ledger.
    Statistics(Statistics),
    /// What was loaded; 0 of a store.
    Value {
        /// The value.
        value: u64,
    },
    /// What one processor has to do, or nothing more.
    Start {
        /// It.
        start: Option<Start>,
    },
    /// s390x: what became of it.
    Interruption(floating::Answer),
}

/// Where interrupts went: `raised = injected + coalesced + suppressed + deferred`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Statistics {
    /// Requests that sources made.
    pub raised: u64,
    /// Requests that the guest claimed.
    pub injected: u64,
    /// Requests that met an open one of the same source.
    pub coalesced: u64,
    /// Requests that their device took back before the controller took them.
    pub suppressed: u64,
    /// Requests that wait for the guest.
    pub deferred: u64,
}

/// Why a request was refused. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Refusal {
    /// This guest's controller does not have the source; the client is to blame.
    NoSuchSource,
    /// The client's badge does not own the source, or may not ask this; the client is to blame.
    NotYours,
    /// The processor has no such register, or it does not take the value; the guest is to blame.
    NoSuchRegister,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
        let mut buffer = [0; 128];
        postcard::to_slice(value, &mut buffer).unwrap().to_vec()
    }

    #[test]
    fn requests_keep_their_bytes() {
        let source = Source::new(10).unwrap();
        assert_eq!(
            encoded(&Request::Raise {
                source,
                level: true,
                sequence: 1
            }),
            [0, 10, 1, 1]
        );
        assert_eq!(
            encoded(&Request::Raise {
                source,
                level: false,
                sequence: 300
            }),
            [0, 10, 0, 0xac, 2]
        );
        assert_eq!(encoded(&Request::Statistics), [1]);
        let reset = encoded(&Request::Reset {
            newest: Newest::default(),
        });
        assert_eq!(reset.len(), 65);
        assert_eq!(reset[..2], [2, 0]);
        let register = Request::Register {
            vcpu: 1,
            sequence: 300,
            number: 0x1b,
            store: Some(5),
        };
        assert_eq!(encoded(&register), [3, 1, 0xac, 2, 0x1b, 1, 5]);
        let access = Request::Access {
            vcpu: 1,
            sequence: 2,
            address: 0x80,
            size: 4,
        };
        assert_eq!(encoded(&access), [4, 1, 2, 0x80, 1, 4]);
        assert_eq!(encoded(&Request::TakeStart), [5]);
    }

    #[test]
    fn replies_keep_their_bytes() {
        let statistics = Statistics {
            raised: 300,
            injected: 1,
            coalesced: 2,
            suppressed: 3,
            deferred: 294,
        };
        assert_eq!(encoded(&Ok::<_, Refusal>(Reply::Done)), [0, 0]);
        let bytes = encoded(&Ok::<_, Refusal>(Reply::Statistics(statistics)));
        assert_eq!(bytes, [0, 1, 0xac, 2, 1, 2, 3, 0xa6, 2]);
        let value = Reply::Value { value: 300 };
        assert_eq!(encoded(&Ok::<_, Refusal>(value)), [0, 2, 0xac, 2]);
        let start = Some(Start {
            vcpu: 1,
            stop: true,
            page: Some(8),
        });
        let start = Ok::<_, Refusal>(Reply::Start { start });
        assert_eq!(encoded(&start), [0, 3, 1, 1, 1, 1, 8]);
        assert_eq!(encoded(&Err::<Reply, _>(Refusal::NoSuchRegister)), [1, 2]);
        assert_eq!(encoded(&Err::<Reply, _>(Refusal::NoSuchSource)), [1, 0]);
        assert_eq!(encoded(&Err::<Reply, _>(Refusal::NotYours)), [1, 1]);
    }

    #[test]
    fn messages_fit_and_travel() {
        let words = api::encode_request::<Irq>(&Request::Statistics).unwrap();
        let request = api::decode_request::<Irq>(words.as_slice());
        assert_eq!(request, Ok(Request::Statistics));
    }

    proptest! {
        #[test]
        fn what_is_no_source_does_not_decode(number: u8) {
            let decoded = postcard::from_bytes::<Request>(&[0, number, 1, 1]);
            prop_assert_eq!(decoded.is_ok(), (1..=127).contains(&number));
        }
    }
}
