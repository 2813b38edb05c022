//! Bytes between the rings and the chip.

use crate::chip::{Chip, Register};
use crate::registers::{FifoControl, InterruptEnable, LineControl, LineStatus, ModemControl};
use api::ring::Ends;

/// Bytes of the transmitter's FIFO.
const FIFO_BYTES: usize = 16;
/// The most bytes that one turn moves in each direction; then others of this core may run.
const TURN_BYTES: usize = 64;

/// What one turn came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The console is to be signalled: bytes for it came, or room that it may wait for.
    pub bell: bool,
    /// Bytes to send are left: there has to be another turn when the chip takes more.
    pub unsent: bool,
    /// The chip can go on at once. Where its interrupt is an edge, none may come for this.
    pub more: bool,
}

/// The serial port.
#[derive(Debug)]
pub struct Port<'a, C> {
    chip: C,
    ring: Ends<'a>,
    enabled: InterruptEnable,
}

impl<'a, C: Chip> Port<'a, C> {
    /// Sets the chip up; the speed stays as the firmware left it.
    #[must_use]
    pub fn new(mut chip: C, ring: Ends<'a>) -> Self {
        let line = LineControl::new().with_word_length(3);
        chip.write(Register::LineControl, line.into_bits());
        let queues = FifoControl::new().with_enable(true);
        chip.write(Register::FifoControl, queues.into_bits());
        let modem = ModemControl::new()
            .with_data_terminal_ready(true)
            .with_request_to_send(true)
            .with_out2(true);
        chip.write(Register::ModemControl, modem.into_bits());
        let enabled = InterruptEnable::new();
        chip.write(Register::InterruptEnable, enabled.into_bits());
        Self {
            chip,
            ring,
            enabled,
        }
    }

    /// Returns the line's status.
    fn status(&mut self) -> LineStatus {
        LineStatus::from_bits(self.chip.read(Register::LineStatus))
    }

    /// Moves bytes in both directions, and lets the chip interrupt when it can go on.
    pub fn turn(&mut self) -> Progress {
        let received = self.receive();
        self.transmit();
        let unsent = self.ring.input.waiting() > 0;
        let has_room = self.ring.output.room() > 0;
        let enable = InterruptEnable::new()
            .with_received(has_room)
            .with_transmit_empty(unsent);
        if enable != self.enabled {
            self.enabled = enable;
            self.chip
                .write(Register::InterruptEnable, enable.into_bits());
        }
        let bell = self.ring.input.take_notice() || received;
        let status = self.status();
        let more = (status.data_ready() && has_room) || (status.transmit_empty() && unsent);
        Progress { bell, unsent, more }
    }

    /// Takes what the chip received, as far as there is room for it; returns whether that was
    /// anything.
    fn receive(&mut self) -> bool {
        let mut received = false;
        for _ in 0..TURN_BYTES.min(self.ring.output.room()) {
            if !self.status().data_ready() {
                break;
            }
            received |= self.ring.output.push(&[self.chip.read(Register::Data)]) == 1;
        }
        received
    }

    /// Gives the chip what it takes, a FIFO at a time.
    fn transmit(&mut self) {
        for _ in 0..TURN_BYTES / FIFO_BYTES {
            if !self.status().transmit_empty() {
                break;
            }
            let mut bytes = [0; FIFO_BYTES];
            let count = self.ring.input.pop(&mut bytes);
            for byte in bytes.iter().take(count) {
                self.chip.write(Register::Data, *byte);
            }
            if count < FIFO_BYTES {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::registers::Registers;
    use api::ring::PAGE_WORDS;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;
    use volatile::VolatileRef;

    fn page() -> Vec<AtomicU64> {
        (0..PAGE_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    /// Returns a chip in memory: its status never changes by itself.
    fn chip(status: LineStatus) -> Registers {
        Registers {
            data: b'k',
            line_status: status,
            ..Registers::default()
        }
    }

    #[test]
    fn a_chip_that_takes_nothing_is_asked_again_by_its_interrupt() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        console.output.push(b"hello");
        let mut registers = chip(LineStatus::new());
        let mut port = Port::new(
            VolatileRef::from_mut_ref(&mut registers),
            Ends::of_peer(&page).unwrap(),
        );
        let progress = port.turn();
        assert_eq!(
            progress,
            Progress {
                bell: false,
                unsent: true,
                more: false
            }
        );
        assert!(registers.interrupt_enable.transmit_empty());
        assert!(registers.interrupt_enable.received());
        assert_eq!(console.output.waiting(), 5);
    }

    #[test]
    fn a_turn_sends_a_bounded_number_of_bytes() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        console.output.push(&[b'x'; 100]);
        let mut registers = chip(LineStatus::new().with_transmit_empty(true));
        let mut port = Port::new(
            VolatileRef::from_mut_ref(&mut registers),
            Ends::of_peer(&page).unwrap(),
        );
        // No interrupt may come for what is left: the chip was ready all the time.
        let first = port.turn();
        assert!(first.unsent && first.more);
        assert_eq!(console.output.waiting(), 100 - TURN_BYTES);
        let second = port.turn();
        assert!(!second.unsent && !second.more);
        assert!(!registers.interrupt_enable.transmit_empty());
        assert_eq!(registers.data, b'x');
    }

    #[test]
    fn without_room_the_receiver_is_quiet() {
        let page = page();
        let mut console = Ends::of_console(&page).unwrap();
        let mut registers = chip(LineStatus::new().with_data_ready(true));
        let mut port = Port::new(
            VolatileRef::from_mut_ref(&mut registers),
            Ends::of_peer(&page).unwrap(),
        );
        for _ in 0..api::ring::CAPACITY / TURN_BYTES {
            assert!(port.turn().bell);
        }
        assert!(!port.turn().bell);
        assert!(!registers.interrupt_enable.received());
        assert_eq!(console.input.waiting(), api::ring::CAPACITY);
        console.input.pop(&mut [0; 1]);
    }
}
