//! Bytes on a console that shows lines in some EBCDIC code page and nothing else, as the service
//! processor of s390x has it (SCLP, "line mode").
//!
//! What the line cannot carry is written as `%` and two hexadecimal digits: control characters,
//! whatever is not ASCII, `%` itself, and the characters that have no fixed place in EBCDIC. A line
//! that ends with `%` goes on in the next one. So every byte arrives: log frames ([`crate::frame`])
//! are on the line as they are on any other, only longer.
//!
//! A carriage return before the end of a line is the line's end; it is the one thing that is lost.

/// The most characters of one line, the mark of a line that goes on included.
pub const LINE_CHARACTERS: usize = 240;
/// Begins a byte that the line cannot carry; at the end of a line: the line goes on.
pub const MARK: u8 = b'%';

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Returns whether a byte can be on the line as it is: printable, and with one code in all of
/// EBCDIC's code pages for Latin text that emulators and consoles have (037, 500, 1047).
#[must_use]
pub const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && !matches!(byte, MARK | b'!' | b'[' | b']' | b'^' | b'|')
}

/// What [`encode`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Bytes of the text that are on the line.
    pub taken: usize,
    /// Characters of the line.
    pub length: usize,
}

/// Writes the next line of `text` to `line`; `None` where the text may go on in that line. Where
/// nothing follows for now (`is_all`), what there is becomes a line that goes on.
pub fn encode(text: &[u8], is_all: bool, line: &mut [u8; LINE_CHARACTERS]) -> Option<Encoded> {
    let mut length = 0;
    let mut taken = 0;
    while let Some((&byte, rest)) = text.get(taken..).and_then(<[u8]>::split_first) {
        if byte == b'\n' || (byte == b'\r' && rest.first() == Some(&b'\n')) {
            taken += if byte == b'\n' { 1 } else { 2 };
            return Some(Encoded { taken, length });
        }
        if byte == b'\r' && rest.is_empty() && !is_all {
            return None;
        }
        let (code, size) = code_of(byte);
        if length + size >= LINE_CHARACTERS {
            return Some(go_on(taken, length, line));
        }
        line.get_mut(length..length + size)?
            .copy_from_slice(code.get(..size)?);
        length += size;
        taken += 1;
    }
    (is_all && taken > 0).then(|| go_on(taken, length, line))
}

/// Ends a line that goes on.
fn go_on(taken: usize, length: usize, line: &mut [u8; LINE_CHARACTERS]) -> Encoded {
    if let Some(place) = line.get_mut(length) {
        *place = MARK;
    }
    let length = length + 1;
    Encoded { taken, length }
}

/// Returns how a byte is written, and in how many characters.
fn code_of(byte: u8) -> ([u8; 3], usize) {
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or(b'0');
    if is_plain(byte) {
        ([byte, 0, 0], 1)
    } else {
        ([MARK, digit(byte >> 4), digit(byte)], 3)
    }
}

/// Gives the bytes of one line to `put`, its end included unless it goes on.
pub fn decode(line: &[u8], mut put: impl FnMut(u8)) {
    let mut decoder = Decoder::default();
    for byte in line.iter().chain(b"\n") {
        decoder.take(*byte, &mut put);
    }
}

/// Decodes lines as they come. What [`encode`] does not write stands for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    /// What may be a byte's code or the mark of a line that goes on: `%`, or `%` and a digit.
    held: Option<Option<u8>>,
}

impl Decoder {
    /// Takes the next byte; gives what is known now to `put`.
    pub fn take(&mut self, byte: u8, mut put: impl FnMut(u8)) {
        match (self.held.take(), value_of(byte)) {
            (None, _) if byte == MARK => self.held = Some(None),
            (None, _) => put(byte),
            (Some(None), Some(_)) => self.held = Some(Some(byte)),
            (Some(None), None) if byte == b'\n' => {}
            (Some(Some(high)), Some(low)) => put(value_of(high).unwrap_or(0) << 4 | low),
            (Some(held), _) => {
                put(MARK);
                held.into_iter().for_each(&mut put);
                self.take(byte, put);
            }
        }
    }
}

/// Returns the value of a digit.
fn value_of(digit: u8) -> Option<u8> {
    let place = DIGITS.iter().position(|known| *known == digit)?;
    u8::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    /// Returns the lines of a text of which nothing follows.
    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let (mut rest, mut lines) = (text, Vec::new());
        while !rest.is_empty() {
            let mut line = [0; LINE_CHARACTERS];
            let made = encode(rest, true, &mut line).unwrap();
            lines.push(line[..made.length].to_vec());
            rest = &rest[made.taken..];
        }
        lines
    }

    fn decoded(lines: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        lines
            .iter()
            .for_each(|line| decode(line, |byte| bytes.push(byte)));
        bytes
    }

    #[test]
    fn a_line_keeps_its_characters() {
        let text: Vec<String> = lines(b"50% of [a]\r\n\x1b_sk3;Fw+/\x1b\\next\n")
            .into_iter()
            .map(|line| String::from_utf8(line).unwrap())
            .collect();
        assert_eq!(text, ["50%25 of %5Ba%5D", "%1B_sk3;Fw+/%1B\\next"]);
    }

    #[test]
    fn what_may_go_on_waits_until_nothing_follows() {
        let mut line = [0; LINE_CHARACTERS];
        assert_eq!(encode(b"login: ", false, &mut line), None);
        assert_eq!(encode(b"login:\r", false, &mut line), None);
        let made = encode(b"login: ", true, &mut line).unwrap();
        assert_eq!(&line[..made.length], b"login: %");
        assert_eq!(encode(b"", true, &mut line), None);
    }

    #[test]
    fn what_nobody_encoded_stands_for_itself() {
        let line = b"100% of %2g, %5b".to_vec();
        assert_eq!(
            decoded(core::slice::from_ref(&line)),
            [&line[..], b"\n"].concat()
        );
    }

    proptest! {
        #[test]
        fn every_byte_arrives(text: Vec<u8>) {
            let text: Vec<u8> = text.into_iter().filter(|byte| *byte != b'\r').collect();
            let lines = lines(&text);
            let fits = lines.iter().all(|line| line.len() <= LINE_CHARACTERS);
            prop_assert!(fits && lines.iter().flatten().all(|byte| is_plain(*byte) || *byte == MARK));
            prop_assert_eq!(decoded(&lines), text);
        }

        #[test]
        fn the_same_arrives_however_it_is_cut(text: Vec<u8>, cut: usize) {
            let cut = cut % (text.len() + 1);
            let normal = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n");
            let two = [lines(&text[..cut]), lines(&text[cut..])].concat();
            prop_assert_eq!(normal(&decoded(&two)), normal(&text));
        }
    }
}
