//! Physical interrupts and the firmware.

use crate::capability::handle;
use crate::synchronization::Notification;
use crate::sys;
use abi::{CallNumber, Error, SlotAddress};

handle! {
    /// A physical interrupt.
    Interrupt
}
handle! {
    /// The authority to make Interrupt capabilities.
    InterruptControl
}
handle! {
    /// The authority to make allow-listed firmware calls.
    Firmware
}

impl InterruptControl {
    /// Takes an interrupt of the machine into `destination`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn take(self, number: u64, destination: SlotAddress) -> Result<Interrupt, Error> {
        let arguments = [self.bits(), number, destination.into_bits()];
        sys::call(CallNumber::InterruptTake, arguments)?;
        Ok(Interrupt::at(destination))
    }
}

impl Interrupt {
    /// Binds the interrupt to a notification, or with `None` unbinds it.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn bind(self, notification: Option<Notification>) -> Result<(), Error> {
        let notification = notification.map_or(0, Notification::bits);
        sys::call(CallNumber::InterruptBind, [self.bits(), notification]).map(drop)
    }

    /// Unmasks the interrupt after it was handled.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn acknowledge(self) -> Result<(), Error> {
        sys::call(CallNumber::InterruptAcknowledge, [self.bits()]).map(drop)
    }
}

impl Firmware {
    /// Makes a call of the machine's firmware and returns what it answered.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn call(self, arguments: [u64; 6]) -> Result<[u64; 6], Error> {
        let [a, b, c, d, e, f] = arguments;
        sys::call(CallNumber::FirmwareCall, [self.bits(), a, b, c, d, e, f])
    }

    /// Makes a call that takes bytes in the message page, and returns what it answered.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn call_with(self, arguments: [u64; 6], bytes: &[u8]) -> Result<[u64; 6], Error> {
        crate::message::store_bytes(bytes);
        self.call(arguments)
    }

    /// Makes a call that leaves bytes in the message page, and copies them to `bytes`; returns what
    /// else it answered.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn call_for(self, arguments: [u64; 6], bytes: &mut [u8]) -> Result<[u64; 6], Error> {
        let answer = self.call(arguments)?;
        crate::message::load_bytes(bytes);
        Ok(answer)
    }

    /// Writes a byte to the firmware's console.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn write_byte(self, byte: u8) -> Result<(), Error> {
        self.call(sys::firmware_write_byte(byte)).map(drop)
    }

    /// Switches the machine off; `failed` becomes the reason where the firmware takes one.
    ///
    /// # Errors
    ///
    /// The kernel's, where the machine is still on.
    pub fn shut_down(self, failed: bool) -> Result<(), Error> {
        self.call(sys::firmware_shut_down(failed)).map(drop)
    }
}
