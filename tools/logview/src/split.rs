//! Text and frames of a serial line, told apart.

use std::mem;

use api::frame::{CLOSE, ESCAPE, MAGIC, MAX_BODY, OPEN, SEPARATOR, digit};

/// What the line is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it was written.
    Text(Vec<u8>),
    /// An event, as defmt encodes it.
    Frame {
        /// Whose it is.
        tag: u16,
        /// The event.
        event: Vec<u8>,
    },
}

/// Where in a sequence the splitter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Outside.
    #[default]
    Text,
    /// Behind `ESC`.
    Escape,
    /// Behind `ESC _`.
    Body,
    /// Behind an `ESC` in the body.
    BodyEscape,
}

/// Cuts bytes into text and frames, however they arrive. What begins like a frame and is none, as
/// where something else wrote into it, is text.
#[derive(Debug, Default)]
pub struct Splitter {
    state: State,
    /// The sequence that has begun, from its `ESC` on.
    held: Vec<u8>,
    /// Text that no piece has yet.
    text: Vec<u8>,
    pieces: Vec<Piece>,
}

impl Splitter {
    /// Takes bytes; returns what they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Piece> {
        bytes.iter().for_each(|byte| self.step(*byte));
        self.end_text();
        mem::take(&mut self.pieces)
    }

    /// Ends the line: a sequence that has only begun is text.
    pub fn finish(&mut self) -> Vec<Piece> {
        self.release();
        self.end_text();
        mem::take(&mut self.pieces)
    }

    /// Takes one byte.
    fn step(&mut self, byte: u8) {
        match (self.state, byte) {
            (State::Escape, OPEN) => self.hold(byte, State::Body),
            (State::Body, ESCAPE) => self.hold(byte, State::BodyEscape),
            (State::BodyEscape, CLOSE) => self.close(),
            (State::Body, _) if is_body(byte) && self.held.len() < MAX_BODY + 2 => {
                self.hold(byte, State::Body);
            }
            (State::Text, ESCAPE) => self.hold(byte, State::Escape),
            (State::Text, _) => self.text.push(byte),
            (State::BodyEscape, _) => {
                // The escape may begin a sequence of its own.
                self.held.pop();
                self.release();
                self.hold(ESCAPE, State::Escape);
                self.step(byte);
            }
            (State::Escape | State::Body, _) => {
                self.release();
                self.step(byte);
            }
        }
    }

    /// Keeps a byte of a sequence.
    fn hold(&mut self, byte: u8, state: State) {
        self.held.push(byte);
        self.state = state;
    }

    /// What was held is text.
    fn release(&mut self) {
        self.text.append(&mut self.held);
        self.state = State::Text;
    }

    /// Ends a sequence: a frame, an `ESC _` of the text, or somebody else's.
    fn close(&mut self) {
        let body = self.held.get(2..self.held.len() - 1).unwrap_or_default();
        if body.is_empty() {
            self.held.truncate(2);
            return self.release();
        }
        match parse(body) {
            Some((tag, event)) => {
                self.held.clear();
                self.state = State::Text;
                self.end_text();
                self.pieces.push(Piece::Frame { tag, event });
            }
            None => {
                self.held.push(CLOSE);
                self.release();
            }
        }
    }

    /// Ends a piece of text.
    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.pieces.push(Piece::Text(mem::take(&mut self.text)));
        }
    }
}

/// Tells whether a byte can be in a frame.
fn is_body(byte: u8) -> bool {
    byte == SEPARATOR || digit(byte).is_some()
}

/// Returns tag and event of a frame's body.
fn parse(body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let body = body.strip_prefix(MAGIC)?;
    let end = body.iter().position(|byte| *byte == SEPARATOR)?;
    let (tag, event) = (body.get(..end)?, body.get(end + 1..)?);
    if !tag.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let tag = std::str::from_utf8(tag).ok()?.parse().ok()?;
    Some((tag, bytes_of(event)?))
}

/// Returns the bytes of base-64 digits, or `None` where something else is among them, or one digit
/// is left over.
fn bytes_of(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            let value = group.get(place).map_or(Some(0), |byte| digit(*byte))?;
            bits = bits << 6 | u32::from(value);
        }
        let [_, whole @ ..] = bits.to_be_bytes();
        let count = group.len().checked_sub(1).filter(|count| *count > 0)?;
        bytes.extend_from_slice(&whole[..count]);
    }
    Some(bytes)
}
