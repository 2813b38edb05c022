//! How the chip is reached: registers in memory, or I/O ports. All else is the same.

use crate::registers::{Registers, RegistersVolatileFieldAccess};
use rt::IoPorts;
use volatile::VolatileRef;

/// The registers that the driver uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// The received byte, or the byte to send.
    Data = 0,
    /// Interrupt enable.
    InterruptEnable = 1,
    /// FIFO control, where it is written.
    FifoControl = 2,
    /// Line control.
    LineControl = 3,
    /// Modem control.
    ModemControl = 4,
    /// Line status.
    LineStatus = 5,
}

/// A chip.
pub trait Chip {
    /// Reads a register.
    fn read(&mut self, register: Register) -> u8;
    /// Writes a register.
    fn write(&mut self, register: Register, value: u8);
}

impl Chip for VolatileRef<'_, Registers> {
    fn read(&mut self, register: Register) -> u8 {
        let chip = self.as_mut_ptr();
        match register {
            Register::Data => chip.data().read(),
            Register::InterruptEnable => chip.interrupt_enable().read().into_bits(),
            Register::FifoControl => chip.fifo_control().read().into_bits(),
            Register::LineControl => chip.line_control().read().into_bits(),
            Register::ModemControl => chip.modem_control().read().into_bits(),
            Register::LineStatus => chip.line_status().read().into_bits(),
        }
    }

    fn write(&mut self, register: Register, value: u8) {
        let chip = self.as_mut_ptr();
        match register {
            Register::Data => chip.data().write(value),
            Register::InterruptEnable => chip.interrupt_enable().write(value.into()),
            Register::FifoControl => chip.fifo_control().write(value.into()),
            Register::LineControl => chip.line_control().write(value.into()),
            Register::ModemControl => chip.modem_control().write(value.into()),
            // It is read only.
            Register::LineStatus => {}
        }
    }
}

/// A chip at I/O ports.
#[derive(Debug)]
pub struct Ports {
    /// The capability.
    pub ports: IoPorts,
    /// The first port.
    pub first: u64,
}

impl Chip for Ports {
    fn read(&mut self, register: Register) -> u8 {
        // Without the ports the line is dead: nothing comes, and nothing is taken.
        let value = self.ports.read(self.first + register as u64, 1);
        value.map_or(0, |value| value.to_le_bytes()[0])
    }

    fn write(&mut self, register: Register, value: u8) {
        let port = self.first + register as u64;
        let _ = self.ports.write(port, 1, u32::from(value));
    }
}
