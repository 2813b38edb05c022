//! Instructions that are about the processor: CPUID, model-specific registers, and what is not there.

use super::arithmetic::cut;
use super::cpuid::Processor;
use super::exception::Event;
use super::instruction::SystemMove;
use super::registers::{EFER, efer_is_good, general, read, set_general, write};
use super::walk::fetch;
use super::{Trouble, X86};
use crate::{Effects, Outcome, VcpuId};
use abi::exit::ExitClass;
use irq_api::CONTROL_REGISTER_8;
use x86_regs::msr;
use x86_regs::one_reg::Register;

/// Instructions by their bytes, the first the least significant.
mod opcode {
    pub const CPUID: u64 = 0xa20f;
    pub const RDMSR: u64 = 0x320f;
    pub const WRMSR: u64 = 0x300f;
    pub const INVD: u64 = 0x080f;
    pub const WBINVD: u64 = 0x090f;
}

/// RAX; RCX, RDX and RBX follow.
const RAX: u8 = 0;
/// RCX.
const RCX: u8 = 1;
/// RDX.
const RDX: u8 = 2;

/// Model-specific registers beyond those that `x86_regs` names.
mod number {
    pub const COUNTER: u32 = 0x10;
    pub const PLATFORM: u32 = 0x17;
    pub const APIC_BASE: u32 = 0x1b;
    pub const UPDATE: u32 = 0x8b;
    pub const MISCELLANEOUS: u32 = 0x1a0;
    pub const DEADLINE: u32 = 0x6e0;
}

impl X86 {
    /// Handles an instruction that has to be emulated.
    #[inline]
    pub(super) fn instruction<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        bits: u64,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        match bits {
            opcode::CPUID => self.identify(vcpu, effects),
            opcode::RDMSR => match self.read_msr(vcpu, effects)? {
                Some(value) => {
                    effects.set_general(vcpu, RAX, value & 0xffff_ffff);
                    effects.set_general(vcpu, RDX, value >> 32);
                }
                None => return self.refuse(vcpu, Event::GeneralProtection, effects),
            },
            opcode::WRMSR => {
                if !self.write_msr(vcpu, effects)? {
                    return self.refuse(vcpu, Event::GeneralProtection, effects);
                }
            }
            // There is no cache that is the guest's alone.
            opcode::INVD | opcode::WBINVD => {}
            _ => return self.refuse(vcpu, Event::InvalidOpcode, effects),
        }
        Ok(Outcome::behind(2))
    }

    /// Makes the guest take an event at its instruction, and go on.
    #[inline]
    pub(super) fn refuse<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        event: Event,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        self.raise(vcpu, event, effects)?;
        Ok(Outcome::RESUME)
    }

    /// Answers CPUID.
    #[inline]
    fn identify<E: Effects>(&self, vcpu: VcpuId, effects: &mut E) {
        let processor = Processor {
            vendor: self.vendor,
            index: vcpu.index() as u32,
            count: self.processors.len() as u32,
            ticks_per_second: effects.ticks_per_second(),
        };
        let [leaf, part] = effects.generals(vcpu, RAX);
        let answer = processor.answer(leaf as u32, part as u32);
        let registers = [answer.eax, answer.ecx, answer.edx, answer.ebx];
        effects.set_generals(vcpu, RAX, registers.map(u64::from));
    }

    /// Returns the model-specific register that RCX names, or `None` where there is none.
    #[inline(never)]
    fn read_msr<E: Effects>(&self, vcpu: VcpuId, effects: &mut E) -> Result<Option<u64>, Trouble> {
        let number = effects.general(vcpu, RCX) as u32;
        Ok(match number {
            number::COUNTER => Some(effects.counter()),
            number::PLATFORM | number::UPDATE => Some(0),
            // Fast strings.
            number::MISCELLANEOUS => Some(1),
            number::APIC_BASE | number::DEADLINE | 0x800..0x900 => {
                effects.controller_register(vcpu, number, None)
            }
            msr::EFER | msr::PAT => Some(read(vcpu, Register::ModelSpecific(number), effects)?),
            _ => None,
        })
    }

    /// Sets the model-specific register that RCX names; returns whether there is one that takes the
    /// value.
    #[inline(never)]
    fn write_msr<E: Effects>(&mut self, vcpu: VcpuId, effects: &mut E) -> Result<bool, Trouble> {
        let number = effects.general(vcpu, RCX) as u32;
        let low = effects.general(vcpu, RAX) & 0xffff_ffff;
        let value = effects.general(vcpu, RDX) << 32 | low;
        Ok(match number {
            // The counter is the machine's: guests that set it all to one value have that already.
            number::COUNTER | number::UPDATE | number::MISCELLANEOUS => true,
            number::APIC_BASE | number::DEADLINE | 0x800..0x900 => effects
                .controller_register(vcpu, number, Some(value))
                .is_some(),
            msr::EFER => self.write_efer(vcpu, value, effects)?,
            msr::PAT => {
                let is_good = value
                    .to_le_bytes()
                    .iter()
                    .all(|it| matches!(it, 0 | 1 | 4..=7));
                if is_good {
                    write(vcpu, (Register::ModelSpecific(number), value), effects)?;
                }
                is_good
            }
            _ => false,
        })
    }

    /// Sets the extended features: long mode only while nothing is translated.
    fn write_efer<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        value: u64,
        effects: &mut E,
    ) -> Result<bool, Trouble> {
        const PAGING: u64 = 1 << 31;
        const ACTIVE: u64 = 1 << 10;
        let before = read(vcpu, EFER, effects)?;
        let paging = read(vcpu, Register::Cr0, effects)? & PAGING != 0;
        let is_good = efer_is_good(before, value, paging);
        if is_good {
            // Whether long mode is active is the processor's to say.
            let value = value & !ACTIVE | before & ACTIVE;
            write(vcpu, (EFER, value), effects)?;
        }
        Ok(is_good)
    }

    /// Handles an exit that is none of the classes with a meaning of their own. VMX's have the
    /// numbers of SVM's (APM, appendix C).
    #[inline(never)]
    pub(super) fn other<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (program_counter, code): (u64, u64),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        const CR8_STORE: u64 = 0x18;
        const DEBUG_REGISTERS: core::ops::Range<u64> = 0x20..0x40;
        if code == CR8_STORE {
            return self.set_priority(vcpu, program_counter, effects);
        }
        if DEBUG_REGISTERS.contains(&code) {
            return self.move_debug(vcpu, program_counter, effects);
        }
        const DEBUG: u64 = 0x41;
        const ALIGNMENT: u64 = 0x51;
        const RDPMC: u64 = 0x6f;
        const INVLPGA: u64 = 0x7a;
        let event = match code {
            DEBUG => Event::Debug,
            ALIGNMENT => Event::AlignmentCheck,
            RDPMC => Event::GeneralProtection,
            // SVM's own instructions, MONITOR, MWAIT, RDPRU: CPUID tells of none.
            INVLPGA | 0x80 | 0x82..=0x86 | 0x8a..=0x8c | 0x8e => Event::InvalidOpcode,
            _ => {
                let cause = (ExitClass::Other, code);
                return Ok(self.give_up(vcpu, cause, program_counter, effects));
            }
        };
        self.refuse(vcpu, event, effects)
    }

    /// Stores into CR8, which is the upper half of the task priority of the vCPU's local APIC: the
    /// interrupt server sets what loads of it find. That the instruction is about CR8 the exit says:
    /// behind a LOCK it can have the number 0.
    fn set_priority<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        program_counter: u64,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        const HIGHEST: u64 = 15;
        let it = system_move(vcpu, program_counter, effects)?;
        let Some(it) = it.filter(|it| it.control && it.write) else {
            return Ok(Outcome::RESUME);
        };
        let value = cut(general(vcpu, it.register, effects)?, it.size);
        if value > HIGHEST {
            return self.refuse(vcpu, Event::GeneralProtection, effects);
        }
        effects.controller_register(vcpu, CONTROL_REGISTER_8, Some(value));
        Ok(Outcome::behind(it.length.into()))
    }

    /// Moves a debug register. They keep what the guest writes, and no breakpoint is ever hit: those
    /// of the hardware are the host's.
    fn move_debug<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        program_counter: u64,
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        const EXTENSIONS: u64 = 1 << 3;
        let it = system_move(vcpu, program_counter, effects)?;
        let Some(it) = it.filter(|it| !it.control) else {
            return Ok(Outcome::RESUME);
        };
        let is_alias = matches!(it.number, 4 | 5);
        if is_alias && read(vcpu, Register::Cr4, effects)? & EXTENSIONS != 0 {
            return self.refuse(vcpu, Event::InvalidOpcode, effects);
        }
        let index = usize::from(if is_alias { it.number + 2 } else { it.number });
        let place = self.debug.get_mut(vcpu.index());
        let Some(register) = place.and_then(|all| all.get_mut(index)) else {
            return Ok(Outcome::RESUME);
        };
        if it.write {
            let value = cut(general(vcpu, it.register, effects)?, it.size);
            let is_good = index < 6 || value >> 32 == 0;
            if !is_good {
                return self.refuse(vcpu, Event::GeneralProtection, effects);
            }
            *register = match index {
                6 => value & 0xe00f | 0xffff_0ff0,
                7 => value & 0xffff_2fff | 0x400,
                _ => value,
            };
        } else {
            set_general(vcpu, it.register, *register, effects)?;
        }
        Ok(Outcome::behind(it.length.into()))
    }
}

/// Decodes the move of a control or debug register at the program counter; `None` where something
/// else is there by now: then it is executed again.
fn system_move<E: Effects>(
    vcpu: VcpuId,
    program_counter: u64,
    effects: &mut E,
) -> Result<Option<SystemMove>, Trouble> {
    let (bytes, mode) = fetch(vcpu, program_counter, effects)?;
    Ok(SystemMove::decode(bytes, mode))
}
