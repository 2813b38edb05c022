//! The device and the ring that it shares with the console.
//!
//! Output goes to the ring at once and the console hears of it when a line ends, when there is much
//! of it, or when the guest paused (a prompt): one signal for many bytes. Input stays in the ring
//! until the receiver has room, so nothing that was typed is lost.

use crate::device::{FIFO_BYTES, Uart};
use crate::exit_line::ExitStatus;
use crate::request::Request;
use api::ring::{CAPACITY, Ends};

/// From this many bytes in the ring on, the console hears of them.
const MUCH: usize = CAPACITY / 2;
/// Bytes that are moved at once.
const PIECE: usize = 64;

/// What one event came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The loaded value of an access.
    pub value: u64,
    /// The console is to be signalled now.
    pub bell: bool,
    /// The interrupt line may have moved: its level is to be reported.
    pub line_moved: bool,
    /// The guest printed an exit line.
    pub exit: Option<ExitStatus>,
    /// Neither ring nor device has room for more output: the guest is to wait.
    pub full: bool,
}

/// A serial port.
#[derive(Debug)]
pub struct Port<'a> {
    uart: Uart,
    ring: Ends<'a>,
    /// Bytes were put that the console was not told of.
    untold: bool,
}

impl<'a> Port<'a> {
    /// Returns a port after reset.
    #[must_use]
    pub const fn new(ring: Ends<'a>) -> Self {
        Self {
            uart: Uart::new(),
            ring,
            untold: false,
        }
    }

    /// Returns the level of the interrupt line.
    #[must_use]
    pub fn level(&self) -> bool {
        self.uart.interrupt()
    }

    /// Returns whether the console was not told of all output.
    #[must_use]
    pub const fn is_untold(&self) -> bool {
        self.untold
    }

    /// Serves an access of the guest.
    pub fn access(&mut self, request: Request) -> Outcome {
        let response = self.uart.access(request);
        let effects = response.effects;
        self.send();
        let mut outcome = Outcome {
            value: response.value,
            line_moved: effects.interrupt.is_some(),
            exit: effects.exit,
            full: self.uart.output_len() >= crate::device::DRAIN_AT,
            ..Outcome::default()
        };
        if effects.room {
            outcome.line_moved |= self.take_input();
        }
        let told = effects.drain || self.ring.output.waiting() >= MUCH || outcome.full;
        outcome.bell = self.bell(told);
        outcome
    }

    /// The console rang, or the guest paused: moves what there is to move, and tells the console.
    pub fn refresh(&mut self) -> Outcome {
        self.send();
        let line_moved = self.take_input();
        Outcome {
            line_moved,
            bell: self.bell(true),
            full: self.uart.output_len() >= crate::device::DRAIN_AT,
            ..Outcome::default()
        }
    }

    /// Moves output to the ring as far as that has room.
    fn send(&mut self) {
        let most = self.ring.output.room().min(self.uart.output_len());
        let mut left = most;
        while left > 0 {
            let mut piece = [0; PIECE];
            let place = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
            let count = self.uart.take_output(place);
            let count = self
                .ring
                .output
                .push(piece.get(..count).unwrap_or_default());
            left = if count == 0 { 0 } else { left - count };
        }
        self.untold |= most > 0;
    }

    /// Hands input to the device as far as its receiver has room; returns whether the interrupt
    /// line moved.
    fn take_input(&mut self) -> bool {
        let mut moved = false;
        loop {
            let mut piece = [0; FIFO_BYTES];
            let most = self.uart.room().min(FIFO_BYTES);
            let count = self
                .ring
                .input
                .pop(piece.get_mut(..most).unwrap_or_default());
            if count == 0 {
                return moved;
            }
            let (_, effects) = self.uart.receive(piece.get(..count).unwrap_or_default());
            moved |= effects.interrupt.is_some();
        }
    }

    /// Returns whether to signal the console, when it is to be told of output now if `told`.
    fn bell(&mut self, told: bool) -> bool {
        let output = told && core::mem::take(&mut self.untold);
        let notice = self.ring.input.take_notice();
        output || notice
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use api::ring::PAGE_WORDS;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    fn page() -> Vec<AtomicU64> {
        (0..PAGE_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn store(port: &mut Port<'_>, offset: u64, value: u64) -> Outcome {
        port.access(Request {
            offset,
            size: 1,
            store: Some(value),
        })
    }

    fn load(port: &mut Port<'_>, offset: u64) -> Outcome {
        port.access(Request {
            offset,
            size: 1,
            store: None,
        })
    }

    #[test]
    fn the_console_hears_of_a_line_and_of_a_prompt() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        let mut port = Port::new(Ends::of_peer(&page).unwrap());
        assert!(!store(&mut port, 0, u64::from(b'$')).bell);
        assert!(port.is_untold());
        assert!(port.refresh().bell);
        assert!(!port.refresh().bell);
        assert!(store(&mut port, 0, u64::from(b'\n')).bell);
        let mut buffer = [0; 4];
        assert_eq!(console.input.pop(&mut buffer), 2);
        assert_eq!(&buffer[..2], b"$\n");
    }

    #[test]
    fn typed_bytes_wait_until_the_guest_reads() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        let mut port = Port::new(Ends::of_peer(&page).unwrap());
        store(&mut port, 2, 1);
        store(&mut port, 1, 1);
        console
            .output
            .push(&(0..100).map(|n| n as u8).collect::<Vec<_>>());
        assert!(port.refresh().line_moved);
        assert!(port.level());
        assert_eq!(console.output.waiting(), 100 - FIFO_BYTES);
        for expected in 0..100 {
            assert_eq!(load(&mut port, 0).value, expected);
        }
        assert!(!port.level());
        assert_eq!(console.output.waiting(), 0);
    }

    #[test]
    fn a_guest_waits_before_output_is_lost() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        let mut port = Port::new(Ends::of_peer(&page).unwrap());
        let mut sent = 0;
        while !store(&mut port, 0, u64::from(b'x')).full {
            sent += 1;
        }
        assert!(sent >= CAPACITY);
        console.input.pop(&mut [0; CAPACITY]);
        assert!(!port.refresh().full);
        assert_eq!(port.uart.metrics().dropped, 0);
    }
}
