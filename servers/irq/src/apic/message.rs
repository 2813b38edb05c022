//! Interrupt messages: what an ICR, a redirection entry or an MSI says (SDM 3A, 12.6.1, 12.11).

use bitfield_struct::bitfield;

/// How a message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The vector, to every target.
    Fixed,
    /// The vector, to one of the targets.
    Lowest,
    /// A system-management interrupt.
    Management,
    /// A non-maskable interrupt.
    NonMaskable,
    /// Stops a processor until it is started.
    Init,
    /// Starts a processor that waits for it, at page `vector`.
    StartUp,
    /// The vector is the 8259's.
    External,
    /// None of these.
    Reserved,
}

impl Mode {
    /// Returns the mode with this number.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Fixed,
            1 => Self::Lowest,
            2 => Self::Management,
            4 => Self::NonMaskable,
            5 => Self::Init,
            6 => Self::StartUp,
            7 => Self::External,
            _ => Self::Reserved,
        }
    }
}

/// Who a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The processors that match this physical identifier.
    Physical(u32),
    /// The processors that match this mask.
    Logical(u32),
    /// The sender.
    Own,
    /// All processors.
    All,
    /// All processors but the sender.
    Others,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The vector, or the page of a start.
    pub vector: u8,
    /// How it is delivered.
    pub mode: Mode,
    /// Who it is for.
    pub destination: Destination,
    /// It is a level: its end is told to the I/O APIC.
    pub level: bool,
    /// It goes to one of its targets whatever its mode (MSI's redirection hint).
    pub to_one: bool,
}

/// The low half of an interrupt command, and of a redirection entry.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Command {
    /// The vector.
    pub vector: u8,
    /// A [`Mode`].
    #[bits(3)]
    pub mode: u8,
    /// The destination is logical.
    pub logical: bool,
    /// Delivery is under way; always clear here.
    pub busy: bool,
    /// Redirection entries: the input is active low.
    pub active_low: bool,
    /// Redirection entries: the request was accepted and its end not told yet. Commands: assert.
    pub remote: bool,
    /// It is a level.
    pub level: bool,
    /// Redirection entries: no requests.
    pub masked: bool,
    #[bits(1)]
    __: u8,
    /// Commands: 0 the destination, 1 the sender, 2 all, 3 all others.
    #[bits(2)]
    pub shorthand: u8,
    #[bits(12)]
    __: u16,
}

impl Command {
    /// Returns the message of an interrupt command with this destination; `None` where it only says
    /// that a level ended, as old processors wanted it after INIT.
    #[must_use]
    pub fn message(self, destination: u32) -> Option<Message> {
        let mode = Mode::from_bits(self.mode());
        if mode == Mode::Init && self.level() && !self.remote() {
            return None;
        }
        let destination = match self.shorthand() {
            1 => Destination::Own,
            2 => Destination::All,
            3 => Destination::Others,
            _ if self.logical() => Destination::Logical(destination),
            _ => Destination::Physical(destination),
        };
        Some(Message {
            vector: self.vector(),
            mode,
            destination,
            // An inter-processor interrupt is an edge whatever it says.
            level: false,
            to_one: false,
        })
    }
}

impl Message {
    /// Returns the message that a device makes by storing `data` at `address` (SDM 3A, 12.11), or
    /// `None` where that is no message.
    #[must_use]
    pub fn of_store(address: u64, data: u32) -> Option<Self> {
        const REDIRECTION_HINT: u64 = 1 << 3;
        const LOGICAL: u64 = 1 << 2;
        if address >> 20 != 0xfee {
            return None;
        }
        let destination = (address >> 12 & 0xff) as u32;
        let command = Command::from_bits(data);
        let to_one = address & REDIRECTION_HINT != 0;
        Some(Self {
            vector: command.vector(),
            mode: Mode::from_bits(command.mode()),
            destination: if to_one && address & LOGICAL != 0 {
                Destination::Logical(destination)
            } else {
                Destination::Physical(destination)
            },
            level: command.level(),
            to_one,
        })
    }
}
