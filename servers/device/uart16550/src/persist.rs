//! The port's saved state.

use crate::device::{FIFO_BYTES, OUTPUT_BYTES, Uart};
use crate::exit_line::ExitLine;
use crate::metrics::Metrics;
use crate::registers::{FifoControl, InterruptEnable, LineControl, ModemControl, ModemStatus};
use heapless::{Deque, Vec};

/// Names this kind of record.
pub const KIND: u32 = u32::from_le_bytes(*b"UA16");
/// Changes whenever a field changes meaning.
pub const VERSION: u16 = 1;

/// Everything that the guest can see of the port, and output that nobody took yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Interrupt enable.
    pub enable: u8,
    /// FIFO control.
    pub fifo: u8,
    /// Line control.
    pub line_control: u8,
    /// Modem control.
    pub modem_control: u8,
    /// Modem status, with its deltas.
    pub modem_status: u8,
    /// Scratch.
    pub scratch: u8,
    /// The divisor.
    pub divisor: u16,
    /// An overrun is pending.
    pub overrun: bool,
    /// A break is pending.
    pub break_received: bool,
    /// The transmitter's interrupt is pending.
    pub transmit_pending: bool,
    /// The interrupt line as the controller knows it.
    pub line: bool,
    /// Received bytes, the oldest first.
    pub receiver: Vec<u8, FIFO_BYTES>,
    /// Output that waits, the oldest first.
    pub output: Vec<u8, OUTPUT_BYTES>,
    /// Where the watch for exit lines stands.
    pub exit_line: ExitLine,
}

/// Why a saved state was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// A register has bits that it cannot have.
    ReservedBits,
    /// More bytes wait than the receiver holds in this mode.
    TooManyBytes,
    /// The modem lines do not follow from the modem control.
    ModemLines,
}

impl Uart {
    /// Returns the state to save.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            enable: self.enable.into_bits(),
            fifo: self.fifo.into_bits(),
            line_control: self.line_control.into_bits(),
            modem_control: self.modem_control.into_bits(),
            modem_status: self.modem_status.into_bits(),
            scratch: self.scratch,
            divisor: self.divisor,
            overrun: self.overrun,
            break_received: self.break_received,
            transmit_pending: self.transmit_pending,
            line: self.line,
            receiver: self.receiver.iter().copied().collect(),
            output: self.output.iter().copied().collect(),
            exit_line: self.exit_line,
        }
    }

    /// Returns the port that `saved` describes; counters start at zero.
    ///
    /// # Errors
    ///
    /// A [`RestoreError`] where the port cannot be in that state.
    pub fn restore(saved: &Saved) -> Result<Self, RestoreError> {
        let fifo = FifoControl::from_bits(saved.fifo);
        let stray =
            saved.enable & !InterruptEnable::MASK | saved.modem_control & !ModemControl::MASK;
        if stray != 0 || saved.fifo & 0x06 != 0 || (saved.fifo != 0 && !fifo.enable()) {
            return Err(RestoreError::ReservedBits);
        }
        if !fifo.enable() && saved.receiver.len() > 1 {
            return Err(RestoreError::TooManyBytes);
        }
        let control = ModemControl::from_bits(saved.modem_control);
        let lines = if control.loopback() {
            ModemStatus::looped(control)
        } else {
            ModemStatus::CONNECTED
        };
        if saved.modem_status & !ModemStatus::DELTAS != lines.into_bits() {
            return Err(RestoreError::ModemLines);
        }
        Ok(Self {
            enable: InterruptEnable::from_bits(saved.enable),
            fifo,
            line_control: LineControl::from_bits(saved.line_control),
            modem_control: control,
            modem_status: ModemStatus::from_bits(saved.modem_status),
            scratch: saved.scratch,
            divisor: saved.divisor,
            overrun: saved.overrun,
            break_received: saved.break_received,
            transmit_pending: saved.transmit_pending,
            receiver: filled(&saved.receiver),
            line: saved.line,
            output: filled(&saved.output),
            exit_line: saved.exit_line,
            metrics: Metrics::default(),
        })
    }
}

/// Returns a queue with these bytes.
fn filled<const N: usize>(bytes: &Vec<u8, N>) -> Deque<u8, N> {
    let mut queue = Deque::new();
    for &byte in bytes {
        let pushed = queue.push_back(byte);
        debug_assert!(pushed.is_ok(), "both have the same capacity");
    }
    queue
}
