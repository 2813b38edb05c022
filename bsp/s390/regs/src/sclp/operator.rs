//! The event with a command that the operator typed: a line of EBCDIC text inside of vectors.
//!
//! ```text
//!  vector: length (2)  id (2)       MDS message unit ⊃ CP message unit ⊃ text command
//!  subvector: length (1)  key (1)   self-defining text ⊃ text
//! ```

use super::{EVENT_HEADER, OPERATOR, ascii, ebcdic};

/// Id of a message unit for several domains.
const MDS_UNIT: u16 = 0x1310;
/// Id of a message unit of control points.
const CP_UNIT: u16 = 0x1212;
/// Id of a text command.
const TEXT_COMMAND: u16 = 0x1320;
/// Key of a self-defining text message.
const SELF_DEFINING: u8 = 0x31;
/// Key of its text.
const TEXT: u8 = 0x30;
/// Bytes in front of the text: the event's header, three vectors and two subvectors.
pub const OPERATOR_HEADER: usize = EVENT_HEADER + 3 * 4 + 2 * 2;
/// The most characters of one command: a subvector has at most 255 bytes.
pub const OPERATOR_TEXT: usize = 255 - 4;

/// Returns the first vector with this id among those in `bytes`, without its header.
fn vector(bytes: &[u8], id: u16) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let [high, low, one, other, ..] = *rest else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (vector, behind) = rest.split_at_checked(length.max(4))?;
        if u16::from_be_bytes([one, other]) == id {
            return vector.get(4..);
        }
        rest = behind;
    }
}

/// Returns the subvectors with this key among those in `bytes`, without their headers.
fn subvectors(bytes: &[u8], key: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let all = core::iter::from_fn(move || {
        let length = usize::from(*rest.first()?);
        let (subvector, behind) = rest.split_at_checked(length.max(2))?;
        rest = behind;
        Some(subvector)
    });
    all.filter(move |subvector| subvector.get(1) == Some(&key))
        .filter_map(|subvector| subvector.get(2..))
}

/// Returns the text where it lies behind all units instead of in them: QEMU counts the headers alone,
/// and, on little-endian hosts, gives the subvectors no length at all.
fn behind_units(data: &[u8]) -> Option<&[u8]> {
    const UNITS: usize = OPERATOR_HEADER - EVENT_HEADER;
    let (units, text) = data.split_at_checked(UNITS)?;
    let told = u16::from_be_bytes([*units.first()?, *units.get(1)?]);
    (usize::from(told) == UNITS && !text.is_empty()).then_some(text)
}

/// Gives the characters of the command in an event's data to `put`, in ASCII.
pub fn operator_text(data: &[u8], mut put: impl FnMut(u8)) {
    if let Some(text) = behind_units(data) {
        return text.iter().for_each(|character| put(ascii(*character)));
    }
    let command = vector(data, MDS_UNIT)
        .and_then(|unit| vector(unit, CP_UNIT))
        .and_then(|unit| vector(unit, TEXT_COMMAND));
    let messages = subvectors(command.unwrap_or_default(), SELF_DEFINING);
    for text in messages.flat_map(|message| subvectors(message, TEXT)) {
        text.iter().for_each(|character| put(ascii(*character)));
    }
}

/// Writes the event with a command; returns its length, 0 where it does not fit. Characters behind
/// the first [`OPERATOR_TEXT`] are left out.
pub fn operator_event(text: &[u8], into: &mut [u8]) -> usize {
    let text = text.get(..OPERATOR_TEXT).unwrap_or(text);
    let length = OPERATOR_HEADER + text.len();
    let Some(event) = into.get_mut(..length) else {
        return 0;
    };
    let size = |header: usize| (length - header) as u16;
    let mut header = [0; OPERATOR_HEADER];
    header[..2].copy_from_slice(&size(0).to_be_bytes());
    header[2] = OPERATOR;
    for (index, id) in [MDS_UNIT, CP_UNIT, TEXT_COMMAND].into_iter().enumerate() {
        let at = EVENT_HEADER + 4 * index;
        header[at..at + 2].copy_from_slice(&size(at).to_be_bytes());
        header[at + 2..at + 4].copy_from_slice(&id.to_be_bytes());
    }
    for (index, key) in [SELF_DEFINING, TEXT].into_iter().enumerate() {
        let at = EVENT_HEADER + 12 + 2 * index;
        header[at] = size(at) as u8;
        header[at + 1] = key;
    }
    let (front, back) = event.split_at_mut(OPERATOR_HEADER);
    front.copy_from_slice(&header);
    for (to, from) in back.iter_mut().zip(text) {
        *to = ebcdic(*from);
    }
    length
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{OPERATOR_TEXT, operator_event, operator_text};
    use crate::sclp::EVENT_HEADER;
    use std::vec::Vec;

    fn text_of(data: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        operator_text(data, |character| text.push(character));
        text
    }

    #[test]
    fn a_command_keeps_its_bytes_and_comes_back() {
        let mut event = [0; 64];
        let length = operator_event(b"Hi", &mut event);
        let expected =
            b"\0\x18\x01\0\0\0\0\x12\x13\x10\0\x0e\x12\x12\0\x0a\x13\x20\x06\x31\x04\x30\xc8\x89";
        assert_eq!(event[..length], *expected);
        assert_eq!(text_of(&event[EVENT_HEADER..length]), b"Hi");
        assert_eq!(operator_event(b"Hi", &mut event[..length - 1]), 0);
    }

    #[test]
    fn the_longest_command_fits_and_a_longer_one_is_cut() {
        let mut event = [0; 512];
        let length = operator_event(&[b'x'; 300], &mut event);
        assert_eq!(text_of(&event[EVENT_HEADER..length]), [b'x'; OPERATOR_TEXT]);
    }

    #[test]
    fn vectors_that_do_not_fit_are_no_text() {
        let mut event = [0; 64];
        let length = operator_event(b"Hi", &mut event);
        for at in EVENT_HEADER..length {
            for value in [0, 1, 0xff] {
                let mut bad = event;
                bad[at] = value;
                assert!(text_of(&bad[EVENT_HEADER..length]).len() <= 2);
            }
        }
    }

    #[test]
    fn qemu_puts_the_command_behind_its_units() {
        let data = b"\0\x10\x13\x10\0\x0c\x12\x12\0\x08\x13\x20\0\x31\0\x30\xc8\x89";
        assert_eq!(text_of(data), b"Hi");
        assert_eq!(text_of(&data[..16]), b"");
    }
}
