//! A serial line with every frame in the place of its line.

use crate::{Piece, Programs, Splitter};
use api::line_mode;

/// Translates a serial line, however its bytes arrive.
#[derive(Debug)]
pub struct Translator {
    splitter: Splitter,
    programs: Programs,
    /// Whether the last byte that went out ended a line.
    at_start: bool,
    /// What decodes the bytes of a console of lines.
    lines: Option<line_mode::Decoder>,
}

impl Translator {
    /// Begins a line.
    #[must_use]
    pub fn new(programs: Programs) -> Self {
        Self {
            splitter: Splitter::default(),
            programs,
            at_start: true,
            lines: None,
        }
    }

    /// Says whether the bytes are those of a console of lines ([`api::line_mode`]).
    #[must_use]
    pub fn with_line_mode(self, line_mode: bool) -> Self {
        Self {
            lines: line_mode.then(line_mode::Decoder::default),
            ..self
        }
    }

    /// Takes bytes; returns what there is to show.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let pieces = match &mut self.lines {
            None => self.splitter.take(bytes),
            Some(decoder) => self.splitter.take(&decoded(decoder, bytes)),
        };
        self.show(pieces)
    }

    /// Ends the line; returns what is left to show.
    pub fn finish(&mut self) -> Vec<u8> {
        let pieces = self.splitter.finish();
        self.show(pieces)
    }

    /// Returns the bytes of these pieces.
    fn show(&mut self, pieces: Vec<Piece>) -> Vec<u8> {
        let mut shown = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => shown.extend(text),
                Piece::Frame { tag, event } => {
                    if !shown.last().map_or(self.at_start, |last| *last == b'\n') {
                        shown.extend(b"\r\n");
                    }
                    shown.extend(self.programs.line(tag, &event).into_bytes());
                    shown.extend(b"\r\n");
                }
            }
        }
        if let Some(last) = shown.last() {
            self.at_start = *last == b'\n';
        }
        shown
    }
}

/// Returns what bytes of a console of lines carry; its carriage returns mean nothing.
fn decoded(decoder: &mut line_mode::Decoder, bytes: &[u8]) -> Vec<u8> {
    let mut carried = Vec::new();
    for byte in bytes.iter().filter(|byte| **byte != b'\r') {
        decoder.take(*byte, |byte| carried.push(byte));
    }
    carried
}
