//! Events: text to the guest's console, and what is typed there.

use super::{Block, Service};
use crate::Effects;
use s390_regs::sclp::{
    ASCII, BLOCK_HEADER, EVENT_HEADER, LINE, OPERATOR, OPERATOR_TEXT, ascii, bytes_event,
    event_mask, operator_event, response,
};

/// Events that the guest may send.
const TAKEN: u32 = event_mask(ASCII) | event_mask(LINE);
/// Events that the guest may receive.
const GIVEN: u32 = event_mask(ASCII) | event_mask(OPERATOR);
/// Flag of an event that was taken.
const ACCEPTED: u8 = 0x80;
/// Type of a text object in a message's block.
const TEXT_OBJECT: u16 = 4;
/// Bytes of a message's block in front of its objects.
const MESSAGE_HEADER: usize = 12;
/// Bytes of an object in front of its text.
const OBJECT_HEADER: usize = 10;

impl Service {
    /// Notes which events the guest receives and sends, and tells which there are.
    pub(super) fn write_mask(&mut self, block: &mut Block) -> u16 {
        let bytes = usize::from(block.half(BLOCK_HEADER + 2));
        if !(1..=32).contains(&bytes) {
            return response::INVALID_MASK_LENGTH;
        }
        let first = BLOCK_HEADER + 4;
        if block.length < first + 4 * bytes {
            return response::TOO_SHORT;
        }
        // A shorter mask has the first events only.
        let whole = u32::MAX << (32 - 8 * bytes.min(4));
        self.receives = block.word(first) & whole & GIVEN;
        self.sends = block.word(first + bytes) & whole & TAKEN;
        for (index, mask) in [(2, TAKEN), (3, GIVEN)] {
            let mut field = [0; 32];
            field[..4].copy_from_slice(&mask.to_be_bytes());
            block.put(first + index * bytes, &field[..bytes]);
        }
        response::DONE
    }

    /// Takes the events of a block; those in front of one that is not taken stay taken.
    pub(super) fn write_events<E: Effects>(&self, block: &mut Block, effects: &mut E) -> u16 {
        let mut at = BLOCK_HEADER;
        if block.length == at {
            return response::INCONSISTENT_LENGTHS;
        }
        while at < block.length {
            let length = usize::from(block.half(at));
            if length < EVENT_HEADER || at + length > block.length {
                return response::INCONSISTENT_LENGTHS;
            }
            let event = block.bytes().get(at..at + length).unwrap_or_default();
            let kind = event.get(2).copied().unwrap_or(0);
            let data = event.get(EVENT_HEADER..).unwrap_or_default();
            if self.sends & event_mask(kind) == 0 {
                return response::INVALID_EVENT;
            }
            let is_done = match kind {
                ASCII => {
                    print(data, effects);
                    true
                }
                _ => print_message(data, effects),
            };
            if !is_done {
                return response::EVENT_SYNTAX;
            }
            block.put(at + 3, &[ACCEPTED]);
            at += length;
        }
        response::DONE
    }

    /// Gives what was typed, as far as it fits: bytes where the guest has a terminal, a command of the
    /// operator else.
    pub(super) fn read_events<E: Effects>(&self, block: &mut Block, effects: &mut E) -> u16 {
        const MOST: usize = 64;
        const _: () = assert!(MOST <= OPERATOR_TEXT);
        if self.receives == 0 || block.length < BLOCK_HEADER + 2 * EVENT_HEADER + 16 + MOST {
            return if self.receives == 0 {
                response::INVALID_SELECTION
            } else {
                response::EVENT_TOO_LONG
            };
        }
        let mut typed = [0; MOST + 1];
        let (first, keys) = typed.split_at_mut(1);
        first.fill(0);
        let count = effects.console_read(keys);
        if count == 0 {
            return response::NO_EVENT;
        }
        let mut event = [0; MOST + 64];
        let length = if self.receives & event_mask(ASCII) != 0 {
            bytes_event(typed.get(..=count).unwrap_or_default(), &mut event)
        } else {
            let line = typed.get(1..=count).unwrap_or_default();
            let end = line.iter().position(|key| matches!(key, b'\r' | b'\n'));
            operator_event(line.get(..end.unwrap_or(count)).unwrap_or(line), &mut event)
        };
        block.put(BLOCK_HEADER, event.get(..length).unwrap_or_default());
        let is_variable = block
            .bytes()
            .get(5)
            .is_some_and(|control| control & 0x80 != 0);
        if is_variable {
            block.put(0, &((BLOCK_HEADER + length) as u16).to_be_bytes());
        }
        response::DONE
    }
}

/// Writes to the guest's console. What that does not take in time is lost, as on any line.
fn print<E: Effects>(text: &[u8], effects: &mut E) {
    let mut rest = text;
    while !rest.is_empty() {
        let count = effects.console_write(rest);
        if count == 0 {
            return;
        }
        rest = rest.get(count..).unwrap_or_default();
    }
}

/// Writes the lines of a message: block of length, type 1, "MDB " in EBCDIC; then objects. Returns
/// whether it was one.
fn print_message<E: Effects>(data: &[u8], effects: &mut E) -> bool {
    let half = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 2);
        bytes.map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let length = half(data, 0).map_or(0, usize::from);
    let Some(mut objects) = data.get(MESSAGE_HEADER..length) else {
        return false;
    };
    while !objects.is_empty() {
        let length = half(objects, 0).map_or(0, usize::from);
        let Some((object, behind)) = objects.split_at_checked(length.max(4)) else {
            return false;
        };
        if half(object, 2) == Some(TEXT_OBJECT) {
            let Some(text) = object.get(OBJECT_HEADER..) else {
                return false;
            };
            for piece in text.chunks(64) {
                let mut line = [0; 64];
                for (to, from) in line.iter_mut().zip(piece) {
                    *to = ascii(*from);
                }
                print(line.get(..piece.len()).unwrap_or_default(), effects);
            }
            print(b"\r\n", effects);
        }
        objects = behind;
    }
    true
}
