//! The registers (data sheet, table II).

use bitfield_struct::bitfield;
use core::mem::offset_of;
use volatile::VolatileFieldAccess;
use volatile::access::ReadOnly;
use zerocopy::FromBytes;

/// Interrupt enable (8.5).
#[bitfield(u8)]
#[derive(PartialEq, Eq, FromBytes)]
pub struct InterruptEnable {
    /// Received data, and the character timeout.
    pub received: bool,
    /// The transmitter holding register is empty.
    pub transmit_empty: bool,
    #[bits(6)]
    __: u8,
}

/// FIFO control, where it is written (8.4).
#[bitfield(u8)]
#[derive(PartialEq, Eq, FromBytes)]
pub struct FifoControl {
    /// The FIFOs are on.
    pub enable: bool,
    #[bits(5)]
    __: u8,
    /// Receiver trigger level: 1, 4, 8 or 14 bytes.
    #[bits(2)]
    pub trigger: u8,
}

/// Line control (8.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq, FromBytes)]
pub struct LineControl {
    /// Bits of a character, less five.
    #[bits(2)]
    pub word_length: u8,
    #[bits(5)]
    __: u8,
    /// Offsets 0 and 1 are the divisor.
    pub divisor_latch: bool,
}

/// Modem control (8.7).
#[bitfield(u8)]
#[derive(PartialEq, Eq, FromBytes)]
pub struct ModemControl {
    /// Data terminal ready.
    pub data_terminal_ready: bool,
    /// Request to send.
    pub request_to_send: bool,
    #[bits(1)]
    __: u8,
    /// Auxiliary output 2, which connects the interrupt on many boards.
    pub out2: bool,
    #[bits(4)]
    __: u8,
}

/// Line status (8.3).
#[bitfield(u8)]
#[derive(PartialEq, Eq, FromBytes)]
pub struct LineStatus {
    /// A received byte waits.
    pub data_ready: bool,
    #[bits(4)]
    __: u8,
    /// The transmitter's FIFO is empty.
    pub transmit_empty: bool,
    #[bits(2)]
    __: u8,
}

/// The registers of the chip.
#[derive(Clone, Copy, Debug, Default, FromBytes, VolatileFieldAccess)]
#[repr(C)]
pub struct Registers {
    /// The received byte, or the byte to send.
    pub data: u8,
    /// Interrupt enable.
    pub interrupt_enable: InterruptEnable,
    /// FIFO control, where it is written.
    pub fifo_control: FifoControl,
    /// Line control.
    pub line_control: LineControl,
    /// Modem control.
    pub modem_control: ModemControl,
    /// Line status.
    #[access(ReadOnly)]
    pub line_status: LineStatus,
}

const _: () = assert!(offset_of!(Registers, line_status) == 5);
