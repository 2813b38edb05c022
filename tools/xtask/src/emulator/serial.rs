//! The serial line as lines of text, and the lines that mean something to xtask.
//!
//! These forms are a contract with kernel and servers; a prefix before them is allowed, as the
//! console puts one before lines of guests that are not in the foreground:
//!
//! ```text
//! skerry: panic …                          the kernel stopped the machine
//! skerry: cannot start: …                  it did not begin
//! skerry: guest NAME ended: status N       N = 0 for a clean power-off
//! skerry: system ended: status N           of a system without guests, where it has one
//! conformance: N passed, N failed, N skipped    likewise: status 1 if a case failed
//! skerry: quit                             the user typed Ctrl-] q
//! EXIT: STATUS=n                           a guest's own report; its status is n >> 1
//! ```
//!
//! The emulator's exit status cannot take their place: OpenSBI on QEMU's `virt` powers off with
//! the same status whatever reason a shutdown is given.

use crate::tally::Tally;

/// A line that means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The kernel, or a process that everything depends on, panicked.
    Panic(String),
    /// A guest ended.
    GuestEnded {
        /// Its name in the manifest.
        name: String,
        /// 0 for a clean power-off.
        status: u64,
    },
    /// The system ended by itself, not for a guest.
    SystemEnded(u64),
    /// The user wants to quit.
    Quit,
    /// A guest said by itself how it ended; its machine is over.
    GuestReported(u64),
}

/// Returns what `line` means, if it means something.
pub fn event(line: &str) -> Option<Event> {
    let stopped = ["skerry: panic", "skerry: cannot start"];
    if let Some(at) = stopped.iter().find_map(|start| line.find(start)) {
        return Some(Event::Panic(line[at..].trim_end().to_owned()));
    }
    if let Some((_, rest)) = line.split_once("skerry: guest ") {
        let (name, rest) = rest.split_once(" ended: status ")?;
        return Some(Event::GuestEnded {
            name: name.to_owned(),
            status: number(rest)?,
        });
    }
    if line.trim_end().ends_with("skerry: quit") {
        return Some(Event::Quit);
    }
    if let Some((_, rest)) = line.split_once("skerry: system ended: status ") {
        return number(rest).map(Event::SystemEnded);
    }
    if let Some(tally) = line.strip_prefix("conformance: ").and_then(Tally::parse) {
        return Some(Event::SystemEnded(u64::from(!tally.is_good())));
    }
    let (_, rest) = line.split_once("EXIT: STATUS=")?;
    // A negative report has no status; it is a failure, whichever.
    let status = if rest.starts_with("-") {
        1
    } else {
        number(rest)? >> 1
    };
    Some(Event::GuestReported(status))
}

/// Returns the decimal number that `text` begins with.
fn number(text: &str) -> Option<u64> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Longest line that is looked at; more is a line of its own.
const MAX_LINE: usize = 4096;

/// Cuts bytes into lines without terminal control.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes; returns the lines that are complete now.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' || self.partial.len() == MAX_LINE {
                lines.extend(self.rest());
            }
            if *byte != b'\n' {
                self.partial.push(*byte);
            }
        }
        lines
    }

    /// Returns the last line, which was not ended.
    pub fn rest(&mut self) -> Option<String> {
        let line = plain(&String::from_utf8_lossy(&std::mem::take(&mut self.partial)));
        (!line.is_empty()).then_some(line)
    }
}

/// Returns `text` without escape sequences (ECMA-48, 5.4) and control characters.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            skip_sequence(&mut characters);
        } else if !character.is_control() || character == '\t' {
            plain.push(character);
        }
    }
    plain
}

/// Skips what belongs to an escape sequence.
fn skip_sequence(characters: &mut std::str::Chars<'_>) {
    if characters.next() == Some('[') {
        let _ = characters.find(|character| ('\u{40}'..='\u{7e}').contains(character));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_recognised_with_and_without_prefix() {
        let ended = |name: &str, status| Event::GuestEnded {
            name: name.to_owned(),
            status,
        };
        for (line, expected) in [
            ("skerry: guest left ended: status 0", ended("left", 0)),
            (
                "[log] skerry: guest a-b ended: status 17 (SRST)",
                ended("a-b", 17),
            ),
            ("EXIT: STATUS=1", Event::GuestReported(0)),
            ("skerry: system ended: status 2", Event::SystemEnded(2)),
            (
                "conformance: 9 passed, 0 failed, 1 skipped",
                Event::SystemEnded(0),
            ),
            (
                "conformance: 9 passed, 1 failed, 0 skipped",
                Event::SystemEnded(1),
            ),
            ("[left] EXIT: STATUS=7", Event::GuestReported(3)),
            ("EXIT: STATUS=-1", Event::GuestReported(1)),
            (
                "skerry: cannot start: no memory",
                Event::Panic("skerry: cannot start: no memory".to_owned()),
            ),
            (
                "skerry: panic: hart 1",
                Event::Panic("skerry: panic: hart 1".to_owned()),
            ),
        ] {
            assert_eq!(event(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn other_lines_mean_nothing() {
        for line in [
            "",
            "skerry: guest left started",
            "skerry: guest left ended: status",
            "EXIT: STATUS=x",
            "Kernel panic - not syncing",
        ] {
            assert_eq!(event(line), None, "{line}");
        }
    }

    #[test]
    fn lines_are_cut_however_the_bytes_arrive() {
        let text = b"one\r\n\x1b[1;31mtwo\x1b[0m\r\n\nthree";
        for size in 1..text.len() {
            let mut cutter = Lines::default();
            let mut lines: Vec<_> = text
                .chunks(size)
                .flat_map(|part| cutter.take(part))
                .collect();
            lines.extend(cutter.rest());
            assert_eq!(lines, ["one", "two", "three"], "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut cutter = Lines::default();
        let lines = cutter.take(&vec![b'x'; 3 * MAX_LINE]);
        assert_eq!(
            lines.iter().map(String::len).collect::<Vec<_>>(),
            [MAX_LINE, MAX_LINE]
        );
    }
}
