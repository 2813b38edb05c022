//! Log frames among the text of a serial line.
//!
//! ```text
//!  text ESC _ sk TAG ; BASE64 ESC \ text        a frame of the process with that tag
//!  text ESC _ ESC \ text                        the text had ESC _ itself
//! ```
//! `ESC _` and `ESC \` are APC and ST (ECMA-48, 8.3.2 and 8.3.143): a terminal shows nothing of what
//! is between them, so people without tools read the text as it is. Who merges text and frames
//! closes every `ESC _` of the text at once ([`Guard`]): whatever the text is, it makes no frame.

/// The byte that all sequences begin with.
pub const ESCAPE: u8 = 0x1b;
/// What follows [`ESCAPE`] where a frame begins.
pub const OPEN: u8 = b'_';
/// What follows [`ESCAPE`] where a frame ends.
pub const CLOSE: u8 = b'\\';
/// What a frame begins with behind `ESC _`; other programs' sequences begin otherwise.
pub const MAGIC: &[u8; 2] = b"sk";
/// What is between tag and event.
pub const SEPARATOR: u8 = b';';
/// The most bytes of an event.
pub const MAX_EVENT: usize = 240;
/// The most bytes between `ESC _` and `ESC \`.
pub const MAX_BODY: usize = MAGIC.len() + 5 + 1 + MAX_EVENT.div_ceil(3) * 4;
/// The most bytes of a frame on the line.
pub const MAX_FRAME: usize = MAX_BODY + 4;
/// Tag of the first process; every other process's is its index in the manifest + 1.
pub const FIRST_PROCESS: u16 = u16::MAX;

/// The digits of base 64 (RFC 4648, 4); there is no padding.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Gives the bytes of a frame to `put`; an event longer than [`MAX_EVENT`] is cut.
pub fn write(tag: u16, event: &[u8], mut put: impl FnMut(u8)) {
    let mut put_all = |bytes: &[u8]| bytes.iter().for_each(|byte| put(*byte));
    put_all(&[ESCAPE, OPEN]);
    put_all(MAGIC);
    let mut is_leading = true;
    for power in [10_000, 1000, 100, 10, 1] {
        let digit = (tag / power % 10) as u8;
        is_leading &= digit == 0 && power != 1;
        if !is_leading {
            put_all(&[b'0' + digit]);
        }
    }
    put_all(&[SEPARATOR]);
    for group in event[..event.len().min(MAX_EVENT)].chunks(3) {
        let digits = digits(group);
        put_all(&digits[..group.len() + 1]);
    }
    put_all(&[ESCAPE, CLOSE]);
}

/// Returns the digits of up to three bytes; as many count as there are bytes, and one more.
fn digits(group: &[u8]) -> [u8; 4] {
    let mut bits = 0_u32;
    for place in 0..3 {
        bits = bits << 8 | u32::from(group.get(place).copied().unwrap_or(0));
    }
    [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize])
}

/// Returns the value of a digit, or `None` where the byte is none.
#[must_use]
pub fn digit(byte: u8) -> Option<u8> {
    let place = DIGITS.iter().position(|digit| *digit == byte)?;
    u8::try_from(place).ok()
}

/// Watches text on its way to the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    after_escape: bool,
}

impl Guard {
    /// Takes the next byte that goes to the line; returns whether `ESC \` has to follow it at once.
    #[must_use]
    pub const fn take(&mut self, byte: u8) -> bool {
        let opens = self.after_escape && byte == OPEN;
        self.after_escape = byte == ESCAPE;
        opens
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn written(tag: u16, event: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(tag, event, |byte| bytes.push(byte));
        bytes
    }

    #[test]
    fn a_frame_keeps_its_bytes() {
        assert_eq!(written(3, &[0x17, 0, 0xfe, 0xff]), b"\x1b_sk3;FwD+/w\x1b\\");
        assert_eq!(written(0, &[]), b"\x1b_sk0;\x1b\\");
        assert_eq!(written(1020, &[0xff; 3]), b"\x1b_sk1020;////\x1b\\");
        assert_eq!(written(FIRST_PROCESS, &[1, 2]), b"\x1b_sk65535;AQI\x1b\\");
    }

    #[test]
    fn the_longest_frame_is_as_long_as_it_says() {
        assert_eq!(written(u16::MAX, &[7; MAX_EVENT]).len(), MAX_FRAME);
        assert_eq!(written(u16::MAX, &[7; 2 * MAX_EVENT]).len(), MAX_FRAME);
    }

    #[test]
    fn only_an_introducer_in_text_is_closed() {
        let mut guard = Guard::default();
        let closed = |text: &[u8], guard: &mut Guard| -> Vec<usize> {
            let opens = text.iter().map(|byte| guard.take(*byte));
            let places = opens.enumerate().filter(|(_, opens)| *opens);
            places.map(|(place, _)| place).collect()
        };
        assert_eq!(
            closed(b"a_\x1b[1m_\x1b_x\x1b\x1b__\x1b", &mut guard),
            [8, 12]
        );
        assert_eq!(closed(b"_", &mut guard), [0], "the state is kept");
    }
}
