//! Accesses: registers in memory, as model-specific registers, and ports.

use super::local::{Access, ENTRIES, Local};
use super::message::{Command, Destination, Message, Mode};
use super::{Apics, Changes, bit};
use irq_api::CONTROL_REGISTER_8;

/// Where the local APICs are in memory.
pub const BASE: u64 = 0xfee0_0000;
/// Where the I/O APIC is.
pub const IO_BASE: u64 = 0xfec0_0000;
/// Bytes of either.
const BYTES: u64 = 0x1000;
/// Model-specific register: where the local APIC is, and how it is reached.
const APIC_BASE: u32 = 0x1b;
/// Model-specific register: the timer's deadline.
const DEADLINE: u32 = 0x6e0;
/// First model-specific register of an x2APIC; register `n` is at memory offset `n * 16`.
const EXTENDED: u32 = 0x800;
/// Version: an APIC of its own chip, six entries.
const VERSION: u32 = 0x5_0014;

/// Offsets in memory.
const IDENTIFIER: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END: u32 = 0xb0;
const LOGICAL: u32 = 0xd0;
const FORMAT: u32 = 0xe0;
const SPURIOUS: u32 = 0xf0;
const ERRORS: u32 = 0x280;
const COMMAND: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
const ENTRY: u32 = 0x320;
const INITIAL_COUNT: u32 = 0x380;
const CURRENT_COUNT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;
const OWN_INTERRUPT: u32 = 0x3f0;

impl Local {
    /// Reads the register at an offset; `None` where there is none.
    fn read(&self, offset: u32, now: u64) -> Option<u32> {
        let extended = self.is_extended();
        Some(match offset {
            IDENTIFIER if extended => u32::from(self.index),
            IDENTIFIER => u32::from(self.identifier) << 24,
            0x30 => VERSION,
            TASK_PRIORITY => u32::from(self.priority),
            0x90 | 0xc0 if !extended => 0,
            0xa0 => u32::from(self.processor_priority()),
            LOGICAL if extended => self.extended_logical(),
            LOGICAL => u32::from(self.logical) << 24,
            FORMAT if !extended => self.format,
            SPURIOUS => self.spurious,
            0x100..0x280 => {
                let index = (offset >> 4 & 7) as usize;
                match offset >> 7 {
                    2 => self.in_service.register(index),
                    3 => self.levels.register(index),
                    _ => self.requested.register(index),
                }
            }
            ERRORS => self.shown_errors,
            COMMAND => self.command[0],
            COMMAND_HIGH if !extended => self.command[1],
            ENTRY..INITIAL_COUNT => *self.entries.get(((offset - ENTRY) >> 4) as usize)?,
            INITIAL_COUNT => self.timer.initial,
            CURRENT_COUNT => self.current_count(now),
            DIVIDE => self.timer.divide,
            _ => return None,
        })
    }

    /// Writes a register that does nothing beyond this APIC; `None` where there is none.
    fn write(&mut self, offset: u32, value: u32, now: u64) -> Option<()> {
        let extended = self.is_extended();
        let [low, .., high] = value.to_le_bytes();
        match offset {
            IDENTIFIER if !extended => self.identifier = high,
            TASK_PRIORITY => self.priority = low,
            LOGICAL if !extended => self.logical = high,
            FORMAT if !extended => self.format = value | 0x0fff_ffff,
            SPURIOUS => self.set_spurious(value),
            ERRORS => self.shown_errors = core::mem::take(&mut self.errors),
            COMMAND_HIGH if !extended => self.command[1] = value,
            ENTRY..INITIAL_COUNT => {
                let index = ((offset - ENTRY) >> 4) as usize;
                if index >= ENTRIES {
                    return None;
                }
                self.set_entry(index, value);
            }
            INITIAL_COUNT => self.start_timer(value, now),
            DIVIDE => self.timer.divide = value & 0xb,
            _ => return None,
        }
        Some(())
    }
}

impl Apics {
    /// Serves an access to memory: the local APIC of the vCPU that makes it, or the I/O APIC. What
    /// is not there reads as zero and ignores writes. Adds what has to be done to `changes`.
    pub fn memory(
        &mut self,
        vcpu: usize,
        (address, store): (u64, Option<u32>),
        now: u64,
        changes: &mut Changes,
    ) -> u32 {
        if address.wrapping_sub(IO_BASE) < BYTES {
            return self.io(address - IO_BASE, store, changes);
        }
        let is_here = self
            .locals
            .get(vcpu)
            .is_some_and(|local| local.access == Access::Memory);
        let offset = address.wrapping_sub(BASE);
        if !is_here || offset >= BYTES || !offset.is_multiple_of(16) {
            return 0;
        }
        let loaded = self.local_register(vcpu, (offset as u32, store), now, changes);
        loaded.unwrap_or_default()
    }

    /// Serves an access to the I/O APIC.
    #[inline]
    fn io(&mut self, offset: u64, store: Option<u32>, changes: &mut Changes) -> u32 {
        let Some(value) = store else {
            return self.io.read(offset);
        };
        self.store_io(offset, value, changes);
        0
    }

    /// Serves a store to the I/O APIC.
    #[inline(never)]
    fn store_io(&mut self, offset: u64, value: u32, changes: &mut Changes) {
        if offset == 0x40 {
            self.end_level(value as u8, changes);
        } else {
            let request = self.io.write(offset, value);
            self.request(request, changes);
        }
        self.settle(changes);
    }

    /// Tells the I/O APIC that the service of a level ended.
    fn end_level(&mut self, vector: u8, changes: &mut Changes) {
        let again: alloc::vec::Vec<Message> = self.io.end(vector).collect();
        for message in again {
            self.deliver(&message, None, changes);
        }
    }

    /// Serves an access to a register of a vCPU's local APIC; `None` where there is none.
    fn local_register(
        &mut self,
        vcpu: usize,
        (offset, store): (u32, Option<u32>),
        now: u64,
        changes: &mut Changes,
    ) -> Option<u32> {
        self.tick(vcpu, now, changes);
        let local = self.locals.get_mut(vcpu)?;
        let before = local.priority >> 4;
        // Also where there is no such register, what became due meanwhile is told.
        let mut loaded = Some(0);
        match (offset, store) {
            (_, None) => loaded = local.read(offset, now),
            (END, Some(_)) => {
                if let Some(vector) = local.end() {
                    self.end_level(vector, changes);
                }
            }
            (COMMAND, Some(value)) => {
                local.command[0] = Command::from_bits(value).with_busy(false).into_bits();
                self.command(vcpu, changes);
            }
            (OWN_INTERRUPT, Some(value)) if local.is_extended() => {
                let message = fixed(value as u8);
                self.deliver(&message, Some(vcpu), changes);
            }
            (_, Some(value)) => loaded = local.write(offset, value, now).map(|()| 0),
        }
        self.tell_priority(vcpu, before, changes);
        self.report_errors(vcpu, changes);
        self.arm(vcpu, changes);
        self.settle(changes);
        loaded
    }

    /// Tells the priority of a vCPU, where it is another than before: CR8 has it too.
    fn tell_priority(&self, vcpu: usize, before: u8, changes: &mut Changes) {
        let now = self.locals.get(vcpu).map(|local| local.priority >> 4);
        if let Some(now) = now.filter(|now| *now != before) {
            changes.priority = Some((vcpu, now));
        }
    }

    /// Sends what the interrupt command of a vCPU says.
    fn command(&mut self, vcpu: usize, changes: &mut Changes) {
        let command = self.locals.get(vcpu).map(Local::interrupt_command);
        let message = command.and_then(|(command, destination)| command.message(destination));
        if let Some(message) = message {
            self.deliver(&message, Some(vcpu), changes);
        }
    }

    /// Raises the interrupt of errors that a vCPU's APIC noted.
    fn report_errors(&mut self, vcpu: usize, changes: &mut Changes) {
        let vector = self.locals.get(vcpu).and_then(Local::error_vector);
        if let Some(vector) = vector.filter(|vector| *vector >= 16) {
            self.deliver(&fixed(vector), Some(vcpu), changes);
        }
    }

    /// Serves an access to a register of a vCPU's local APIC; `None` where there is none. Returns what
    /// has to be done too.
    fn local_access(
        &mut self,
        vcpu: usize,
        access: (u32, Option<u32>),
        now: u64,
    ) -> Option<(u32, Changes)> {
        let mut changes = Changes::default();
        let loaded = self.local_register(vcpu, access, now, &mut changes)?;
        Some((loaded, changes))
    }

    /// Serves an access to a model-specific register of the local APIC, or to CR8; `None` where the processor
    /// has none, or does not take the value: the guest gets a general-protection exception.
    pub fn register(
        &mut self,
        vcpu: usize,
        (number, store): (u32, Option<u64>),
        now: u64,
    ) -> Option<(u64, Changes)> {
        match (number, store) {
            (APIC_BASE, None) => Some((self.apic_base(vcpu)?, Changes::default())),
            (APIC_BASE, Some(value)) => self.set_apic_base(vcpu, value),
            (DEADLINE, None) => {
                let local = self.locals.get(vcpu)?;
                let deadline = local
                    .timer
                    .deadline
                    .filter(|_| local.has_counter_deadline());
                Some((deadline.unwrap_or(0), Changes::default()))
            }
            (DEADLINE, Some(value)) => {
                let mut changes = Changes::default();
                let local = self.locals.get_mut(vcpu)?;
                if local.has_counter_deadline() {
                    local.timer.deadline = (value != 0).then_some(value);
                }
                self.tick(vcpu, now, &mut changes);
                self.arm(vcpu, &mut changes);
                self.settle(&mut changes);
                Some((0, changes))
            }
            (EXTENDED..0x900, _) => self.extended(vcpu, (number, store), now),
            // It is there however the APIC is reached, and where it is off.
            (CONTROL_REGISTER_8, store) => {
                let store = match store {
                    Some(value @ 0..16) => Some((value as u32) << 4),
                    None => None,
                    Some(_) => return None,
                };
                let answer = self.local_access(vcpu, (TASK_PRIORITY, store), now);
                answer.map(|(value, changes)| (u64::from(value >> 4), changes))
            }
            _ => None,
        }
    }

    /// Serves an access to a register of an x2APIC.
    fn extended(
        &mut self,
        vcpu: usize,
        (number, store): (u32, Option<u64>),
        now: u64,
    ) -> Option<(u64, Changes)> {
        let local = self.locals.get_mut(vcpu)?;
        if !local.is_extended() {
            return None;
        }
        let offset = (number - EXTENDED) << 4;
        match (offset, store) {
            (COMMAND, None) => {
                let [low, high] = local.command;
                Some((u64::from(high) << 32 | u64::from(low), Changes::default()))
            }
            (COMMAND, Some(value)) => {
                local.command[1] = (value >> 32) as u32;
                let answer = self.local_access(vcpu, (offset, Some(value as u32)), now);
                answer.map(|(_, changes)| (0, changes))
            }
            // Only zero can be written there.
            (END | ERRORS, Some(1..)) => None,
            (END | OWN_INTERRUPT, None) => None,
            (_, Some(value)) => {
                let value = u32::try_from(value).ok()?;
                let answer = self.local_access(vcpu, (offset, Some(value)), now);
                answer.map(|(_, changes)| (0, changes))
            }
            (_, None) => {
                let answer = self.local_access(vcpu, (offset, None), now);
                answer.map(|(value, changes)| (u64::from(value), changes))
            }
        }
    }

    /// Returns the base register of a vCPU.
    fn apic_base(&self, vcpu: usize) -> Option<u64> {
        let local = self.locals.get(vcpu)?;
        let first = u64::from(local.index == 0) << 8;
        let mode = match local.access {
            Access::Off => 0,
            Access::Memory => 1 << 11,
            Access::Registers => 3 << 10,
        };
        Some(BASE | first | mode)
    }

    /// Sets how a local APIC is reached (SDM 3A, figure 12-27): it cannot go from registers to
    /// memory, nor from off to registers, nor be moved.
    fn set_apic_base(&mut self, vcpu: usize, value: u64) -> Option<(u64, Changes)> {
        let first = u64::from(vcpu == 0) << 8;
        let wanted = match value >> 10 & 3 {
            0 => Access::Off,
            2 => Access::Memory,
            3 => Access::Registers,
            _ => return None,
        };
        let local = self.locals.get_mut(vcpu)?;
        let is_allowed = !matches!(
            (local.access, wanted),
            (Access::Off, Access::Registers) | (Access::Registers, Access::Memory)
        );
        if !is_allowed || value & !0xd00 | first != BASE | first {
            return None;
        }
        let before = local.priority >> 4;
        let mut changes = Changes::default();
        if wanted != local.access {
            if wanted == Access::Off {
                for _ in 0..local.waiting() {
                    self.ledger.suppress();
                }
                local.reset();
            }
            local.access = wanted;
        }
        self.tell_priority(vcpu, before, &mut changes);
        self.settle(&mut changes);
        self.arm(vcpu, &mut changes);
        debug_assert_eq!(changes.timer_lowered & bit(vcpu), 0);
        Some((0, changes))
    }

    /// Serves an access to a port of the 8259s.
    pub fn port(&mut self, port: u64, store: Option<u8>) -> u8 {
        match store {
            None => self.pics.read(port),
            Some(value) => {
                self.pics.write(port, value);
                0
            }
        }
    }
}

/// Returns the message of a vector that an APIC sends to its own processor.
const fn fixed(vector: u8) -> Message {
    Message {
        vector,
        mode: Mode::Fixed,
        destination: Destination::Own,
        level: false,
        to_one: false,
    }
}
