//! The registers (data sheet, table II and sections 8.1 to 8.9).

use bitfield_struct::bitfield;

/// Bytes of address space that the registers take.
pub const REGISTER_BYTES: u64 = 8;

/// The registers by offset; some share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// 0: received byte, byte to send, or low half of the divisor.
    Data,
    /// 1: interrupt enable, or high half of the divisor.
    InterruptEnable,
    /// 2: interrupt identification, or FIFO control where written.
    InterruptIdentification,
    /// 3: line control.
    LineControl,
    /// 4: modem control.
    ModemControl,
    /// 5: line status.
    LineStatus,
    /// 6: modem status.
    ModemStatus,
    /// 7: scratch.
    Scratch,
}

impl Register {
    /// Returns the register at `offset`, or `None` from 8 on.
    #[must_use]
    pub const fn at(offset: u64) -> Option<Self> {
        Some(match offset {
            0 => Self::Data,
            1 => Self::InterruptEnable,
            2 => Self::InterruptIdentification,
            3 => Self::LineControl,
            4 => Self::ModemControl,
            5 => Self::LineStatus,
            6 => Self::ModemStatus,
            7 => Self::Scratch,
            _ => return None,
        })
    }
}

/// Interrupt enable (8.5).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct InterruptEnable {
    /// Received data, and the character timeout.
    pub received: bool,
    /// Transmitter empty.
    pub transmit_empty: bool,
    /// Line status.
    pub line_status: bool,
    /// Modem status.
    pub modem_status: bool,
    #[bits(4)]
    __: u8,
}

impl InterruptEnable {
    /// The bits that exist; the others read as zero.
    pub const MASK: u8 = 0x0f;
}

/// FIFO control (8.4).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct FifoControl {
    /// The FIFOs are on.
    pub enable: bool,
    /// Empties the receiver FIFO; clears itself.
    pub clear_receiver: bool,
    /// Empties the transmitter FIFO; clears itself.
    pub clear_transmitter: bool,
    /// DMA mode; no effect here.
    pub dma: bool,
    #[bits(2)]
    __: u8,
    /// Receiver trigger level: 1, 4, 8 or 14 bytes.
    #[bits(2)]
    pub trigger: u8,
}

impl FifoControl {
    /// Returns the trigger level in bytes.
    #[must_use]
    pub const fn trigger_bytes(self) -> usize {
        match self.trigger() {
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 14,
        }
    }
}

/// Line control (8.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct LineControl {
    /// Word length, stop bits, parity: kept, without effect.
    #[bits(6)]
    pub format: u8,
    /// Sends a break; without effect on the line.
    pub send_break: bool,
    /// Offsets 0 and 1 are the divisor.
    pub divisor_latch: bool,
}

/// Modem control (8.7).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct ModemControl {
    /// Data terminal ready.
    pub data_terminal_ready: bool,
    /// Request to send.
    pub request_to_send: bool,
    /// Auxiliary output 1.
    pub out1: bool,
    /// Auxiliary output 2.
    pub out2: bool,
    /// Output goes to the own input.
    pub loopback: bool,
    #[bits(3)]
    __: u8,
}

impl ModemControl {
    /// The bits that exist.
    pub const MASK: u8 = 0x1f;
}

/// Line status (8.3).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct LineStatus {
    /// A received byte waits.
    pub data_ready: bool,
    /// A byte was lost because the receiver was full.
    pub overrun: bool,
    /// Parity error; never.
    pub parity: bool,
    /// Framing error; never.
    pub framing: bool,
    /// A break was received.
    pub break_received: bool,
    /// The transmitter takes another byte.
    pub transmit_holding_empty: bool,
    /// The transmitter is idle.
    pub transmitter_empty: bool,
    /// The receiver FIFO has an error in it.
    pub fifo_error: bool,
}

/// Modem status (8.8).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct ModemStatus {
    /// `clear_to_send` changed.
    pub delta_clear_to_send: bool,
    /// `data_set_ready` changed.
    pub delta_data_set_ready: bool,
    /// `ring` fell.
    pub trailing_ring: bool,
    /// `carrier` changed.
    pub delta_carrier: bool,
    /// Clear to send.
    pub clear_to_send: bool,
    /// Data set ready.
    pub data_set_ready: bool,
    /// Ring indicator.
    pub ring: bool,
    /// Carrier detect.
    pub carrier: bool,
}

impl ModemStatus {
    /// The bits that reading clears.
    pub const DELTAS: u8 = 0x0f;
    /// The other side's lines outside loopback: ready, with carrier.
    pub const CONNECTED: Self = Self::new()
        .with_clear_to_send(true)
        .with_data_set_ready(true)
        .with_carrier(true);

    /// Returns the lines that loopback makes of the outputs (8.7).
    #[must_use]
    pub const fn looped(control: ModemControl) -> Self {
        Self::new()
            .with_clear_to_send(control.request_to_send())
            .with_data_set_ready(control.data_terminal_ready())
            .with_ring(control.out1())
            .with_carrier(control.out2())
    }

    /// Returns these lines with the deltas against `before`, and the deltas pending there.
    #[must_use]
    pub const fn changed_from(self, before: Self) -> Self {
        self.with_delta_clear_to_send(
            before.delta_clear_to_send() || self.clear_to_send() != before.clear_to_send(),
        )
        .with_delta_data_set_ready(
            before.delta_data_set_ready() || self.data_set_ready() != before.data_set_ready(),
        )
        .with_trailing_ring(before.trailing_ring() || (before.ring() && !self.ring()))
        .with_delta_carrier(before.delta_carrier() || self.carrier() != before.carrier())
    }
}

/// Interrupt sources by priority, the highest first (8.6, table IV).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Overrun, parity, framing or break; cleared by reading the line status.
    LineStatus,
    /// The trigger level is reached; cleared by reading below it.
    ReceivedData,
    /// Bytes below the trigger level lie for four character times; cleared by reading.
    CharacterTimeout,
    /// The transmitter is empty; cleared by reading the identification or writing a byte.
    TransmitEmpty,
    /// A modem line changed; cleared by reading the modem status.
    ModemStatus,
}

impl Source {
    /// Returns bits 3:0 of the interrupt identification.
    #[must_use]
    pub const fn identification(this: Option<Self>) -> u8 {
        match this {
            Some(Self::LineStatus) => 0x6,
            Some(Self::ReceivedData) => 0x4,
            Some(Self::CharacterTimeout) => 0xc,
            Some(Self::TransmitEmpty) => 0x2,
            Some(Self::ModemStatus) => 0x0,
            None => 0x1,
        }
    }
}
