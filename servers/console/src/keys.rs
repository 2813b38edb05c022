//! The keys: everything goes to the focused console but what follows `Ctrl-]`.

use crate::CONSOLES;

/// `Ctrl-]`.
pub const ESCAPE: u8 = 0x1d;

/// A console: 0 is the host log, 1 to 9 are guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsoleId(u8);

impl ConsoleId {
    /// The host log.
    pub const HOST: Self = Self(0);

    /// Returns the console with this number, or `None` from 10 on.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < CONSOLES {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A byte for the focused console.
    Byte(u8),
    /// Another console is to be focused.
    Focus(ConsoleId),
    /// The user wants to leave.
    Quit,
    /// The user wants to see counters.
    Metrics,
    /// The user wants to see the keys.
    Help,
}

/// Whether the last key was `Ctrl-]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// It was not.
    #[default]
    Plain,
    /// It was.
    Escaped,
}

impl Keys {
    /// Returns the state behind a key, and what it means. An unknown key behind `Ctrl-]` shows the
    /// help.
    #[must_use]
    pub const fn step(self, key: u8) -> (Self, Option<Input>) {
        match (self, key) {
            (Self::Plain, ESCAPE) => (Self::Escaped, None),
            (Self::Plain, _) | (Self::Escaped, ESCAPE) => (Self::Plain, Some(Input::Byte(key))),
            (Self::Escaped, b'0'..=b'9') => {
                (Self::Plain, Some(Input::Focus(ConsoleId(key - b'0'))))
            }
            (Self::Escaped, b'q') => (Self::Plain, Some(Input::Quit)),
            (Self::Escaped, b'm') => (Self::Plain, Some(Input::Metrics)),
            (Self::Escaped, _) => (Self::Plain, Some(Input::Help)),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{ConsoleId, ESCAPE, Input, Keys};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn typed(keys: &[u8]) -> Vec<Input> {
        let mut state = Keys::default();
        let mut inputs = Vec::new();
        for &key in keys {
            let (next, input) = state.step(key);
            state = next;
            inputs.extend(input);
        }
        inputs
    }

    #[test]
    fn keys_behind_the_escape_are_commands() {
        let focus = Input::Focus(ConsoleId::new(3).unwrap());
        assert_eq!(
            typed(b"a\x1d3b"),
            [Input::Byte(b'a'), focus, Input::Byte(b'b')]
        );
        assert_eq!(
            typed(b"\x1dq\x1dm\x1dh"),
            [Input::Quit, Input::Metrics, Input::Help]
        );
        assert_eq!(
            typed(b"\x1d\x1dq"),
            [Input::Byte(ESCAPE), Input::Byte(b'q')]
        );
        assert_eq!(typed(b"\x1d!"), [Input::Help]);
    }

    proptest! {
        #[test]
        fn every_byte_can_be_sent(bytes: Vec<u8>) {
            let keys: Vec<u8> = bytes
                .iter()
                .flat_map(|&byte| if byte == ESCAPE { [byte].repeat(2) } else { [byte].to_vec() })
                .collect();
            let sent: Vec<Input> = bytes.into_iter().map(Input::Byte).collect();
            prop_assert_eq!(typed(&keys), sent);
        }
    }
}
