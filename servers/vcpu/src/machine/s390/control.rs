//! Instructions about the CPU itself (PoP chapter 10).

use super::program::Exception;
use super::text::Place;
use super::{S390, Trouble, operand, read, write};
use crate::{Effects, VcpuId, VcpuSet};
use irq_api::floating::Act;
use s390_regs::one_reg::Register;
use s390_regs::sclp::ebcdic;

/// Facilities of the first word of the list: a machine of 2008 without cryptography. What further
/// words have, and STORE FACILITY LIST EXTENDED, the hardware answers.
const FACILITIES: u32 = 0xf1a0_e4d2 & !0x0040_0000;
/// Real address of the facility list.
const FACILITY_LIST: u64 = 0xc8;
/// What all CPUs have in common in their identification: version of a virtual machine, a type.
const IDENTIFICATION: u64 = 0xff00_0000_2097_8000;

impl S390 {
    /// STORE CPU ID.
    pub(super) fn store_cpu_id<E: Effects>(
        vcpu: VcpuId,
        place: Place,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let address = operand::aligned(vcpu, (place, 8), effects)?;
        let identification = IDENTIFICATION | (vcpu.index() as u64) << 32;
        operand::store(vcpu, address, &identification.to_be_bytes(), effects)
    }

    /// STORE CPU ADDRESS.
    pub(super) fn store_cpu_address<E: Effects>(
        vcpu: VcpuId,
        place: Place,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let address = operand::aligned(vcpu, (place, 2), effects)?;
        let own = vcpu.index() as u16;
        operand::store(vcpu, address, &own.to_be_bytes(), effects)
    }

    /// STORE PREFIX.
    pub(super) fn store_prefix<E: Effects>(
        vcpu: VcpuId,
        place: Place,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let address = operand::aligned(vcpu, (place, 4), effects)?;
        let prefix = read(vcpu, Register::Prefix, effects)? as u32;
        operand::store(vcpu, address, &prefix.to_be_bytes(), effects)
    }

    /// SET PREFIX.
    pub(super) fn load_prefix<E: Effects>(
        &self,
        vcpu: VcpuId,
        place: Place,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let address = operand::aligned(vcpu, (place, 4), effects)?;
        let mut bytes = [0; 4];
        operand::load(vcpu, address, &mut bytes, effects)?;
        let prefix = u64::from(u32::from_be_bytes(bytes)) & 0x7fff_e000;
        if !self.has_prefix_area(prefix) {
            return Err(Exception::Addressing.into());
        }
        write(vcpu, Register::Prefix, prefix, effects)
    }

    /// STORE FACILITY LIST.
    pub(super) fn store_facility_list<E: Effects>(
        vcpu: VcpuId,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let prefix = read(vcpu, Register::Prefix, effects)?;
        operand::write_absolute(prefix + FACILITY_LIST, &FACILITIES.to_be_bytes(), effects)
    }

    /// SET CLOCK: all CPUs have the same.
    pub(super) fn set_clock<E: Effects>(
        &self,
        vcpu: VcpuId,
        place: Place,
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let address = operand::aligned(vcpu, (place, 8), effects)?;
        let mut bytes = [0; 8];
        operand::load(vcpu, address, &mut bytes, effects)?;
        let now = effects.counter();
        let epoch = u64::from_be_bytes(bytes).wrapping_sub(now);
        write(vcpu, Register::Epoch, epoch, effects)?;
        let running = self.operating();
        for other in VcpuSet::first(self.cpus.len()).without(vcpu).iter() {
            if running.contains(other) {
                effects.pause(other);
            }
            let written = write(other, Register::Epoch, epoch, effects);
            if running.contains(other) {
                effects.start(other);
            }
            written?;
        }
        Ok(())
    }

    /// LOAD CONTROL: where the masks of interruptions are watched, or all of them.
    pub(super) fn load_control<E: Effects>(
        vcpu: VcpuId,
        ((r1, r3), from, is_long): ((u8, u8), Place, bool),
        effects: &mut E,
    ) -> Result<(), Trouble> {
        let bytes = if is_long { 8 } else { 4 };
        let address = operand::aligned(vcpu, (from, bytes), effects)?;
        let count = usize::from(r3.wrapping_sub(r1) & 15) + 1;
        let mut values = [0; 16 * 8];
        let values = values.get_mut(..count * bytes as usize).unwrap_or_default();
        operand::load(vcpu, address, values, effects)?;
        for (index, value) in values.chunks(bytes as usize).enumerate() {
            let register = Register::Control(r1.wrapping_add(index as u8) & 15);
            let value = value
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
            let high = if is_long {
                0
            } else {
                read(vcpu, register, effects)? >> 32 << 32
            };
            write(vcpu, register, high | value, effects)?;
        }
        let masks = super::masks(vcpu, effects)?;
        let cpu = vcpu.index() as u8;
        let watch = effects.interruption(vcpu, Act::Load { cpu, masks }).watch;
        super::watch_masks(vcpu, watch, effects)
    }

    /// STORE SYSTEM INFORMATION; returns the condition code.
    pub(super) fn store_system_information<E: Effects>(
        &self,
        vcpu: VcpuId,
        place: Place,
        effects: &mut E,
    ) -> Result<u8, Trouble> {
        let (first, second) = (effects.general(vcpu, 0), effects.general(vcpu, 1));
        let function = first >> 28 & 15;
        if first & 0x0fff_ff00 != 0 || second & 0xffff_0000 != 0 {
            return Err(Exception::Specification.into());
        }
        if function == 0 {
            // The level of the configuration: a virtual machine.
            effects.set_general(vcpu, 0, first & !0xffff_ffff | 3 << 28);
            return Ok(0);
        }
        let address = operand::address_of(vcpu, place, effects)?;
        if !address.is_multiple_of(4096) {
            return Err(Exception::Specification.into());
        }
        let Some(block) = self.system_information((function, first & 0xff, second & 0xffff)) else {
            return Ok(3);
        };
        operand::store(vcpu, address, &block, effects)?;
        Ok(0)
    }

    /// Returns a block of system information.
    fn system_information(&self, selectors: (u64, u64, u64)) -> Option<[u8; 256]> {
        let mut block = [0; 256];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = block.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        let count = (self.cpus.len() as u16).to_be_bytes();
        let name = |text: &[u8; 8]| text.map(ebcdic);
        match selectors {
            (1, 1, 1) => {
                put(32, &b"SKERRY          ".map(ebcdic));
                put(48, &b"2097".map(ebcdic));
                put(64, &b"V1              ".map(ebcdic));
            }
            (1, 2, 1) => put(80, &[0; 2]),
            (1, 2, 2) => {
                put(32, &1000_u32.to_be_bytes());
                put(36, &count);
                put(38, &count);
            }
            (2, 2, 1) => put(80, &[0; 2]),
            (2, 2, 2) => {
                put(36, &count);
                put(38, &count);
                put(44, &name(b"SKERRY  "));
                put(52, &1000_u32.to_be_bytes());
            }
            (3, 2, 2) => {
                put(31, &[1]);
                put(36, &count);
                put(38, &count);
                put(44, &name(b"GUEST   "));
                put(52, &1000_u32.to_be_bytes());
                put(56, &b"SKERRY          ".map(ebcdic));
            }
            _ => return None,
        }
        Some(block)
    }
}
