//! The rings of the console: to the driver of the serial line, and to the guests' ports.
//!
//! ```text
//!  driver ═▶ Keys ─▶ typed, per guest ═▶ port          ═▶ a ring
//!  port   ═▶ Multiplexer ─▶ wire ═▶ driver
//! ```
//! Output is never lost here: what the multiplexer has no room for stays in its ring, and the guest
//! waits. Input is: who does not read for [`TYPED_BYTES`] keys loses the next ones, for a guest that
//! hangs must not keep the user from his other consoles.

use crate::{ConsoleId, HELP, Input, Keys, Multiplexer};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use api::ring::{CAPACITY, Ends};

/// Keys that wait for one guest beside those in its ring.
pub const TYPED_BYTES: usize = 8192;
/// Bytes that are moved at once.
const PIECE: usize = 64;

/// A guest's port.
#[derive(Debug)]
struct Guest<'a> {
    console: ConsoleId,
    ends: Ends<'a>,
    typed: VecDeque<u8>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Peers to be signalled: bit 0 the driver, bit *n* guest *n*.
    pub bells: u64,
    /// The user wants to leave.
    pub quit: bool,
    /// The user wants to see counters.
    pub metrics: bool,
    /// Bytes came, and there may be more.
    pub again: bool,
}

/// All rings of the console.
#[derive(Debug)]
pub struct Desk<'a> {
    driver: Ends<'a>,
    guests: Vec<Guest<'a>>,
    keys: Keys,
}

impl<'a> Desk<'a> {
    /// Returns the desk with the ring of the driver, and those of the guests in order; guests that
    /// the multiplexer has no console for are left out.
    #[must_use]
    pub fn new(driver: Ends<'a>, guests: Vec<Ends<'a>>) -> Self {
        let consoles = (1..).map_while(ConsoleId::new);
        let guests = guests
            .into_iter()
            .zip(consoles)
            .map(|(ends, console)| Guest {
                console,
                ends,
                typed: VecDeque::new(),
            });
        Self {
            driver,
            guests: guests.collect(),
            keys: Keys::default(),
        }
    }

    /// Takes what came from all sides.
    pub fn gather(&mut self, multiplexer: &mut Multiplexer) -> Outcome {
        let mut outcome = self.read_keys(multiplexer);
        for guest in &mut self.guests {
            let bell = 1 << guest.console.index();
            if guest.deliver_keys() {
                outcome.bells |= bell;
            }
            outcome.again |= guest.collect(multiplexer) >= CAPACITY;
            if guest.ends.input.take_notice() {
                outcome.bells |= bell;
            }
        }
        outcome
    }

    /// Moves bytes to the driver, as far as its ring has room; returns how many.
    pub fn show(&mut self, multiplexer: &mut Multiplexer) -> usize {
        let mut shown = 0;
        loop {
            let mut piece = [0; PIECE];
            let most = self.driver.output.room().min(PIECE);
            let count = multiplexer.take(piece.get_mut(..most).unwrap_or_default());
            if count == 0 {
                return shown;
            }
            shown += self
                .driver
                .output
                .push(piece.get(..count).unwrap_or_default());
        }
    }

    /// Returns whether output of a guest is still in its ring.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.guests
            .iter()
            .any(|guest| guest.ends.input.waiting() > 0)
    }

    /// Returns whether the driver has taken all that it was given.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.driver.output.waiting() == 0
    }

    /// Handles the keys that came, at most a ring of them.
    fn read_keys(&mut self, multiplexer: &mut Multiplexer) -> Outcome {
        let mut outcome = Outcome::default();
        let mut piece = [0; CAPACITY];
        let count = self.driver.input.pop(&mut piece);
        for &key in piece.iter().take(count) {
            let (keys, input) = self.keys.step(key);
            self.keys = keys;
            if let Some(input) = input {
                self.perform(input, multiplexer, &mut outcome);
            }
        }
        outcome.bells = u64::from(self.driver.input.take_notice());
        outcome
    }

    /// Does what a key means.
    fn perform(&mut self, input: Input, multiplexer: &mut Multiplexer, outcome: &mut Outcome) {
        match input {
            Input::Byte(byte) => {
                let focus = multiplexer.focus();
                let focused = self.guests.iter_mut().find(|guest| guest.console == focus);
                if let Some(guest) = focused.filter(|guest| guest.typed.len() < TYPED_BYTES) {
                    guest.typed.push_back(byte);
                }
            }
            Input::Focus(console) => {
                if console.index() <= self.guests.len() {
                    multiplexer.set_focus(console);
                }
            }
            Input::Quit => outcome.quit = true,
            Input::Metrics => outcome.metrics = true,
            Input::Help => multiplexer.write(ConsoleId::HOST, HELP.as_bytes()),
        }
    }
}

impl Guest<'_> {
    /// Hands over what was typed, as far as there is room; returns whether that was anything.
    fn deliver_keys(&mut self) -> bool {
        let mut delivered = false;
        while let Some(byte) = self.typed.front() {
            if self.ends.output.push(&[*byte]) == 0 {
                break;
            }
            delivered = true;
            self.typed.pop_front();
        }
        delivered
    }

    /// Takes output as far as the multiplexer has room, at most a ring of it; returns how much.
    fn collect(&mut self, multiplexer: &mut Multiplexer) -> usize {
        let mut taken = 0;
        while taken < CAPACITY {
            let room = if multiplexer.is_stuck(self.console) {
                PIECE
            } else {
                multiplexer.room(self.console)
            };
            let mut piece = [0; PIECE];
            let most = room.min(PIECE);
            let count = self
                .ends
                .input
                .pop(piece.get_mut(..most).unwrap_or_default());
            if count == 0 {
                break;
            }
            multiplexer.write(self.console, piece.get(..count).unwrap_or_default());
            taken += count;
        }
        taken
    }
}
