//! SERVICE CALL: the service processor, as the guest sees it. Control blocks are copied once, and
//! only what their own lengths allow is looked at.

mod events;
mod information;

use super::program::Exception;
use super::{S390, Trouble, operand, read};
use crate::{Effects, VcpuId};
use irq_api::floating::{Act, Interruption};
use s390_regs::lowcore;
use s390_regs::one_reg::Register;
use s390_regs::sclp::{BLOCK_HEADER, command, response};

/// Bytes that a control block has at most: it lies in one page.
const BLOCK_BYTES: usize = 4096;

/// A control block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    bytes: [u8; BLOCK_BYTES],
    length: usize,
}

impl Block {
    /// Returns the bytes that the block has.
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Writes bytes at an offset; what is behind the block's end is left out.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let own = self.bytes.get_mut(..self.length).unwrap_or_default();
        let places = own.get_mut(at..).unwrap_or_default();
        for (place, byte) in places.iter_mut().zip(bytes) {
            *place = *byte;
        }
    }

    /// Returns the big-endian number of two bytes at an offset, 0 behind the block's end.
    fn half(&self, at: usize) -> u16 {
        let bytes = self.bytes().get(at..at + 2);
        bytes.map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Returns the big-endian number of four bytes at an offset, 0 behind the block's end.
    fn word(&self, at: usize) -> u32 {
        u32::from(self.half(at)) << 16 | u32::from(self.half(at + 2))
    }
}

/// What the service processor knows of its guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    /// Events that the guest receives.
    receives: u32,
    /// Events that the guest sends.
    sends: u32,
}

impl S390 {
    /// Makes a service call; the answer is there when the signal is.
    pub(super) fn service_call<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (number, address): (u64, u64),
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let prefix = read(vcpu, Register::Prefix, effects)?;
        let area = address & !(lowcore::BYTES - 1);
        if address & !0x7fff_fff8 != 0 || area == 0 || area == prefix {
            return Err(Exception::Specification.into());
        }
        let mut header = [0; BLOCK_HEADER];
        operand::read_absolute(address, &mut header, effects)?;
        let length = usize::from(u16::from_be_bytes([header[0], header[1]]));
        if length < BLOCK_HEADER {
            return Err(Exception::Specification.into());
        }
        let code = if address % 4096 + length as u64 > 4096 {
            response::BOUNDARY
        } else {
            let mut block = Block {
                bytes: [0; BLOCK_BYTES],
                length,
            };
            let bytes = block.bytes.get_mut(..length).unwrap_or_default();
            operand::read_absolute(address, bytes, effects)?;
            let code = self.command(number as u32, &mut block, effects);
            operand::write_absolute(address, block.bytes(), effects)?;
            code
        };
        operand::write_absolute(address + 6, &code.to_be_bytes(), effects)?;
        let parameter = address as u32 & !7;
        let interruption = Interruption::ServiceSignal { parameter };
        let act = Act::Post {
            cpu: None,
            interruption,
        };
        effects.interruption(vcpu, act);
        Ok(())
    }

    /// Does what a command asks for; returns the response code.
    fn command<E: Effects>(&mut self, number: u32, block: &mut Block, effects: &mut E) -> u16 {
        match number {
            command::READ_INFORMATION | command::READ_INFORMATION_FORCED => {
                self.read_information(block)
            }
            command::READ_CPU_INFORMATION => self.read_cpu_information(block),
            command::WRITE_EVENT_MASK => self.service.write_mask(block),
            command::WRITE_EVENT_DATA => self.service.write_events(block, effects),
            command::READ_EVENT_DATA => self.service.read_events(block, effects),
            _ => response::INVALID_COMMAND,
        }
    }
}
