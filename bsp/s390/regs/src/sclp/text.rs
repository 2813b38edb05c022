//! Events with text: as bytes of ASCII, or as a line in EBCDIC.

use super::{ASCII, EVENT_HEADER, LINE};

/// Bytes in front of the text of a line: header, message descriptor block, text object.
pub const LINE_HEADER: usize = EVENT_HEADER + 12 + 10;

/// Writes parts one behind the other; returns how many bytes there are, or 0 where they do not fit.
fn assemble(parts: &[&[u8]], into: &mut [u8]) -> usize {
    let length = parts.iter().map(|part| part.len()).sum();
    if length > into.len() {
        return 0;
    }
    let bytes = parts.iter().flat_map(|part| part.iter());
    into.iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    length
}

/// Returns the length of something with `text` behind `header` bytes.
fn length(header: usize, text: &[u8]) -> [u8; 2] {
    u16::try_from(header + text.len())
        .unwrap_or(0)
        .to_be_bytes()
}

/// Writes the event that shows a line of text on an ASCII console; returns its length, 0 where it
/// does not fit.
pub fn ascii_event(text: &[u8], into: &mut [u8]) -> usize {
    let size = length(EVENT_HEADER + 2, text);
    assemble(&[&size, &[ASCII, 0, 0, 0], text, b"\r\n"], into)
}

/// Writes the event that sends bytes to an ASCII console; returns its length, 0 where it does not
/// fit.
pub fn bytes_event(bytes: &[u8], into: &mut [u8]) -> usize {
    assemble(
        &[&length(EVENT_HEADER, bytes), &[ASCII, 0, 0, 0], bytes],
        into,
    )
}

/// Writes the event that shows a line of text on a line-mode console; returns its length, 0 where it
/// does not fit.
pub fn line_event(text: &[u8], into: &mut [u8]) -> usize {
    let event = length(LINE_HEADER, text);
    let block = length(LINE_HEADER - EVENT_HEADER, text);
    let object = length(10, text);
    let length = assemble(
        &[
            &event,
            &[LINE, 0, 0, 0],
            // Type 1, "MDB " in EBCDIC, revision 1.
            &block,
            &[0, 1, 0xd4, 0xc4, 0xc2, 0x40, 0, 0, 0, 1],
            // A text object (type 4) that ends its line, without attributes.
            &object,
            &[0, 4, 0x10, 0, 0, 0, 0, 0],
            text,
        ],
        into,
    );
    let shown = into.get_mut(LINE_HEADER..length).unwrap_or_default();
    shown.iter_mut().for_each(|byte| *byte = ebcdic(*byte));
    length
}

/// Code page 1047 of the printable ASCII characters.
const EBCDIC: &[u8; 95] = b"\x40\x5a\x7f\x7b\x5b\x6c\x50\x7d\x4d\x5d\x5c\x4e\x6b\x60\x4b\x61\
    \xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\x7a\x5e\x4c\x7e\x6e\x6f\
    \x7c\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xd1\xd2\xd3\xd4\xd5\xd6\
    \xd7\xd8\xd9\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xad\xe0\xbd\x5f\x6d\
    \x79\x81\x82\x83\x84\x85\x86\x87\x88\x89\x91\x92\x93\x94\x95\x96\
    \x97\x98\x99\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xc0\x4f\xd0\xa1";

/// Returns an ASCII character in EBCDIC; what cannot be printed is a space.
#[must_use]
pub fn ebcdic(character: u8) -> u8 {
    let index = usize::from(character).wrapping_sub(0x20);
    EBCDIC.get(index).copied().unwrap_or(0x40)
}

/// Returns an EBCDIC character in ASCII; what has no place there is a space.
#[must_use]
pub fn ascii(character: u8) -> u8 {
    let place = EBCDIC.iter().position(|known| *known == character);
    place.map_or(b' ', |place| 0x20 + place as u8)
}

#[cfg(test)]
mod tests {
    use super::{ascii, ascii_event, bytes_event, ebcdic, line_event};

    #[test]
    fn an_ascii_event_has_its_text() {
        let mut event = [0; 16];
        let length = ascii_event(b"ab", &mut event);
        assert_eq!(event[..length], *b"\0\x0a\x1a\0\0\0ab\r\n");
        assert_eq!(ascii_event(&[0; 9], &mut event), 0);
        assert_eq!(bytes_event(b"a\n", &mut event), 8);
        assert_eq!(event[..8], *b"\0\x08\x1a\0\0\0a\n");
    }

    #[test]
    fn a_line_event_has_objects_inside_each_other() {
        let mut event = [0; 32];
        let length = line_event(b"Hi", &mut event);
        let expected = b"\0\x1e\x02\0\0\0\0\x18\0\x01\xd4\xc4\xc2\x40\0\0\0\x01\
            \0\x0c\0\x04\x10\0\0\0\0\0\xc8\x89";
        assert_eq!(event[..length], *expected);
    }

    #[test]
    fn letters_and_digits_have_their_codes() {
        assert_eq!(
            b"AZaz09 ~\n\x80".map(ebcdic),
            *b"\xc1\xe9\x81\xa9\xf0\xf9\x40\xa1\x40\x40"
        );
    }

    #[test]
    fn printable_characters_come_back() {
        assert!((0x20..0x7f).all(|character| ascii(ebcdic(character)) == character));
        assert_eq!([0x00, 0x15, 0xff].map(ascii), [b' '; 3]);
    }
}
