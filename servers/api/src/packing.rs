//! Bytes in message words.
//!
//! Words are native registers, so packing is defined by arithmetic and not by memory order: byte
//! *i* is bits `8 * (i % 8)` and up of word `i / 8`. Bits behind the last byte are zero.

/// Words of the longest message.
pub const MESSAGE_WORDS: usize = 120;
/// Bytes of the longest message.
pub const MESSAGE_BYTES: usize = MESSAGE_WORDS * 8;

/// The words of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    words: [u64; MESSAGE_WORDS],
    count: usize,
}

impl Words {
    /// Returns `bytes` packed into words, or `None` where they are more than a message holds.
    #[must_use]
    pub fn pack(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MESSAGE_BYTES {
            return None;
        }
        let mut words = [0; MESSAGE_WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            for (index, byte) in chunk.iter().enumerate() {
                *word |= u64::from(*byte) << (8 * index);
            }
        }
        let count = bytes.len().div_ceil(8);
        Some(Self { words, count })
    }

    /// Returns the words that hold bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u64] {
        &self.words[..self.count]
    }
}

/// Writes the bytes of `words` to `bytes` and returns how many there are: eight of each word, as
/// far as `bytes` reaches.
pub fn unpack(words: &[u64], bytes: &mut [u8]) -> usize {
    for (word, chunk) in words.iter().zip(bytes.chunks_mut(8)) {
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    bytes.len().min(words.len() * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_by_value() {
        let words = Words::pack(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
        assert_eq!(words.as_slice(), [0x0807_0605_0403_0201, 9]);
    }

    #[test]
    fn every_length_comes_back() {
        for length in 0..=MESSAGE_BYTES {
            let mut bytes = [0_u8; MESSAGE_BYTES];
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::try_from(index % 251).unwrap();
            }
            let words = Words::pack(&bytes[..length]).unwrap();
            let mut back = [0_u8; MESSAGE_BYTES];
            let count = unpack(words.as_slice(), &mut back);
            assert_eq!(count, length.div_ceil(8) * 8);
            assert_eq!(back[..length], bytes[..length]);
            assert!(back[length..].iter().all(|byte| *byte == 0));
        }
        assert!(Words::pack(&[0; MESSAGE_BYTES + 1]).is_none());
    }
}
