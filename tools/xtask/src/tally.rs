//! How many cases came to what.

use std::fmt;
use std::ops::{Add, AddAssign};

/// Counts of cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that passed.
    pub passed: u64,
    /// Cases that failed.
    pub failed: u64,
    /// Cases that were not run.
    pub skipped: u64,
}

impl Tally {
    /// Returns the counts in a text like `3 passed, 0 failed, 1 skipped`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut tally = Self::default();
        let mut parts = text.trim().split(", ");
        tally.passed = number(parts.next()?, "passed")?;
        tally.failed = number(parts.next()?, "failed")?;
        tally.skipped = number(parts.next()?, "skipped")?;
        parts.next().is_none().then_some(tally)
    }

    /// Tells whether something ran and nothing failed.
    pub const fn is_good(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

/// Returns the number in `NUMBER WORD`.
fn number(text: &str, word: &str) -> Option<u64> {
    text.strip_suffix(word)?.trim_end().parse().ok()
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(
            formatter,
            "{passed} passed, {failed} failed, {skipped} skipped"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_nothing_else() {
        let tally = Tally {
            passed: 3,
            failed: 0,
            skipped: 1,
        };
        assert_eq!(Tally::parse("3 passed, 0 failed, 1 skipped"), Some(tally));
        for text in [
            "",
            "3 passed",
            "3 passed, 0 failed",
            "x passed, 0 failed, 1 skipped",
        ] {
            assert_eq!(Tally::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_run_is_not_good() {
        assert!(!Tally::default().is_good());
        assert!(
            !Tally {
                passed: 0,
                failed: 0,
                skipped: 9
            }
            .is_good()
        );
        assert!(
            !Tally {
                passed: 9,
                failed: 1,
                skipped: 0
            }
            .is_good()
        );
        assert!(
            Tally {
                passed: 1,
                failed: 0,
                skipped: 1
            }
            .is_good()
        );
    }

    #[test]
    fn counts_are_printed_as_they_are_read() {
        let tally = Tally {
            passed: 2,
            failed: 1,
            skipped: 0,
        };
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 0 skipped");
        assert_eq!(Tally::parse(&tally.to_string()), Some(tally));
    }
}
