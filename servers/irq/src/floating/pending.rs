//! What is pending at one place: a CPU, or all of them together.

use super::{EXTERNAL, INPUT_OUTPUT, QUEUE};
use alloc::collections::VecDeque;
use irq_api::floating::{InputOutput, Interruption, Masks, Open};

/// Classes of interruptions, those that come first in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Machine checks.
    MachineCheck,
    /// External interruptions.
    External,
    /// Input/output interruptions.
    InputOutput,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MachineCheck, Self::External, Self::InputOutput];

    /// Returns whether the PSW lets it through.
    pub const fn is_open(self, open: Open) -> bool {
        match self {
            Self::MachineCheck => open.machine_check,
            Self::External => open.external,
            Self::InputOutput => open.input_output,
        }
    }

    /// Returns the line that asks for it. The hardware has none for machine checks: they are looked
    /// for together with external interruptions.
    pub const fn line(self) -> u64 {
        match self {
            Self::MachineCheck | Self::External => EXTERNAL,
            Self::InputOutput => INPUT_OUTPUT,
        }
    }
}

/// Masks of external interruptions, in control register 0.
mod subclass {
    pub const EMERGENCY_SIGNAL: u64 = 0x4000;
    pub const EXTERNAL_CALL: u64 = 0x2000;
    pub const CLOCK_COMPARATOR: u64 = 0x800;
    pub const CPU_TIMER: u64 = 0x400;
    pub const SERVICE_SIGNAL: u64 = 0x200;
}

/// Mask of channel reports, in control register 14.
const CHANNEL_REPORT: u64 = 0x1000_0000;

/// What posting came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is pending.
    New,
    /// One of its kind was, and is.
    Coalesced,
    /// There is no room.
    Full,
}

/// What is pending.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Emergency signals, by sender.
    emergencies: u64,
    call: Option<u8>,
    clock_comparator: bool,
    cpu_timer: bool,
    service: Option<u32>,
    machine_check: Option<u64>,
    /// In the order in which they came; at most [`QUEUE`].
    input_output: VecDeque<InputOutput>,
}

impl Pending {
    /// Makes an interruption pending.
    pub fn post(&mut self, interruption: Interruption) -> Posted {
        let met = |was: bool| if was { Posted::Coalesced } else { Posted::New };
        match interruption {
            Interruption::EmergencySignal { sender } => {
                let bit = 1 << (sender & 63);
                let was = self.emergencies & bit != 0;
                self.emergencies |= bit;
                met(was)
            }
            Interruption::ExternalCall { sender } => {
                let was = self.call.is_some();
                self.call = self.call.or(Some(sender));
                met(was)
            }
            Interruption::ClockComparator => {
                met(core::mem::replace(&mut self.clock_comparator, true))
            }
            Interruption::CpuTimer => met(core::mem::replace(&mut self.cpu_timer, true)),
            Interruption::ServiceSignal { parameter } => {
                let before = self.service.replace(self.service.unwrap_or(0) | parameter);
                met(before.is_some())
            }
            Interruption::MachineCheck { code } => {
                let before = self
                    .machine_check
                    .replace(self.machine_check.unwrap_or(0) | code);
                met(before.is_some())
            }
            Interruption::InputOutput(interruption) => {
                if self.input_output.iter().any(|other| *other == interruption) {
                    return Posted::Coalesced;
                }
                if self.input_output.len() >= QUEUE {
                    return Posted::Full;
                }
                self.input_output.push_back(interruption);
                Posted::New
            }
        }
    }

    /// Returns the kinds of external interruptions that are pending, as bits of control register 0.
    fn external(&self) -> u64 {
        let bit = |is_pending: bool, bit| if is_pending { bit } else { 0 };
        bit(self.emergencies != 0, subclass::EMERGENCY_SIGNAL)
            | bit(self.call.is_some(), subclass::EXTERNAL_CALL)
            | bit(self.clock_comparator, subclass::CLOCK_COMPARATOR)
            | bit(self.cpu_timer, subclass::CPU_TIMER)
            | bit(self.service.is_some(), subclass::SERVICE_SIGNAL)
    }

    /// Returns whether something of a class is pending that these masks let through; all of it is
    /// let through where they are not known.
    pub fn has(&self, class: Class, masks: Option<Masks>) -> bool {
        let all = Masks {
            external: u64::MAX,
            input_output: u64::MAX,
            machine_check: u64::MAX,
        };
        let masks = masks.unwrap_or(all);
        match class {
            Class::MachineCheck => {
                self.machine_check.is_some() && masks.machine_check & CHANNEL_REPORT != 0
            }
            Class::External => self.external() & masks.external != 0,
            Class::InputOutput => self.first_input_output(masks.input_output).is_some(),
        }
    }

    /// Takes what comes first of a class, as far as the masks let it through.
    pub fn take(&mut self, class: Class, masks: Masks) -> Option<Interruption> {
        if !self.has(class, Some(masks)) {
            return None;
        }
        match class {
            Class::MachineCheck => {
                let code = self.machine_check.take()?;
                Some(Interruption::MachineCheck { code })
            }
            Class::External => self.take_external(masks.external),
            Class::InputOutput => {
                let at = self.first_input_output(masks.input_output)?;
                self.input_output.remove(at).map(Interruption::InputOutput)
            }
        }
    }

    /// Takes the first external interruption: emergency signals by sender, the external call, the
    /// timers, the service signal.
    fn take_external(&mut self, mask: u64) -> Option<Interruption> {
        let open = self.external() & mask;
        if open & subclass::EMERGENCY_SIGNAL != 0 {
            let sender = self.emergencies.trailing_zeros() as u8;
            self.emergencies &= self.emergencies - 1;
            Some(Interruption::EmergencySignal { sender })
        } else if open & subclass::EXTERNAL_CALL != 0 {
            let sender = self.call.take()?;
            Some(Interruption::ExternalCall { sender })
        } else if open & subclass::CLOCK_COMPARATOR != 0 {
            self.clock_comparator = false;
            Some(Interruption::ClockComparator)
        } else if open & subclass::CPU_TIMER != 0 {
            self.cpu_timer = false;
            Some(Interruption::CpuTimer)
        } else {
            let parameter = self.service.take()?;
            Some(Interruption::ServiceSignal { parameter })
        }
    }

    /// Returns the place of the input/output interruption of the lowest subclass that is open, the
    /// oldest of those.
    fn first_input_output(&self, mask: u64) -> Option<usize> {
        let is_open = |one: &InputOutput| mask & 0x8000_0000 >> one.subclass() != 0;
        let open = self.input_output.iter().enumerate();
        open.filter(|(_, one)| is_open(one))
            .min_by_key(|(index, one)| (one.subclass(), *index))
            .map(|(index, _)| index)
    }

    /// Returns how many requests are pending.
    pub fn count(&self) -> usize {
        let flags = [
            self.call.is_some(),
            self.clock_comparator,
            self.cpu_timer,
            self.service.is_some(),
            self.machine_check.is_some(),
        ];
        let flags = flags.into_iter().filter(|flag| *flag).count();
        flags + self.emergencies.count_ones() as usize + self.input_output.len()
    }
}
