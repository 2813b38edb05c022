//! The loop of a server.

use crate::message::{Incoming, Outgoing};
use crate::synchronization::Endpoint;
use abi::Error;
use abi::call::FOREVER;
use abi::message::MAX_WORDS;
use api::envelope::{REFUSED, open_request};
use api::{Protocol, Refused, encode_reply};

/// What becomes of the caller whose message was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyAction {
    /// It gets this answer.
    Reply(Outgoing),
    /// Nobody is answered now: the handler saved the caller, answered it, or there is none, as
    /// with a notification.
    Wait,
    /// The loop ends, and the caller stays unanswered.
    Stop,
}

/// Receives messages and lets `handle` decide about each, until it says `Stop` (`Ok`).
///
/// # Errors
///
/// What the kernel answered to a receive or to a reply, but for a caller that is gone.
pub fn serve(
    endpoint: Endpoint,
    mut handle: impl FnMut(&Incoming) -> ReplyAction,
) -> Result<(), Error> {
    let mut received = endpoint.receive(FOREVER);
    loop {
        received = match handle(&received?) {
            ReplyAction::Reply(answer) => match endpoint.reply_receive(&answer, FOREVER) {
                Err(Error::NoCaller) => endpoint.receive(FOREVER),
                received => received,
            },
            ReplyAction::Wait => endpoint.receive(FOREVER),
            ReplyAction::Stop => return Ok(()),
        };
    }
}

/// Returns the answer to a request of protocol `P` that `handle` decides about; what is none gets
/// the refusal that the envelope defines.
pub fn answer<P: Protocol>(
    incoming: &Incoming,
    handle: impl FnOnce(P::Request) -> P::Reply,
) -> Outgoing {
    match request_in::<P>(incoming) {
        Ok(request) => reply_of::<P>(&handle(request)),
        Err(refused) => refusal(refused),
    }
}

/// Returns the request in a message. Not inlined: its buffers would stay on the stack while the
/// request is handled.
#[inline(never)]
fn request_in<P: Protocol>(incoming: &Incoming) -> Result<P::Request, Refused> {
    let mut buffer = [0; MAX_WORDS];
    let words = incoming.copy_words(&mut buffer);
    open_request::<P>(incoming.label(), words)
}

/// Returns the message of a reply. Not inlined, so that its buffers are on the stack for a
/// moment only.
#[inline(never)]
pub fn reply_of<P: Protocol>(reply: &P::Reply) -> Outgoing {
    match encode_reply::<P>(reply) {
        Ok(words) => Outgoing::new(P::VERSION).with_words(words.as_slice()),
        Err(_) => refusal(Refused::Malformed),
    }
}

/// Returns the message of a refusal.
#[must_use]
pub fn refusal(refused: Refused) -> Outgoing {
    Outgoing::new(REFUSED).with_words(&[refused.into_word()])
}
