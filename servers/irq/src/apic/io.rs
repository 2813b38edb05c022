//! The I/O APIC (82093AA): 24 pins, each with a redirection entry.
//!
//! An edge makes a request when its line rises and the pin is not masked. A level makes one while
//! the line is high, the pin is not masked, and no earlier one is in service.

use super::message::{Command, Destination, Message, Mode};

/// Pins.
pub const PINS: usize = 24;
/// Version of the chip; bits 23:16 are the highest pin.
const VERSION: u32 = 0x17_0011;
/// Bits of an entry's low half that the guest writes.
const WRITABLE: u32 = 0x1_afff;

/// One pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The low half of its entry.
    pub entry: Command,
    /// The destination.
    pub destination: u8,
    /// The level of its line: high is asserted, whatever the polarity.
    pub line: bool,
}

impl Pin {
    /// Returns the message of a request.
    fn message(self) -> Message {
        let destination = u32::from(self.destination);
        Message {
            vector: self.entry.vector(),
            mode: Mode::from_bits(self.entry.mode()),
            destination: if self.entry.logical() {
                Destination::Logical(destination)
            } else {
                Destination::Physical(destination)
            },
            level: self.entry.level(),
            to_one: false,
        }
    }
}

/// What a change of a line came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing is requested.
    None,
    /// This has to be delivered.
    Send(Message),
    /// A request that the chip does not take: the pin is masked, and an edge is forgotten.
    Lost,
}

/// The chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoApic {
    select: u8,
    identifier: u8,
    pins: [Pin; PINS],
}

impl Default for IoApic {
    fn default() -> Self {
        let pin = Pin {
            entry: Command::new().with_masked(true),
            destination: 0,
            line: false,
        };
        Self {
            select: 0,
            identifier: 0,
            pins: [pin; PINS],
        }
    }
}

impl IoApic {
    /// Brings it into the state after power-on, but for the lines.
    pub fn reset(&mut self) {
        let lines = self.pins.map(|pin| pin.line);
        *self = Self::default();
        for (pin, line) in self.pins.iter_mut().zip(lines) {
            pin.line = line;
        }
    }

    /// Moves a line; returns `None` where there is no such pin.
    pub fn set_line(&mut self, index: usize, level: bool) -> Option<Request> {
        let pin = self.pins.get_mut(index)?;
        let rose = level && !pin.line;
        pin.line = level;
        Some(match (pin.entry.level(), pin.entry.masked()) {
            (true, _) => Self::service(pin),
            (false, false) if rose => Request::Send(pin.message()),
            (false, true) if rose => Request::Lost,
            (false, _) => Request::None,
        })
    }

    /// Makes the request of a level that is due.
    fn service(pin: &mut Pin) -> Request {
        let is_due = pin.line && pin.entry.level() && !pin.entry.masked() && !pin.entry.remote();
        if !is_due {
            return Request::None;
        }
        pin.entry.set_remote(true);
        Request::Send(pin.message())
    }

    /// The service of a level with this vector ended. Returns the request of each pin that goes on.
    pub fn end(&mut self, vector: u8) -> impl Iterator<Item = Message> + '_ {
        self.pins.iter_mut().filter_map(move |pin| {
            if pin.entry.vector() != vector || !pin.entry.remote() {
                return None;
            }
            pin.entry.set_remote(false);
            match Self::service(pin) {
                Request::Send(message) => Some(message),
                Request::None | Request::Lost => None,
            }
        })
    }

    /// Reads at an offset.
    #[must_use]
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            0 => u32::from(self.select),
            0x10 => match self.select {
                0 | 2 => u32::from(self.identifier) << 24,
                1 => VERSION,
                select => self.entry(select),
            },
            _ => 0,
        }
    }

    /// Returns half of a redirection entry.
    fn entry(&self, select: u8) -> u32 {
        let pin = select
            .checked_sub(0x10)
            .and_then(|half| self.pins.get(usize::from(half / 2)));
        match pin {
            Some(pin) if select.is_multiple_of(2) => pin.entry.into_bits(),
            Some(pin) => u32::from(pin.destination) << 24,
            None => 0,
        }
    }

    /// Writes at an offset; returns a request that is due now. Offset 0x40 ends a vector's service
    /// and is not this function's.
    pub fn write(&mut self, offset: u64, value: u32) -> Request {
        let [low, .., high] = value.to_le_bytes();
        match (offset, self.select) {
            (0, _) => self.select = low,
            (0x10, 0) => self.identifier = high & 0xf,
            (0x10, select @ 0x10..) => {
                let Some(pin) = self.pins.get_mut(usize::from((select - 0x10) / 2)) else {
                    return Request::None;
                };
                if select % 2 == 1 {
                    pin.destination = high;
                    return Request::None;
                }
                let kept = pin.entry.into_bits() & !WRITABLE;
                pin.entry = Command::from_bits(kept | value & WRITABLE);
                if !pin.entry.level() {
                    pin.entry.set_remote(false);
                }
                return Self::service(pin);
            }
            _ => {}
        }
        Request::None
    }
}
