//! Messages for the log: with label [`LABEL`], word 0 the bytes of a piece of plain text, then the
//! text; with label [`EVENT_LABEL`] a whole event as defmt encodes it, in the same way.

use crate::packing::{MESSAGE_BYTES, Words, unpack};

/// Label of a piece of text.
pub const LABEL: u16 = 0x4c4f;
/// Label of a defmt frame: words as those of a text, at most [`crate::frame::MAX_EVENT`] bytes.
pub const EVENT_LABEL: u16 = 0x4c45;
/// Label of a message without words that is answered when all text of before is on the wire; the word
/// of the answer is 1 where the wire takes nothing and that was given up.
pub const FLUSH_LABEL: u16 = 0x4c46;
/// The most bytes of one piece.
pub const MAX_TEXT: usize = MESSAGE_BYTES - 8;

/// Returns the words of a piece of text; what is longer than [`MAX_TEXT`] is cut.
#[must_use]
pub fn encode(text: &[u8]) -> Words {
    let text = &text[..text.len().min(MAX_TEXT)];
    let mut bytes = [0; MESSAGE_BYTES];
    bytes[..8].copy_from_slice(&(text.len() as u64).to_le_bytes());
    bytes[8..8 + text.len()].copy_from_slice(text);
    Words::pack(&bytes[..8 + text.len()]).expect("text and its length are one message long")
}

/// Writes the text of a message to `text` and returns its bytes, or `None` where the words hold
/// fewer than they say.
pub fn decode(words: &[u64], text: &mut [u8; MAX_TEXT]) -> Option<usize> {
    let (length, words) = words.split_first()?;
    let length = usize::try_from(*length).ok()?;
    (length <= unpack(words, text)).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_words() {
        assert_eq!(encode(b"ok\n").as_slice(), [3, 0x0a_6b6f]);
    }

    #[test]
    fn text_comes_back_and_a_lie_about_its_length_does_not() {
        let mut text = [0; MAX_TEXT];
        let words = encode(&[b'x'; 2000]);
        assert_eq!(decode(words.as_slice(), &mut text), Some(MAX_TEXT));
        assert_eq!(decode(&[9, 1], &mut text), None);
        assert_eq!(decode(&[], &mut text), None);
        assert_eq!(decode(&[u64::MAX, 0], &mut text), None);
    }
}
