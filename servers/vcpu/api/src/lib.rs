//! What the supervisor may ask of a guest's vCPU server.
//!
//! Exits do not come this way: the kernel delivers them. Devices do not ask: they ring, and the
//! server asks them (`device-api`).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod description;

pub use description::{Description, Device};

use postcard::experimental::max_size::MaxSize;
use serde::{Deserialize, Serialize};

/// The protocol of the vCPU server.
#[derive(Clone, Copy, Debug)]
pub enum Vcpus {}

impl api::Protocol for Vcpus {
    const VERSION: u16 = 2;
    type Request = Request;
    type Reply = Result<Reply, Refusal>;
}

/// Exit classes that are counted, by number; see `abi::exit::ExitClass`.
pub const EXIT_CLASSES: usize = 7;
/// Kinds of firmware calls that are counted: BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, unknown.
pub const CALL_KINDS: usize = 8;

/// Badge of the supervisor at the server's endpoints; those of processes are their index + 1, and an
/// endpoint capability without a badge is nobody's.
pub const SUPERVISOR: u64 = 0xffff;

/// What a client may ask. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Request {
    /// Asks where the VM stands.
    Status,
    /// Asks for the counters.
    Statistics,
    /// Ends the guest; from the supervisor only.
    PowerOff,
}

/// What the server answers. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Reply {
    /// It happened.
    Done,
    /// Where the VM stands.
    Status(Status),
    /// The counters.
    Statistics(Statistics),
}

/// Where a VM stands. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Status {
    /// It is being loaded.
    Loading,
    /// It runs.
    Running,
    /// It ended.
    PoweredOff {
        /// Its exit status; 0 is a clean end.
        status: i64,
    },
    /// It is being loaded again.
    Rebooting,
    /// It was stopped for ever: a fault of the guest's machine.
    Failed {
        /// The vCPU that was to blame.
        vcpu: u8,
        /// The machine's cause, or the id of a register that was refused.
        cause: u64,
        /// The guest's program counter, where it is known.
        program_counter: u64,
    },
}

/// What was counted since the guest's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Statistics {
    /// Exits that came to this server, by class.
    pub exits: [u64; EXIT_CLASSES],
    /// Firmware calls, by kind.
    pub calls: [u64; CALL_KINDS],
    /// Accesses that were decoded here and forwarded to their device.
    pub forwarded: u64,
    /// Exceptions that the guest got from here.
    pub exceptions: u64,
    /// Tries of exits that met an absent page.
    pub waits: u64,
}

/// Why a request was refused; it had no effect. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Refusal {
    /// The client's badge does not allow it; the client is to blame.
    NotAllowed,
    /// The guest ended already.
    Ended,
    /// The server could not set itself up; its guest never ran.
    NotSetUp,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
        let mut buffer = [0; 512];
        postcard::to_slice(value, &mut buffer).unwrap().to_vec()
    }

    fn status(status: Status) -> Vec<u8> {
        encoded(&Ok::<_, Refusal>(Reply::Status(status)))
    }

    #[test]
    fn requests_keep_their_bytes() {
        assert_eq!(encoded(&Request::Status), [0]);
        assert_eq!(encoded(&Request::Statistics), [1]);
        assert_eq!(encoded(&Request::PowerOff), [2]);
    }

    #[test]
    fn replies_keep_their_bytes() {
        assert_eq!(encoded(&Ok::<_, Refusal>(Reply::Done)), [0, 0]);
        assert_eq!(status(Status::Loading), [0, 1, 0]);
        assert_eq!(status(Status::Running), [0, 1, 1]);
        assert_eq!(status(Status::PoweredOff { status: 1 }), [0, 1, 2, 2]);
        assert_eq!(status(Status::Rebooting), [0, 1, 3]);
        let failed = Status::Failed {
            vcpu: 1,
            cause: 2,
            program_counter: 3,
        };
        assert_eq!(status(failed), [0, 1, 4, 1, 2, 3]);
        let statistics = Statistics {
            exits: [1, 2, 3, 4, 5, 6, 7],
            calls: [8, 9, 10, 11, 12, 13, 14, 15],
            forwarded: 16,
            exceptions: 17,
            waits: 18,
        };
        let expected: Vec<u8> = [0, 2].into_iter().chain(1..=18).collect();
        assert_eq!(
            encoded(&Ok::<_, Refusal>(Reply::Statistics(statistics))),
            expected
        );
    }

    #[test]
    fn refusals_keep_their_bytes() {
        assert_eq!(encoded(&Err::<Reply, _>(Refusal::NotAllowed)), [1, 0]);
        assert_eq!(encoded(&Err::<Reply, _>(Refusal::Ended)), [1, 1]);
        assert_eq!(encoded(&Err::<Reply, _>(Refusal::NotSetUp)), [1, 2]);
    }

    #[test]
    fn messages_fit_and_travel() {
        let words = api::encode_request::<Vcpus>(&Request::Statistics).unwrap();
        let request = api::decode_request::<Vcpus>(words.as_slice());
        assert_eq!(request, Ok(Request::Statistics));
    }
}
