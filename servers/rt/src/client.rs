//! Calls of a protocol.

use crate::message::{Incoming, Outgoing};
use crate::synchronization::Endpoint;
use abi::Error;
use abi::message::MAX_WORDS;
use api::envelope::open_reply;
use api::{Protocol, Refused, encode_request};

/// Why a request has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// The kernel did not deliver it, or the server is gone.
    Kernel(Error),
    /// The two sides do not understand each other.
    Refused(Refused),
}

/// Asks a server and waits for its reply.
///
/// # Errors
///
/// [`CallFailure`]. What the server's logic refuses is in the reply.
pub fn request<P: Protocol>(
    endpoint: Endpoint,
    request: &P::Request,
) -> Result<P::Reply, CallFailure> {
    let message = message_of::<P>(request)?;
    let incoming = endpoint.call(&message).map_err(CallFailure::Kernel)?;
    reply_in::<P>(&incoming)
}

/// Returns the message of a request. Not inlined: its buffers would stay on the stack during the
/// call.
#[inline(never)]
fn message_of<P: Protocol>(request: &P::Request) -> Result<Outgoing, CallFailure> {
    let words =
        encode_request::<P>(request).map_err(|_| CallFailure::Refused(Refused::Malformed))?;
    Ok(Outgoing::new(P::VERSION).with_words(words.as_slice()))
}

/// Returns the reply in a message. Not inlined, as [`message_of`].
#[inline(never)]
fn reply_in<P: Protocol>(incoming: &Incoming) -> Result<P::Reply, CallFailure> {
    let mut buffer = [0; MAX_WORDS];
    let words = incoming.copy_words(&mut buffer);
    open_reply::<P>(incoming.label(), words).map_err(CallFailure::Refused)
}
