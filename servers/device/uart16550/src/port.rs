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

impl Outcome {
    /// Returns whether somebody is to hear of it.
    #[must_use]
    #[inline]
    pub const fn tells(&self) -> bool {
        self.bell || self.line_moved || self.exit.is_some()
    }
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

    /// Returns whether the console's ring has room for output.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.ring.output.room() > 0
    }

    /// Serves an access of the guest.
    #[inline(always)]
    pub fn access(&mut self, request: Request) -> Outcome {
        let response = self.uart.access(request);
        let effects = response.effects;
        let held = self.send();
        let mut outcome = Outcome {
            value: response.value,
            line_moved: effects.interrupt.is_some(),
            exit: effects.exit,
            full: held >= crate::device::DRAIN_AT,
            ..Outcome::default()
        };
        if effects.room {
            outcome.line_moved |= self.take_input();
        }
        let is_time = || effects.drain || outcome.full || self.ring.output.waiting() >= MUCH;
        let told = self.untold && is_time();
        outcome.bell = self.bell(told);
        outcome
    }

    /// The console rang, or the guest paused: moves what there is to move, and tells the console.
    pub fn refresh(&mut self) -> Outcome {
        let held = self.send();
        let line_moved = self.take_input();
        Outcome {
            line_moved,
            bell: self.bell(true),
            full: held >= crate::device::DRAIN_AT,
            ..Outcome::default()
        }
    }

    /// Resets the port; what the guest sent before, and what was typed, stays.
    pub fn reset(&mut self) -> Outcome {
        self.send();
        let effects = self.uart.reset();
        Outcome {
            line_moved: effects.interrupt.is_some(),
            bell: self.bell(true),
            ..Outcome::default()
        }
    }

    /// The guest's firmware writes, behind what the guest sent; returns how many bytes were taken.
    pub fn write(&mut self, bytes: &[u8]) -> (usize, Outcome) {
        let room = match self.send() {
            0 => self.ring.output.room(),
            _ => 0,
        };
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        let count = self.ring.output.push(taken);
        let taken = taken.get(..count).unwrap_or_default();
        self.untold |= count > 0;
        let told = taken.contains(&b'\n') || self.ring.output.waiting() >= MUCH;
        let full = count < bytes.len();
        let outcome = Outcome {
            exit: self.uart.watch(taken),
            bell: self.bell(told || full),
            full,
            ..Outcome::default()
        };
        (count, outcome)
    }

    /// The guest's firmware reads what was typed; returns how many bytes there were.
    pub fn read(&mut self, buffer: &mut [u8]) -> (usize, Outcome) {
        let (received, effects) = self.uart.take_received(buffer);
        let rest = buffer.get_mut(received..).unwrap_or_default();
        let count = received + self.ring.input.pop(rest);
        let outcome = Outcome {
            line_moved: effects.interrupt.is_some(),
            bell: self.bell(false),
            ..Outcome::default()
        };
        (count, outcome)
    }

    /// Moves output to the ring as far as that has room; returns how many bytes are left.
    #[inline]
    fn send(&mut self) -> usize {
        match self.uart.output_len() {
            0 => 0,
            held => self.move_output(held),
        }
    }

    /// Does what [`Self::send`] does, where so many bytes are held.
    #[inline(never)]
    fn move_output(&mut self, held: usize) -> usize {
        let most = self.ring.output.room().min(held);
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
        self.uart.output_len()
    }

    /// Hands input to the device as far as its receiver has room; returns whether the interrupt
    /// line moved.
    #[inline(never)]
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
    fn firmware_writes_behind_the_registers_and_reads_before_them() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        let mut port = Port::new(Ends::of_peer(&page).unwrap());
        store(&mut port, 0, u64::from(b'a'));
        let (count, outcome) = port.write(b"bc\n");
        assert_eq!((count, outcome.bell, outcome.full), (3, true, false));
        let mut buffer = [0; 8];
        assert_eq!(console.input.pop(&mut buffer), 4);
        assert_eq!(&buffer[..4], b"abc\n");
        console.output.push(b"typed");
        assert!(!port.refresh().line_moved, "one byte is in the receiver");
        let (count, _) = port.read(&mut buffer);
        assert_eq!(&buffer[..count], b"typed");
        assert_eq!(port.read(&mut buffer).0, 0);
    }

    #[test]
    fn firmware_output_ends_a_guest_by_its_exit_line_too() {
        let page = page();
        let mut port = Port::new(Ends::of_peer(&page).unwrap());
        assert_eq!(port.write(b"EXIT: STAT").1.exit, None);
        assert_eq!(port.write(b"US=3\n").1.exit, Some(ExitStatus(3)));
    }

    #[test]
    fn firmware_output_is_taken_as_far_as_there_is_room() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        let mut port = Port::new(Ends::of_peer(&page).unwrap());
        let (count, outcome) = port.write(&[b'x'; CAPACITY + 10]);
        assert_eq!((count, outcome.full, outcome.bell), (CAPACITY, true, true));
        assert_eq!(port.write(b"y").0, 0);
        console.input.pop(&mut [0; 4]);
        assert_eq!(port.write(b"y").0, 1);
    }

    #[test]
    fn a_reset_port_is_as_a_new_one_and_loses_no_output() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        let mut port = Port::new(Ends::of_peer(&page).unwrap());
        for (offset, value) in [(1, 1), (2, 1), (7, 0x5a), (4, 3), (0, u64::from(b'z'))] {
            store(&mut port, offset, value);
        }
        console.output.push(b"typed");
        assert!(port.refresh().line_moved && port.level());
        assert!(port.reset().line_moved, "its line falls");
        assert!(!port.level());
        let fresh = Uart::new();
        assert_eq!(port.uart.save(), fresh.save());
        let mut buffer = [0; 4];
        assert_eq!(console.input.pop(&mut buffer), 1);
        assert_eq!(&buffer[..1], b"z");
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
