//! What came of a law, and the sum.

use crate::console::line;
use crate::machine::{Machine, This};

/// Status of a guest in which a law is broken.
pub const BROKEN: u8 = 99;

/// How often something was tried that held each time, or why it did not.
pub type Verdict = Result<u64, Why>;

/// Why a law is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It cannot be tried here.
    Skipped(&'static str),
    /// It is broken.
    Broken {
        /// What is wrong.
        what: &'static str,
        /// The number that should be there.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
}

/// A law of what a machine does.
pub struct Law {
    /// Its name.
    pub name: &'static str,
    /// Tries it.
    pub check: fn() -> Verdict,
}

/// Returns that nothing is wrong where both numbers are equal.
pub fn equal(what: &'static str, expected: u64, found: u64) -> Verdict {
    hold(expected == found, what, expected, found)
}

/// Returns that nothing is wrong where `holds`; the numbers are for the report.
pub fn hold(holds: bool, what: &'static str, expected: u64, found: u64) -> Verdict {
    if holds {
        Ok(1)
    } else {
        Err(Why::Broken {
            what,
            expected,
            found,
        })
    }
}

/// The sum of all laws.
#[derive(Default)]
pub struct Sum {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Sum {
    /// Tries the laws of a group and prints a line for each.
    pub fn try_all(&mut self, group: &str, laws: &[Law]) {
        for law in laws {
            self.note(group, law.name, (law.check)());
        }
    }

    /// Counts and prints what came of one law.
    pub fn note(&mut self, group: &str, name: &str, verdict: Verdict) {
        match verdict {
            Ok(times) => {
                self.passed += 1;
                line!("first {group}.{name} ... ok ({times} times)");
            }
            Err(Why::Skipped(reason)) => {
                self.skipped += 1;
                line!("first {group}.{name} ... skipped: {reason}");
            }
            Err(Why::Broken {
                what,
                expected,
                found,
            }) => {
                self.failed += 1;
                line!(
                    "first {group}.{name} ... FAILED {what}: expected {expected:#x}, found {found:#x}"
                );
            }
        }
    }

    /// Prints the sum and powers off: with the status that the command line asks for
    /// (`status=N`), or 0, where every law is kept.
    pub fn close(self) -> ! {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        line!("first: {passed} passed, {failed} failed, {skipped} skipped");
        let status = word_of_command_line(b"status=");
        This::power_off(match failed {
            0 => status.unwrap_or(0),
            _ => BROKEN,
        })
    }
}

/// Returns the decimal number that stands on the command line behind a name.
pub fn word_of_command_line(name: &[u8]) -> Option<u8> {
    This::command_line()
        .split(|byte| byte.is_ascii_whitespace() || *byte == 0)
        .find_map(|word| number(word.strip_prefix(name)?))
}

/// Returns the decimal number that a word is.
fn number(word: &[u8]) -> Option<u8> {
    core::str::from_utf8(word).ok()?.parse().ok()
}
