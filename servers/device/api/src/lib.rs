//! What a guest's vcpu server may ask of the guest's devices.
//!
//! The guest's own accesses do not come this way: the kernel delivers them. A device never calls
//! the vcpu server, it rings it (grant `vcpu`); so neither can wait for the other for ever.
#![no_std]
#![forbid(unsafe_code)]

use api::Newest;
use postcard::experimental::max_size::MaxSize;
use serde::{Deserialize, Serialize};

/// The protocol of devices.
#[derive(Clone, Copy, Debug)]
pub enum Device {}

impl api::Protocol for Device {
    const VERSION: u16 = 2;
    type Request = Request;
    type Reply = Result<Reply, Refusal>;
}

/// Rows of [`Bytes`].
const ROWS: usize = 8;
/// Bytes of a row.
const ROW: usize = 32;

/// Up to [`Bytes::CAPACITY`] bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
#[serde(try_from = "Encoded", into = "Encoded")]
pub struct Bytes {
    count: usize,
    rows: [[u8; ROW]; ROWS],
}

/// [`Bytes`] as they travel.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, MaxSize)]
struct Encoded(u16, [[u8; ROW]; ROWS]);

/// More bytes are claimed than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl core::fmt::Display for TooMany {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("more bytes than there are")
    }
}

impl Bytes {
    /// The most bytes.
    pub const CAPACITY: usize = ROWS * ROW;

    /// Returns the first bytes of `bytes`, as many as fit.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut all = Self::default();
        for (place, byte) in all.rows.as_flattened_mut().iter_mut().zip(bytes) {
            *place = *byte;
            all.count += 1;
        }
        all
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.rows
            .as_flattened()
            .get(..self.count)
            .unwrap_or_default()
    }
}

impl TryFrom<Encoded> for Bytes {
    type Error = TooMany;

    fn try_from(Encoded(count, rows): Encoded) -> Result<Self, TooMany> {
        let count = usize::from(count);
        if count > Self::CAPACITY {
            return Err(TooMany);
        }
        Ok(Self { count, rows })
    }
}

impl From<Bytes> for Encoded {
    fn from(bytes: Bytes) -> Self {
        Self(u16::try_from(bytes.count).unwrap_or(0), bytes.rows)
    }
}

/// What the vcpu server may ask. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
#[expect(
    clippy::large_enum_variant,
    reason = "a message is bytes on the stack: there is no heap to box in"
)]
pub enum Request {
    /// The guest is reset: the device is as at first, and its interrupt line is low at the
    /// interrupt server before the answer.
    Reset {
        /// Accesses up to these numbers were made before the reset: they have no effect.
        newest: Newest,
    },
    /// Asks for what the guest's end is to be, behind a ring; it is asked once.
    TakeExit,
    /// The guest's firmware console writes.
    Write {
        /// What.
        bytes: Bytes,
    },
    /// The guest's firmware console reads.
    Read {
        /// The most bytes.
        most: u16,
    },
    /// A vCPU loads from the device by an instruction that does more with it than the kernel can;
    /// the guest waits as it does for its own accesses.
    Load {
        /// The vCPU.
        vcpu: u8,
        /// Number of its exit.
        sequence: u64,
        /// The guest-physical address, or the port.
        address: u64,
        /// Bytes.
        size: u8,
    },
}

/// What the device answers. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
#[expect(
    clippy::large_enum_variant,
    reason = "a message is bytes on the stack: there is no heap to box in"
)]
pub enum Reply {
    /// The device is reset.
    Done,
    /// The number of the exit line that the guest printed since this was asked last.
    Exit {
        /// As printed, or nothing.
        number: Option<i64>,
    },
    /// So many bytes were taken.
    Written {
        /// How many.
        count: u16,
    },
    /// What was typed.
    Read {
        /// As much as there was.
        bytes: Bytes,
    },
    /// What was loaded.
    Loaded {
        /// The value.
        value: u64,
    },
}

/// Why a request was refused; it had no effect. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Refusal {
    /// The client is not the guest's vcpu server.
    NotYours,
    /// The device is no console.
    NotAConsole,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
        let mut buffer = [0; 960];
        postcard::to_slice(value, &mut buffer).unwrap().to_vec()
    }

    fn reply(reply: Reply) -> Vec<u8> {
        encoded(&Ok::<_, Refusal>(reply))
    }

    #[test]
    fn requests_keep_their_bytes() {
        let newest = Newest::default();
        assert_eq!(encoded(&Request::Reset { newest })[..2], [0, 0]);
        assert_eq!(encoded(&Request::TakeExit), [1]);
        let bytes = Bytes::new(b"ab");
        let write = encoded(&Request::Write { bytes });
        assert_eq!(write[..5], [2, 2, b'a', b'b', 0]);
        assert_eq!(write.len(), 2 + Bytes::CAPACITY);
        assert_eq!(encoded(&Request::Read { most: 5 }), [3, 5]);
        let load = Request::Load {
            vcpu: 1,
            sequence: 300,
            address: 0x3f8,
            size: 1,
        };
        assert_eq!(encoded(&load), [4, 1, 0xac, 2, 0xf8, 7, 1]);
    }

    #[test]
    fn replies_keep_their_bytes() {
        assert_eq!(reply(Reply::Done), [0, 0]);
        assert_eq!(reply(Reply::Exit { number: None }), [0, 1, 0]);
        assert_eq!(reply(Reply::Exit { number: Some(-1) }), [0, 1, 1, 1]);
        assert_eq!(reply(Reply::Written { count: 3 }), [0, 2, 3]);
        let bytes = Bytes::new(b"x");
        assert_eq!(reply(Reply::Read { bytes })[..5], [0, 3, 1, b'x', 0]);
        assert_eq!(reply(Reply::Loaded { value: 300 }), [0, 4, 0xac, 2]);
        assert_eq!(encoded(&Err::<Reply, _>(Refusal::NotYours)), [1, 0]);
        assert_eq!(encoded(&Err::<Reply, _>(Refusal::NotAConsole)), [1, 1]);
    }

    #[test]
    fn messages_fit_and_travel() {
        let bytes = Bytes::new(&[7; 300]);
        assert_eq!(bytes.as_slice().len(), Bytes::CAPACITY);
        let request = Request::Write { bytes };
        let words = api::encode_request::<Device>(&request).unwrap();
        assert_eq!(api::decode_request::<Device>(words.as_slice()), Ok(request));
    }

    proptest! {
        #[test]
        fn a_count_beyond_the_bytes_does_not_decode(count: u16) {
            let mut bytes = encoded(&Encoded(count, [[0; ROW]; ROWS]));
            bytes.insert(0, 2);
            let decoded = postcard::from_bytes::<Request>(&bytes);
            prop_assert_eq!(decoded.is_ok(), usize::from(count) <= Bytes::CAPACITY);
        }
    }
}
