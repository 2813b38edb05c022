//! Accesses of the guest, and how they meet byte-wide registers.

use crate::device::{Effects, Uart};
use crate::registers::{REGISTER_BYTES, Register};

/// One access of the guest to the port's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Bytes from the start of the port.
    pub offset: u64,
    /// Size in bytes: 1, 2, 4 or 8.
    pub size: u64,
    /// The value stored, or `None` for a load.
    pub store: Option<u64>,
}

/// The answer to an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The loaded value; 0 of a store.
    pub value: u64,
    /// What else has to happen.
    pub effects: Effects,
}

impl Uart {
    /// Serves one access.
    ///
    /// The chip has eight data lines: of a wider access it sees the low byte, at the first
    /// address, and the upper bytes read as zero. Beyond the registers reads give 0 and writes
    /// have no effect.
    #[inline(always)]
    pub fn access(&mut self, request: Request) -> Response {
        if request.size != 1 || request.offset >= REGISTER_BYTES {
            self.metrics.odd_accesses += 1;
        }
        let Some(register) = Register::at(request.offset) else {
            return Response {
                value: 0,
                effects: self.settle(),
            };
        };
        match request.store {
            None => {
                let (value, effects) = self.read(register);
                Response {
                    value: u64::from(value),
                    effects,
                }
            }
            Some(value) => {
                let [low, ..] = value.to_le_bytes();
                Response {
                    value: 0,
                    effects: self.write(register, low),
                }
            }
        }
    }
}
