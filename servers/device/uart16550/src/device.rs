//! The port's state, and what each register access does to it.

use crate::exit_line::{ExitLine, ExitStatus};
use crate::metrics::Metrics;
use crate::registers::{
    FifoControl, InterruptEnable, LineControl, LineStatus, ModemControl, ModemStatus, Register,
    Source,
};
use heapless::Deque;

/// Bytes of each FIFO.
pub const FIFO_BYTES: usize = 16;
/// Bytes of output that wait for the binary.
pub const OUTPUT_BYTES: usize = 1024;
/// From this many waiting bytes on the device asks to be drained.
pub const DRAIN_AT: usize = OUTPUT_BYTES / 2;

/// What has to happen after an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The interrupt line changed to this level.
    pub interrupt: Option<bool>,
    /// Take the output before the next access: a line ended, or there is much of it.
    pub drain: bool,
    /// Room for input appeared: input that was refused can be offered again.
    pub room: bool,
    /// The guest printed an exit line.
    pub exit: Option<ExitStatus>,
}

/// A 16550A.
#[derive(Clone, Debug)]
pub struct Uart {
    pub(crate) enable: InterruptEnable,
    pub(crate) fifo: FifoControl,
    pub(crate) line_control: LineControl,
    pub(crate) modem_control: ModemControl,
    pub(crate) modem_status: ModemStatus,
    pub(crate) scratch: u8,
    pub(crate) divisor: u16,
    /// Overrun, since the line status was read last.
    pub(crate) overrun: bool,
    /// A break, since the line status was read last.
    pub(crate) break_received: bool,
    /// The transmitter became empty and nobody was told yet.
    pub(crate) transmit_pending: bool,
    pub(crate) receiver: Deque<u8, FIFO_BYTES>,
    /// The interrupt line as it was reported last.
    pub(crate) line: bool,
    pub(crate) output: Deque<u8, OUTPUT_BYTES>,
    pub(crate) exit_line: ExitLine,
    pub(crate) metrics: Metrics,
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart {
    /// Returns the port after reset (8.2, table III).
    #[must_use]
    pub const fn new() -> Self {
        Self {
            enable: InterruptEnable::new(),
            fifo: FifoControl::new(),
            line_control: LineControl::new(),
            modem_control: ModemControl::new(),
            modem_status: ModemStatus::CONNECTED,
            scratch: 0,
            divisor: 1,
            overrun: false,
            break_received: false,
            transmit_pending: false,
            receiver: Deque::new(),
            line: false,
            output: Deque::new(),
            exit_line: ExitLine::START,
            metrics: Metrics {
                reads: 0,
                writes: 0,
                odd_accesses: 0,
                sent: 0,
                received: 0,
                refused: 0,
                dropped: 0,
                interrupts: 0,
            },
        }
    }

    /// Resets the port (8.2, table III): nothing of the guest stays but the output that it sent, and
    /// the counters.
    pub fn reset(&mut self) -> Effects {
        *self = Self {
            output: core::mem::take(&mut self.output),
            metrics: self.metrics,
            line: self.line,
            ..Self::new()
        };
        self.settle()
    }

    /// Watches output that the guest sent by another way than its registers; returns the exit line
    /// that it ended, if it did.
    pub(crate) fn watch(&mut self, bytes: &[u8]) -> Option<ExitStatus> {
        let mut found = None;
        for byte in bytes {
            let (next, exit) = self.exit_line.step(*byte);
            self.exit_line = next;
            found = found.or(exit);
        }
        self.metrics.sent += bytes.len() as u64;
        found
    }

    /// Takes input that waits in the receiver, without its registers; returns how many bytes.
    pub(crate) fn take_received(&mut self, buffer: &mut [u8]) -> (usize, Effects) {
        let mut taken = 0;
        for place in buffer {
            let Some(byte) = self.receiver.pop_front() else {
                break;
            };
            *place = byte;
            taken += 1;
        }
        (taken, self.settle())
    }

    /// Returns the counters.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the level of the interrupt line.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.source().is_some()
    }

    /// Returns how many bytes of input fit now.
    #[must_use]
    pub fn room(&self) -> usize {
        let capacity = if self.fifo.enable() { FIFO_BYTES } else { 1 };
        let looped = self.modem_control.loopback();
        if looped {
            0
        } else {
            capacity.saturating_sub(self.receiver.len())
        }
    }

    /// Takes input from the host; returns how many bytes of `bytes` were accepted. The caller
    /// keeps the others and offers them again after [`Effects::room`]: nothing is lost.
    pub fn receive(&mut self, bytes: &[u8]) -> (usize, Effects) {
        let accepted = self.accept(bytes);
        (accepted, self.settle())
    }

    /// Puts what fits of `bytes` into the receiver.
    fn accept(&mut self, bytes: &[u8]) -> usize {
        let accepted = bytes.len().min(self.room());
        for &byte in bytes.iter().take(accepted) {
            let pushed = self.receiver.push_back(byte);
            debug_assert!(pushed.is_ok(), "room() is at most what the FIFO holds");
        }
        self.metrics.received += accepted as u64;
        self.metrics.refused += (bytes.len() - accepted) as u64;
        accepted
    }

    /// Takes a break from the host: a zero byte and the break bit. Returns whether it fitted.
    pub fn receive_break(&mut self) -> (bool, Effects) {
        let accepted = self.accept(&[0]);
        self.break_received |= accepted == 1;
        (accepted == 1, self.settle())
    }

    /// Moves output of the guest to `buffer`; returns how many bytes.
    pub fn take_output(&mut self, buffer: &mut [u8]) -> usize {
        let mut taken = 0;
        for place in buffer {
            let Some(byte) = self.output.pop_front() else {
                break;
            };
            *place = byte;
            taken += 1;
        }
        taken
    }

    /// Returns how many bytes of output wait.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Reads a register, with the side effects that reading has.
    pub(crate) fn read(&mut self, register: Register) -> (u8, Effects) {
        self.metrics.reads += 1;
        let [divisor_low, divisor_high] = self.divisor.to_le_bytes();
        let latch = self.line_control.divisor_latch();
        let mut room = false;
        let value = match register {
            Register::Data if latch => divisor_low,
            Register::InterruptEnable if latch => divisor_high,
            Register::Data => {
                let byte = self.receiver.pop_front();
                room = byte.is_some();
                byte.unwrap_or(0)
            }
            Register::InterruptEnable => self.enable.into_bits(),
            Register::InterruptIdentification => self.identify(),
            Register::LineControl => self.line_control.into_bits(),
            Register::ModemControl => self.modem_control.into_bits(),
            Register::LineStatus => self.take_line_status(),
            Register::ModemStatus => self.take_modem_status(),
            Register::Scratch => self.scratch,
        };
        (
            value,
            Effects {
                room,
                ..self.settle()
            },
        )
    }

    /// Writes a register.
    pub(crate) fn write(&mut self, register: Register, value: u8) -> Effects {
        self.metrics.writes += 1;
        let [low, high] = self.divisor.to_le_bytes();
        let latch = self.line_control.divisor_latch();
        let room_before = self.room();
        let mut exit = None;
        match register {
            Register::Data if latch => self.divisor = u16::from_le_bytes([value, high]),
            Register::InterruptEnable if latch => self.divisor = u16::from_le_bytes([low, value]),
            Register::Data => exit = self.transmit(value),
            Register::InterruptEnable => self.write_enable(value),
            Register::InterruptIdentification => self.write_fifo(value),
            Register::LineControl => self.line_control = LineControl::from_bits(value),
            Register::ModemControl => self.write_modem(value),
            Register::LineStatus | Register::ModemStatus => {}
            Register::Scratch => self.scratch = value,
        }
        let drain = self.output.len() >= DRAIN_AT || self.output.back() == Some(&b'\n');
        let room = self.room() > room_before;
        Effects {
            drain,
            room,
            exit,
            ..self.settle()
        }
    }

    /// Sends a byte: to the output, or to the own receiver in loopback.
    fn transmit(&mut self, byte: u8) -> Option<ExitStatus> {
        self.transmit_pending = true;
        if self.modem_control.loopback() {
            let capacity = if self.fifo.enable() { FIFO_BYTES } else { 1 };
            if self.receiver.len() >= capacity || self.receiver.push_back(byte).is_err() {
                self.overrun = true;
            }
            return None;
        }
        self.metrics.sent += 1;
        if self.output.push_back(byte).is_err() {
            self.metrics.dropped += 1;
        }
        let (next, exit) = self.exit_line.step(byte);
        self.exit_line = next;
        exit
    }

    /// Writes the interrupt enables; the transmitter reports again when its bit rises (8.5).
    fn write_enable(&mut self, value: u8) {
        let enable = InterruptEnable::from_bits(value & InterruptEnable::MASK);
        if enable.transmit_empty() && !self.enable.transmit_empty() {
            self.transmit_pending = true;
        }
        self.enable = enable;
    }

    /// Writes the FIFO control; turning the FIFOs on or off empties them (8.4).
    fn write_fifo(&mut self, value: u8) {
        let fifo = FifoControl::from_bits(value);
        let switched = fifo.enable() != self.fifo.enable();
        if switched || (fifo.enable() && fifo.clear_receiver()) {
            self.receiver.clear();
        }
        // Without the enable bit the others are not written.
        self.fifo = if fifo.enable() {
            fifo.with_clear_receiver(false)
                .with_clear_transmitter(false)
        } else {
            FifoControl::new()
        };
    }

    /// Writes the modem control; in loopback its outputs are the modem's inputs.
    fn write_modem(&mut self, value: u8) {
        self.modem_control = ModemControl::from_bits(value & ModemControl::MASK);
        let lines = if self.modem_control.loopback() {
            ModemStatus::looped(self.modem_control)
        } else {
            ModemStatus::CONNECTED
        };
        self.modem_status = lines.changed_from(self.modem_status);
    }

    /// Returns the interrupt identification; reading it settles the transmitter's interrupt.
    fn identify(&mut self) -> u8 {
        let source = self.source();
        if source == Some(Source::TransmitEmpty) {
            self.transmit_pending = false;
        }
        let fifos = if self.fifo.enable() { 0xc0 } else { 0 };
        Source::identification(source) | fifos
    }

    /// Returns the line status and clears its errors.
    fn take_line_status(&mut self) -> u8 {
        let status = LineStatus::new()
            .with_data_ready(!self.receiver.is_empty())
            .with_overrun(self.overrun)
            .with_break_received(self.break_received)
            .with_transmit_holding_empty(true)
            .with_transmitter_empty(true)
            .with_fifo_error(self.fifo.enable() && self.break_received);
        self.overrun = false;
        self.break_received = false;
        status.into_bits()
    }

    /// Returns the modem status and clears its deltas.
    fn take_modem_status(&mut self) -> u8 {
        let status = self.modem_status.into_bits();
        self.modem_status = ModemStatus::from_bits(status & !ModemStatus::DELTAS);
        status
    }

    /// Returns the pending and enabled source of the highest priority.
    fn source(&self) -> Option<Source> {
        if self.enable.line_status() && (self.overrun || self.break_received) {
            Some(Source::LineStatus)
        } else if self.enable.received() && !self.receiver.is_empty() {
            let trigger = if self.fifo.enable() {
                self.fifo.trigger_bytes()
            } else {
                1
            };
            Some(if self.receiver.len() >= trigger {
                Source::ReceivedData
            } else {
                Source::CharacterTimeout
            })
        } else if self.enable.transmit_empty() && self.transmit_pending {
            Some(Source::TransmitEmpty)
        } else if self.enable.modem_status()
            && self.modem_status.into_bits() & ModemStatus::DELTAS != 0
        {
            Some(Source::ModemStatus)
        } else {
            None
        }
    }

    /// Returns the change of the interrupt line since the last time.
    pub(crate) fn settle(&mut self) -> Effects {
        let line = self.interrupt();
        let changed = line != self.line;
        self.line = line;
        self.metrics.interrupts += u64::from(changed);
        Effects {
            interrupt: changed.then_some(line),
            ..Effects::default()
        }
    }
}
