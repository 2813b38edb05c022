//! The log's lines: each process's text is collected until its line ends, so that lines of two
//! processes never mix.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The most bytes of a line; a longer one becomes several.
pub const LINE_BYTES: usize = 512;

/// Lines that have begun, by the badge of their process.
#[derive(Clone, Debug, Default)]
pub struct LogLines {
    begun: BTreeMap<u64, Vec<u8>>,
}

impl LogLines {
    /// Returns the state in which no line has begun.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            begun: BTreeMap::new(),
        }
    }

    /// Takes text of a process and gives the lines that it ends to `show`, each with its line end
    /// for a terminal.
    pub fn take(&mut self, process: u64, text: &[u8], mut show: impl FnMut(&[u8])) {
        let line = self.begun.entry(process).or_default();
        for &byte in text {
            match byte {
                b'\r' => continue,
                b'\n' => {}
                _ => line.push(byte),
            }
            if byte == b'\n' || line.len() >= LINE_BYTES {
                end(line, &mut show);
            }
        }
    }

    /// Ends all lines that have begun.
    pub fn finish(&mut self, mut show: impl FnMut(&[u8])) {
        let begun = self.begun.values_mut().filter(|line| !line.is_empty());
        begun.for_each(|line| end(line, &mut show));
    }
}

/// Ends a line.
fn end(line: &mut Vec<u8>, show: &mut impl FnMut(&[u8])) {
    line.extend_from_slice(b"\r\n");
    show(line);
    line.clear();
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn lines_of_two_processes_do_not_mix() {
        let (mut lines, mut shown) = (LogLines::new(), Vec::new());
        for (process, text) in [(1, "one"), (2, "two\ntwo"), (1, " more\r\n"), (3, "last")] {
            lines.take(process, text.as_bytes(), |line| {
                shown.extend_from_slice(line)
            });
        }
        assert_eq!(shown, b"two\r\none more\r\n");
        shown.clear();
        lines.finish(|line| shown.extend_from_slice(line));
        assert_eq!(shown, b"two\r\nlast\r\n");
        lines.finish(|_| panic!("nothing is left"));
    }

    #[test]
    fn a_line_without_end_is_cut_and_not_kept() {
        let (mut lines, mut count) = (LogLines::new(), 0);
        lines.take(1, &[b'x'; 5 * LINE_BYTES], |line| {
            assert_eq!(line.len(), LINE_BYTES + 2);
            count += 1;
        });
        assert_eq!(count, 5);
    }
}
