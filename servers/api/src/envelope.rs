//! The label of a protocol's messages: the version handshake.
//!
//! A request carries the client's version as its label, a reply the server's. A server that does
//! not speak the version, or cannot decode the request, answers with the label [`REFUSED`] and one
//! word, a [`Refused`].

use crate::protocol::Protocol;

/// Label of the answer to a request that never reached the server's logic.
pub const REFUSED: u16 = 0xffff;

/// Why a message was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The other side speaks another version: this one.
    WrongVersion(u16),
    /// The words are no message of the protocol.
    Malformed,
}

/// Flag of [`Refused::Malformed`] in the answer's word.
const MALFORMED: u64 = 1 << 16;

impl Refused {
    /// Returns the word that travels.
    #[must_use]
    pub const fn into_word(self) -> u64 {
        match self {
            Self::WrongVersion(version) => version as u64,
            Self::Malformed => MALFORMED,
        }
    }

    /// Returns what a word says; what makes no sense is malformed.
    #[must_use]
    pub fn from_word(word: u64) -> Self {
        u16::try_from(word).map_or(Self::Malformed, Self::WrongVersion)
    }
}

/// Returns the request in a message with this label.
///
/// # Errors
///
/// The [`Refused`] to answer with.
pub fn open_request<P: Protocol>(label: u16, words: &[u64]) -> Result<P::Request, Refused> {
    if label != P::VERSION {
        return Err(Refused::WrongVersion(P::VERSION));
    }
    crate::decode_request::<P>(words).map_err(|_| Refused::Malformed)
}

/// Returns the reply in a message with this label.
///
/// # Errors
///
/// What the server refused, or [`Refused`] of this side where it cannot read the reply.
pub fn open_reply<P: Protocol>(label: u16, words: &[u64]) -> Result<P::Reply, Refused> {
    match (label, words.first()) {
        (REFUSED, Some(word)) => Err(Refused::from_word(*word)),
        (label, _) if label != P::VERSION => Err(Refused::WrongVersion(label)),
        _ => crate::decode_reply::<P>(words).map_err(|_| Refused::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter;

    impl Protocol for Counter {
        const VERSION: u16 = 3;
        type Request = u8;
        type Reply = u64;
    }

    #[test]
    fn a_refusal_survives_its_word() {
        for refused in [
            Refused::WrongVersion(0),
            Refused::WrongVersion(0xfffe),
            Refused::Malformed,
        ] {
            assert_eq!(Refused::from_word(refused.into_word()), refused);
        }
        assert_eq!(Refused::from_word(u64::MAX), Refused::Malformed);
    }

    #[test]
    fn only_the_spoken_version_is_opened() {
        assert_eq!(open_request::<Counter>(3, &[7]), Ok(7));
        assert_eq!(
            open_request::<Counter>(2, &[7]),
            Err(Refused::WrongVersion(3))
        );
        assert_eq!(open_request::<Counter>(3, &[7, 7]), Err(Refused::Malformed));
    }

    #[test]
    fn a_reply_is_opened_or_tells_why_not() {
        assert_eq!(open_reply::<Counter>(3, &[7]), Ok(7));
        assert_eq!(
            open_reply::<Counter>(4, &[7]),
            Err(Refused::WrongVersion(4))
        );
        assert_eq!(
            open_reply::<Counter>(REFUSED, &[3]),
            Err(Refused::WrongVersion(3))
        );
        assert_eq!(
            open_reply::<Counter>(REFUSED, &[]),
            Err(Refused::WrongVersion(REFUSED))
        );
    }
}
