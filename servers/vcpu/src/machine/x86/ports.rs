//! Ports that no device server has: power, reset, and what a PC answers where nothing is.

use super::arithmetic::cut;
use super::instruction::PortString;
use super::pit::{self, Pit};
use super::registers::{general, linear, read, set_general};
use super::walk::{fetch, translate};
use super::{Trouble, X86, absence};
use crate::lifecycle::LifecycleEvent;
use crate::{Access, Effects, EndReason, Outcome, RebootKind, VcpuId};
use abi::exit::{AccessInfo, RouteKey};
use x86_regs::one_reg::Register;

/// ACPI: the event registers, status and enables.
pub const EVENTS: u16 = 0x600;
/// ACPI: power management control.
pub const CONTROL: u16 = 0x604;
/// ACPI: the timer of 3.579545 MHz.
pub const TIMER: u16 = 0x608;
/// Ticks per second of the timer.
const TIMER_FREQUENCY: u128 = 3_579_545;
/// The keyboard controller's commands.
const KEYBOARD: u16 = 0x64;
/// Resets the processors.
const KEYBOARD_RESET: u64 = 0xfe;
/// Reset control of a PC's chip set.
const RESET: u16 = 0xcf9;
/// QEMU's device that ends the machine with a status.
const EXIT: u16 = 0xf4;
/// ACPI's control: sleep as the type says.
const SLEEP: u64 = 1 << 13;
/// ACPI's control: ACPI is on.
const ENABLED: u64 = 1;

/// What a store to a port does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Nothing,
    End(EndReason),
    Reboot(RebootKind),
}

/// Returns what is read at a port.
fn load<E: Effects>(pit: &mut Pit, (port, bytes): (u16, u8), effects: &mut E) -> u64 {
    let value = match port {
        pit::CHANNEL_2 | pit::GATE => u64::from(pit.read(port, effects.clock())),
        // Nothing waits, and commands are taken.
        KEYBOARD | 0x60 => 0,
        EVENTS | 0x602 => 0,
        CONTROL => ENABLED,
        TIMER => {
            let (now, ticks) = effects.clock();
            (u128::from(now) * TIMER_FREQUENCY / u128::from(ticks.max(1))) as u64
        }
        // The clock and its memory, and the last reset.
        0x70 | 0x71 | RESET => 0,
        _ => u64::MAX,
    };
    cut(value, bytes)
}

/// Returns what a store to a port does.
const fn store(port: u16, value: u64) -> Effect {
    match port {
        KEYBOARD if value & 0xff == KEYBOARD_RESET => Effect::Reboot(RebootKind::Warm),
        RESET if value & 4 != 0 && value & 8 != 0 => Effect::Reboot(RebootKind::Cold),
        RESET if value & 4 != 0 => Effect::Reboot(RebootKind::Warm),
        CONTROL if value & SLEEP != 0 => Effect::End(EndReason::None),
        EXIT => Effect::End(EndReason::ExitLine((value as u32 as i64) << 1 | 1)),
        _ => Effect::Nothing,
    }
}

/// Returns the general registers that a string instruction counts with: source, destination, count.
const STRING: [u8; 3] = [6, 7, 1];

impl X86 {
    /// Handles an access to a port that nobody owns and the machine described.
    pub(super) fn port<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (port, info): (u16, AccessInfo),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let bytes = 1 << info.size_log2();
        let rax = effects.general(vcpu, 0);
        let length = info.instruction_length();
        if info.write() {
            return Ok(self.stored(vcpu, (port, cut(rax, bytes)), length, effects));
        }
        let value = load(&mut self.pit, (port, bytes), effects);
        let after = match bytes {
            4.. => value,
            _ => rax ^ cut(rax, bytes) | value,
        };
        effects.set_general(vcpu, 0, after);
        Ok(Outcome::behind(length.into()))
    }

    /// Does what a store to a port does, by an instruction of so many bytes.
    fn stored<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (port, value): (u16, u64),
        length: u8,
        effects: &mut E,
    ) -> Outcome {
        self.pit.write(port, value as u8, effects.clock());
        let event = match store(port, value) {
            Effect::Nothing => return Outcome::behind(length.into()),
            Effect::End(reason) => LifecycleEvent::PowerOff(reason),
            Effect::Reboot(kind) => LifecycleEvent::Reboot(kind, EndReason::None),
        };
        self.step_lifecycle(Some(vcpu), event, effects);
        Outcome::STOP
    }

    /// Handles one element of a string instruction between a port and memory; `claimed` says that a
    /// device has the port.
    pub(super) fn port_string<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (program_counter, port, claimed): (u64, u16, bool),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let (bytes, mode) = fetch(vcpu, program_counter, effects)?;
        let Some(string) = PortString::decode(bytes, mode) else {
            // It was replaced since it was executed: let the guest try again.
            return Ok(Outcome::RESUME);
        };
        let [source, destination, _] = STRING;
        let (index, segment) = if string.write {
            (source, string.segment.unwrap_or(3))
        } else {
            (destination, 0)
        };
        let offset = cut(general(vcpu, index, effects)?, string.address_size);
        let address = linear(vcpu, segment, offset, effects)?;
        let Some(memory) = translate(vcpu, address, effects)? else {
            return Ok(Outcome::RESUME);
        };
        let mut value = [0; 8];
        let filled = value
            .get_mut(..usize::from(string.size))
            .unwrap_or_default();
        // Also where it is stored to, so that an absent page is met before anything happens.
        if let Some(outcome) = Self::copied(effects.read_guest(memory, filled))? {
            return Ok(outcome);
        }
        let value = u64::from_le_bytes(value);
        if string.write {
            return self.string_out(vcpu, (port, claimed), (string, value), effects);
        }
        let loaded = if claimed {
            effects.load_device(vcpu, true, (u64::from(port), string.size))
        } else {
            None
        };
        let value = match loaded {
            Some(value) => value,
            None => load(&mut self.pit, (port, string.size), effects),
        };
        let value = value.to_le_bytes();
        let filled = value.get(..usize::from(string.size)).unwrap_or_default();
        if let Some(outcome) = Self::copied(effects.write_guest(memory, filled))? {
            return Ok(outcome);
        }
        let length = self.element(vcpu, (index, string.size), &string, effects)?;
        Ok(Outcome::behind(length.into()))
    }

    /// Returns what a copy that failed comes to: the guest tries again where there is no memory.
    pub(super) fn copied(
        result: Result<(), crate::MemoryError>,
    ) -> Result<Option<Outcome>, Trouble> {
        match result.map_err(absence) {
            Ok(()) => Ok(None),
            Err(Some(address)) => Err(Trouble::Absent(address)),
            Err(None) => Ok(Some(Outcome::RESUME)),
        }
    }

    /// Stores one element to a port.
    fn string_out<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (port, claimed): (u16, bool),
        (string, value): (PortString, u64),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let [source, ..] = STRING;
        let length = self.element(vcpu, (source, string.size), &string, effects)?;
        if claimed {
            self.metrics.forwarded += 1;
            let info = AccessInfo::new()
                .with_size_log2(string.size.trailing_zeros() as u8)
                .with_write(true)
                .with_instruction_length(length)
                .with_key(RouteKey::Port as u8);
            return Ok(Outcome::forward(Access {
                address: u64::from(port),
                info,
                value,
            }));
        }
        Ok(self.stored(vcpu, (port, value), length, effects))
    }

    /// Counts one element: the index register goes on. Returns how far the instruction pointer does:
    /// not at all before the last.
    fn element<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (index, size): (u8, u8),
        string: &PortString,
        effects: &mut E,
    ) -> Result<u8, Trouble> {
        step_index(vcpu, (index, string.address_size), size, effects)?;
        if string.repeats && count_down(vcpu, string.address_size, effects)? {
            return Ok(0);
        }
        Ok(string.length)
    }
}

/// Moves an index register by an element, in the direction of the flag.
pub(super) fn step_index<E: Effects>(
    vcpu: VcpuId,
    (index, address_size): (u8, u8),
    size: u8,
    effects: &mut E,
) -> Result<(), Trouble> {
    const DOWN: u64 = 1 << 10;
    let flags = read(vcpu, Register::Rflags, effects)?;
    let before = general(vcpu, index, effects)?;
    let step = u64::from(size);
    let after = match flags & DOWN {
        0 => before.wrapping_add(step),
        _ => before.wrapping_sub(step),
    };
    set_address(vcpu, (index, address_size), before, after, effects)
}

/// Counts a repeated instruction down; returns whether it goes on.
pub(super) fn count_down<E: Effects>(
    vcpu: VcpuId,
    address_size: u8,
    effects: &mut E,
) -> Result<bool, Trouble> {
    let [.., count] = STRING;
    let before = general(vcpu, count, effects)?;
    let after = before.wrapping_sub(1);
    set_address(vcpu, (count, address_size), before, after, effects)?;
    Ok(cut(after, address_size) != 0)
}

/// Sets a register of which an address has so many bytes.
fn set_address<E: Effects>(
    vcpu: VcpuId,
    (register, address_size): (u8, u8),
    before: u64,
    after: u64,
    effects: &mut E,
) -> Result<(), Trouble> {
    let after = match address_size {
        8 => after,
        4 => cut(after, 4),
        _ => before ^ cut(before, 2) | cut(after, 2),
    };
    set_general(vcpu, register, after, effects)
}
