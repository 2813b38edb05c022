//! What two servers agree on: protocols, their encoding into message words, and number types.
//!
//! A message of a protocol is the postcard encoding of a request or reply, packed into words by
//! [`packing`]. Its label is the protocol's version ([`envelope`]), so that every message carries
//! the handshake with it and a server that was replaced by a newer one is noticed at once.
#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod delivery;
pub mod envelope;
pub mod frame;
pub mod line_mode;
pub mod log;
pub mod packing;
pub mod protocol;
pub mod ring;

pub use address::{GuestPage, GuestPhys, HostPhys, LineNumber, VcpuId};
pub use delivery::{Deliveries, Delivery, Last, Newest};
pub use envelope::Refused;
pub use packing::{MESSAGE_BYTES, MESSAGE_WORDS, Words};
pub use postcard::experimental::max_size::MaxSize;
pub use protocol::{
    Malformed, Protocol, decode_reply, decode_request, encode_reply, encode_request,
};
