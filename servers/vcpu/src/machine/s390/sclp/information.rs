//! What the machine is.

use super::Block;
use crate::machine::s390::S390;
use s390_regs::sclp::response;

/// Offset of the entries of CPUs in the information of the machine.
const CPUS: u16 = 128;
/// Bytes of one entry.
const ENTRY: usize = 16;
/// Facility: information of CPUs can be read by itself.
const HAS_CPU_INFORMATION: u64 = 1 << 59;
/// Bytes of one increment of storage.
const INCREMENT: u64 = 1 << 20;

impl S390 {
    /// Reads what the machine is.
    pub(super) fn read_information(&self, block: &mut Block) -> u16 {
        let count = self.cpus.len();
        if block.length < usize::from(CPUS) + count * ENTRY {
            return response::TOO_SHORT;
        }
        let increments = self.memory / INCREMENT;
        block.put(8, &[0; CPUS as usize - 8]);
        block.put(8, &u16::try_from(increments).unwrap_or(0).to_be_bytes());
        block.put(10, &[1]);
        block.put(16, &(count as u16).to_be_bytes());
        block.put(18, &CPUS.to_be_bytes());
        block.put(24, &[0x40; 8]);
        block.put(48, &HAS_CPU_INFORMATION.to_be_bytes());
        block.put(104, &increments.to_be_bytes());
        put_cpus(block, usize::from(CPUS), count);
        response::READ
    }

    /// Reads what the CPUs are: all are configured.
    pub(super) fn read_cpu_information(&self, block: &mut Block) -> u16 {
        let count = self.cpus.len();
        let end = ENTRY + count * ENTRY;
        if block.length < end {
            return response::TOO_SHORT;
        }
        block.put(8, &(count as u16).to_be_bytes());
        block.put(10, &(ENTRY as u16).to_be_bytes());
        block.put(12, &0_u16.to_be_bytes());
        block.put(14, &(end as u16).to_be_bytes());
        put_cpus(block, ENTRY, count);
        response::READ
    }
}

/// Writes the entries of CPUs: each has its address, and is a general one.
fn put_cpus(block: &mut Block, at: usize, count: usize) {
    for index in 0..count {
        let mut entry = [0; ENTRY];
        entry[0] = index as u8;
        block.put(at + index * ENTRY, &entry);
    }
}
