//! Watches the output for a line `EXIT: STATUS=n`, by which test kernels end.

/// The number of an exit line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(pub i64);

impl ExitStatus {
    /// Returns the test's own status: kvm-unit-tests print `(code << 1) | 1`.
    #[must_use]
    pub const fn code(self) -> i64 {
        self.0 >> 1
    }
}

/// What a line has to begin with.
const PREFIX: &[u8] = b"EXIT: STATUS=";
/// The most digits of the number.
const MAX_DIGITS: u8 = 18;

/// How much of the current line matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExitLine {
    /// The first so many bytes of the prefix were seen; 0 is the start of a line.
    Prefix(u8),
    /// The prefix was seen, and this much of the number.
    Number {
        /// The number so far, without its sign.
        value: i64,
        /// Whether there was a minus sign.
        negative: bool,
        /// Digits so far.
        digits: u8,
    },
    /// A carriage return ended the number; only the end of the line may follow.
    Ended(i64),
    /// The line is another one.
    #[default]
    Other,
}

impl ExitLine {
    /// The state at the start of a line.
    pub const START: Self = Self::Prefix(0);

    /// Returns the state behind `byte`, and the status where `byte` ended an exit line.
    #[must_use]
    pub fn step(self, byte: u8) -> (Self, Option<ExitStatus>) {
        if byte == b'\n' {
            return (Self::START, self.status());
        }
        let next = match (self, byte) {
            (Self::Prefix(0), b'\r') => Self::START,
            (Self::Prefix(seen), _) => Self::after_prefix(seen, byte),
            (
                Self::Number {
                    value: 0,
                    negative: false,
                    digits: 0,
                },
                b'-',
            ) => Self::Number {
                value: 0,
                negative: true,
                digits: 0,
            },
            (
                Self::Number {
                    value,
                    negative,
                    digits,
                },
                b'0'..=b'9',
            ) if digits < MAX_DIGITS => {
                let value = value * 10 + i64::from(byte - b'0');
                Self::Number {
                    value,
                    negative,
                    digits: digits + 1,
                }
            }
            (Self::Number { .. } | Self::Ended(_), b'\r') => self
                .status()
                .map_or(Self::Other, |status| Self::Ended(status.0)),
            (Self::Number { .. } | Self::Ended(_) | Self::Other, _) => Self::Other,
        };
        (next, None)
    }

    /// Returns the state when `byte` follows `seen` bytes of the prefix.
    fn after_prefix(seen: u8, byte: u8) -> Self {
        if PREFIX.get(usize::from(seen)) != Some(&byte) {
            return Self::Other;
        }
        if usize::from(seen) + 1 == PREFIX.len() {
            Self::Number {
                value: 0,
                negative: false,
                digits: 0,
            }
        } else {
            Self::Prefix(seen + 1)
        }
    }

    /// Returns the status if the line ended here.
    const fn status(self) -> Option<ExitStatus> {
        match self {
            Self::Number {
                value,
                negative,
                digits,
            } if digits > 0 => Some(ExitStatus(if negative { -value } else { value })),
            Self::Ended(value) => Some(ExitStatus(value)),
            Self::Number { .. } | Self::Prefix(_) | Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{format, vec::Vec};

    fn scan(text: &[u8]) -> Vec<i64> {
        let mut state = ExitLine::START;
        let mut found = Vec::new();
        for &byte in text {
            let (next, status) = state.step(byte);
            state = next;
            found.extend(status.map(|status| status.0));
        }
        found
    }

    #[test]
    fn only_a_complete_line_of_its_own_counts() {
        assert_eq!(scan(b"EXIT: STATUS=1\n"), [1]);
        assert_eq!(scan(b"hello\r\nEXIT: STATUS=3\r\n"), [3]);
        assert_eq!(scan(b"EXIT: STATUS=-1\n"), [-1]);
        assert_eq!(scan(b"EXIT: STATUS=1"), []);
        assert_eq!(scan(b"x EXIT: STATUS=1\n"), []);
        assert_eq!(scan(b"EXIT: STATUS=\n"), []);
        assert_eq!(scan(b"EXIT: STATUS=1 \n"), []);
        assert_eq!(scan(b"EXIT: STATUS=1\rx\n"), []);
        assert_eq!(scan(b"EXIT: STATUS=99999999999999999999\n"), []);
    }

    #[test]
    fn the_tests_own_status_is_half_the_number() {
        assert_eq!(ExitStatus(1).code(), 0);
        assert_eq!(ExitStatus(7).code(), 3);
    }

    proptest! {
        #[test]
        fn every_number_is_found_behind_any_lines(before in "[^E]{0,30}", number: i32) {
            let text = format!("{before}\nEXIT: STATUS={number}\r\nrest");
            prop_assert_eq!(scan(text.as_bytes()), [i64::from(number)]);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = scan(&bytes);
        }
    }
}
