//! A protocol, and messages of it as words.

use crate::packing::{MESSAGE_BYTES, Words, unpack};
use postcard::experimental::max_size::MaxSize;
use serde::{Serialize, de::DeserializeOwned};

/// A request/reply contract between one server and its clients.
pub trait Protocol {
    /// Changes whenever an encoded byte changes meaning. Below [`crate::envelope::REFUSED`].
    const VERSION: u16;
    /// What a client asks. Variants are only appended.
    type Request: Serialize + DeserializeOwned + MaxSize;
    /// What the server answers.
    type Reply: Serialize + DeserializeOwned + MaxSize;
    /// Fails to compile where a message cannot fit in one kernel message.
    const FITS: () = assert!(
        <Self::Request as MaxSize>::POSTCARD_MAX_SIZE <= MESSAGE_BYTES
            && <Self::Reply as MaxSize>::POSTCARD_MAX_SIZE <= MESSAGE_BYTES
            && Self::VERSION < crate::envelope::REFUSED,
        "a message of this protocol does not fit"
    );
}

/// Bytes that are no message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Returns the words of a request.
///
/// # Errors
///
/// [`Malformed`] where the value's serialisation fails.
pub fn encode_request<P: Protocol>(request: &P::Request) -> Result<Words, Malformed> {
    let () = P::FITS;
    encode(request)
}

/// Returns the words of a reply.
///
/// # Errors
///
/// [`Malformed`] where the value's serialisation fails.
pub fn encode_reply<P: Protocol>(reply: &P::Reply) -> Result<Words, Malformed> {
    let () = P::FITS;
    encode(reply)
}

/// Returns the request that `words` hold.
///
/// # Errors
///
/// [`Malformed`] where they hold something else, or something more.
pub fn decode_request<P: Protocol>(words: &[u64]) -> Result<P::Request, Malformed> {
    let () = P::FITS;
    decode(words)
}

/// Returns the reply that `words` hold.
///
/// # Errors
///
/// [`Malformed`] where they hold something else, or something more.
pub fn decode_reply<P: Protocol>(words: &[u64]) -> Result<P::Reply, Malformed> {
    let () = P::FITS;
    decode(words)
}

/// Returns the words of any value that fits.
fn encode<T: Serialize>(value: &T) -> Result<Words, Malformed> {
    let mut buffer = [0; MESSAGE_BYTES];
    let bytes = postcard::to_slice(value, &mut buffer).map_err(|_| Malformed)?;
    Words::pack(bytes).ok_or(Malformed)
}

/// Returns the value that `words` hold; what is left over may only be the last word's padding.
fn decode<T: DeserializeOwned>(words: &[u64]) -> Result<T, Malformed> {
    let mut buffer = [0; MESSAGE_BYTES];
    let count = unpack(words, &mut buffer);
    if count < words.len() * 8 {
        return Err(Malformed);
    }
    let (value, rest) = postcard::take_from_bytes(&buffer[..count]).map_err(|_| Malformed)?;
    if rest.len() >= 8 || rest.iter().any(|byte| *byte != 0) {
        return Err(Malformed);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GuestPage, GuestPhys};
    use serde::{Deserialize, Serialize};

    /// A protocol for the tests.
    struct Sample;

    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
    enum Request {
        Map { at: GuestPage, pages: u32 },
        Touch(GuestPhys),
        Nothing,
    }

    impl Protocol for Sample {
        const VERSION: u16 = 1;
        type Request = Request;
        type Reply = Result<u32, u8>;
    }

    #[test]
    fn map_keeps_its_bytes() {
        let at = GuestPage::at(0x8000_0000).unwrap();
        let words = encode_request::<Sample>(&Request::Map { at, pages: 2 }).unwrap();
        // 00 | 80 80 80 80 08 | 02, byte 0 in the lowest bits.
        assert_eq!(words.as_slice(), [0x0002_0880_8080_8000]);
    }

    #[test]
    fn touch_keeps_its_bytes() {
        let request = Request::Touch(GuestPhys::new(0x1234));
        let words = encode_request::<Sample>(&request).unwrap();
        assert_eq!(words.as_slice(), [0x24_b401]);
    }

    #[test]
    fn reply_keeps_its_bytes() {
        let words = encode_reply::<Sample>(&Ok(300)).unwrap();
        assert_eq!(words.as_slice(), [0x02_ac00]);
        let words = encode_reply::<Sample>(&Err(7)).unwrap();
        assert_eq!(words.as_slice(), [0x0701]);
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for request in [
            Request::Nothing,
            Request::Touch(GuestPhys::new(u64::MAX)),
            Request::Map {
                at: GuestPage::at(0x4000).unwrap(),
                pages: u32::MAX,
            },
        ] {
            let words = encode_request::<Sample>(&request).unwrap();
            assert_eq!(decode_request::<Sample>(words.as_slice()), Ok(request));
        }
    }

    #[test]
    fn leftovers_are_refused() {
        assert_eq!(decode_request::<Sample>(&[2]), Ok(Request::Nothing));
        assert_eq!(decode_request::<Sample>(&[0x0102]), Err(Malformed));
        assert_eq!(decode_request::<Sample>(&[2, 0]), Err(Malformed));
        assert_eq!(decode_request::<Sample>(&[2 | 1 << 56]), Err(Malformed));
    }

    #[test]
    fn an_address_is_checked_while_it_is_decoded() {
        // Map at 1, which is no page.
        assert_eq!(decode_request::<Sample>(&[0x02_0100]), Err(Malformed));
        assert_eq!(decode_request::<Sample>(&[]), Err(Malformed));
        assert_eq!(decode_request::<Sample>(&[0; 121]), Err(Malformed));
    }
}
