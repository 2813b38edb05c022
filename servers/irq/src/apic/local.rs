//! One local APIC: priorities, requests, the timer (SDM 3A, chapter 12).

use super::message::Command;

/// Bits of a vector table entry: masked.
pub const MASKED: u32 = 1 << 16;
/// The spurious vector register: the APIC is enabled by software.
const ENABLED: u32 = 1 << 8;
/// Lines of the vector table, in the order of their registers from 0x320 on.
pub const ENTRIES: usize = 6;
/// The timer's entry.
const TIMER: usize = 0;
/// The error's entry.
const ERROR: usize = 5;
/// Error status: a vector below 16 was sent.
pub const SENT_ILLEGAL: u32 = 1 << 5;
/// Error status: a vector below 16 arrived.
pub const RECEIVED_ILLEGAL: u32 = 1 << 6;

/// A set of vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vectors([u64; 4]);

impl Vectors {
    /// Returns whether a vector is in the set.
    #[must_use]
    pub const fn contains(&self, vector: u8) -> bool {
        self.0[vector as usize / 64] >> (vector % 64) & 1 == 1
    }

    /// Puts a vector in, or takes it out.
    pub const fn set(&mut self, vector: u8, present: bool) {
        let bit = 1 << (vector % 64);
        let word = &mut self.0[vector as usize / 64];
        *word = if present { *word | bit } else { *word & !bit };
    }

    /// Returns the highest vector.
    #[must_use]
    pub fn highest(&self) -> Option<u8> {
        let index = self.0.iter().rposition(|word| *word != 0)?;
        let bit = 63 - self.0.get(index)?.leading_zeros();
        u8::try_from(index as u32 * 64 + bit).ok()
    }

    /// Returns 32 vectors of the set, as a register has them.
    #[must_use]
    pub const fn register(&self, index: usize) -> u32 {
        (self.0[index / 2 % 4] >> (index % 2 * 32)) as u32
    }

    /// Returns how many vectors are in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// How the registers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Not at all: the APIC is off.
    Off,
    /// In memory.
    Memory,
    /// As model-specific registers.
    Registers,
}

/// The timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// The divide register.
    pub divide: u32,
    /// The initial count.
    pub initial: u32,
    /// When it fires, in ticks of the machine's counter.
    pub deadline: Option<u64>,
}

impl Timer {
    /// Returns the ticks of one count: 2 to 128, or 1.
    const fn unit(self) -> u64 {
        let power = (self.divide & 3 | self.divide >> 1 & 4) + 1;
        1 << (power & 7)
    }

    /// Returns the ticks of a whole count.
    fn period(self) -> u64 {
        u64::from(self.initial) * self.unit()
    }
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It waits for its processor.
    Waits,
    /// It met one that waits.
    Coalesced,
    /// The APIC does not take it.
    Refused,
}

/// One local APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Index of its vCPU, which is its identifier as an x2APIC.
    pub index: u8,
    /// The identifier that memory accesses see.
    pub identifier: u8,
    pub(super) access: Access,
    pub(super) priority: u8,
    pub(super) logical: u8,
    pub(super) format: u32,
    pub(super) spurious: u32,
    pub(super) requested: Vectors,
    pub(super) in_service: Vectors,
    pub(super) levels: Vectors,
    pub(super) errors: u32,
    pub(super) shown_errors: u32,
    pub(super) command: [u32; 2],
    pub(super) entries: [u32; ENTRIES],
    pub(super) timer: Timer,
    pub(super) non_maskable: bool,
    /// Whether its vCPU's line says that something can be taken.
    pub(super) line: bool,
    /// Whether its vCPU's line says that something cannot be masked.
    pub(super) non_maskable_line: bool,
    /// The deadline that its vCPU has.
    pub(super) told: Option<u64>,
}

impl Local {
    /// Returns the APIC of a vCPU after power-on.
    #[must_use]
    pub const fn new(index: u8) -> Self {
        Self {
            index,
            identifier: index,
            access: Access::Memory,
            priority: 0,
            logical: 0,
            format: u32::MAX,
            spurious: 0xff,
            requested: Vectors([0; 4]),
            in_service: Vectors([0; 4]),
            levels: Vectors([0; 4]),
            errors: 0,
            shown_errors: 0,
            command: [0; 2],
            entries: [MASKED; ENTRIES],
            timer: Timer {
                divide: 0,
                initial: 0,
                deadline: None,
            },
            non_maskable: false,
            line: false,
            non_maskable_line: false,
            told: None,
        }
    }

    /// Returns the requests that wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.requested.count() + u64::from(self.non_maskable)
    }

    /// Brings it into the state behind INIT: all but how it is reached, and what its vCPU's lines
    /// are, which are told anew.
    pub fn reset(&mut self) {
        let (access, line, non_maskable_line) = (self.access, self.line, self.non_maskable_line);
        let told = self.told;
        *self = Self {
            access,
            line,
            non_maskable_line,
            told,
            ..Self::new(self.index)
        };
    }

    /// Returns whether software enabled it.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.spurious & ENABLED != 0 && !matches!(self.access, Access::Off)
    }

    /// Returns whether it is an x2APIC now.
    #[must_use]
    pub const fn is_extended(&self) -> bool {
        matches!(self.access, Access::Registers)
    }

    /// Returns the priority that requests have to be above.
    #[must_use]
    pub fn processor_priority(&self) -> u8 {
        let served = self.in_service.highest().unwrap_or(0);
        if self.priority >> 4 >= served >> 4 {
            self.priority
        } else {
            served & 0xf0
        }
    }

    /// Returns the request that its processor can take now.
    #[must_use]
    pub fn deliverable(&self) -> Option<u8> {
        let vector = self.requested.highest()?;
        (self.is_enabled() && vector >> 4 > self.processor_priority() >> 4).then_some(vector)
    }

    /// Takes a request in.
    pub fn accept(&mut self, vector: u8, level: bool) -> Accepted {
        if vector < 16 {
            self.fail(RECEIVED_ILLEGAL);
            return Accepted::Refused;
        }
        if !self.is_enabled() {
            return Accepted::Refused;
        }
        let is_new = !self.requested.contains(vector);
        self.requested.set(vector, true);
        self.levels.set(vector, level);
        if is_new {
            Accepted::Waits
        } else {
            Accepted::Coalesced
        }
    }

    /// Notes an error.
    pub fn fail(&mut self, error: u32) {
        self.errors |= error;
    }

    /// Returns the vector of an error interrupt, if errors interrupt.
    #[must_use]
    pub fn error_vector(&self) -> Option<u8> {
        let entry = self.entries[ERROR];
        (self.errors != 0 && entry & MASKED == 0).then_some(entry as u8)
    }

    /// Hands the request to the processor that it can take: it is in service from now on.
    pub fn take(&mut self) -> Option<u8> {
        let vector = self.deliverable()?;
        self.requested.set(vector, false);
        self.in_service.set(vector, true);
        Some(vector)
    }

    /// Ends the service of the highest vector; returns it where it was a level's.
    pub fn end(&mut self) -> Option<u8> {
        let vector = self.in_service.highest()?;
        self.in_service.set(vector, false);
        self.levels.contains(vector).then_some(vector)
    }

    /// Returns whether the timer's deadline is a counter value that the guest wrote.
    #[must_use]
    pub const fn has_counter_deadline(&self) -> bool {
        self.entries[TIMER] >> 17 & 3 == 2
    }

    /// Lets the timer fire if it is time. Returns its vector, if that is not masked, and how many
    /// periods passed.
    pub fn tick(&mut self, now: u64) -> Option<(u8, u64)> {
        let deadline = self.timer.deadline.filter(|deadline| *deadline <= now)?;
        let period = self.timer.period();
        let is_periodic = self.entries[TIMER] >> 17 & 3 == 1;
        let mut fired = 1;
        self.timer.deadline = None;
        if is_periodic && period != 0 {
            fired += (now - deadline) / period;
            self.timer.deadline = Some(deadline + fired * period);
        }
        let entry = self.entries[TIMER];
        (entry & MASKED == 0).then_some((entry as u8, fired))
    }

    /// Starts the timer with a count; 0 stops it.
    pub fn start_timer(&mut self, count: u32, now: u64) {
        if self.has_counter_deadline() {
            return;
        }
        self.timer.initial = count;
        let end = now.saturating_add(self.timer.period());
        self.timer.deadline = (count != 0).then_some(end);
    }

    /// Returns what is left of the count.
    #[must_use]
    pub fn current_count(&self, now: u64) -> u32 {
        match self.timer.deadline {
            Some(deadline) if !self.has_counter_deadline() => {
                let left = deadline.saturating_sub(now).div_ceil(self.timer.unit());
                u32::try_from(left).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// Sets an entry of the vector table; a change between counts and deadlines stops the timer.
    pub fn set_entry(&mut self, index: usize, value: u32) {
        /// Bits that exist, by entry.
        const BITS: [u32; ENTRIES] = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff];
        let (Some(entry), Some(bits)) = (self.entries.get_mut(index), BITS.get(index)) else {
            return;
        };
        let before = *entry;
        *entry = value & bits;
        if self.spurious & ENABLED == 0 {
            *entry |= MASKED;
        }
        if index == TIMER && (before ^ value) >> 18 & 1 == 1 {
            self.timer.deadline = None;
        }
    }

    /// Sets the spurious vector register; disabling masks every entry.
    pub fn set_spurious(&mut self, value: u32) {
        self.spurious = value & 0x3ff;
        if value & ENABLED == 0 {
            for entry in &mut self.entries {
                *entry |= MASKED;
            }
        }
    }

    /// Returns when its vCPU has to leave its guest for the timer.
    #[must_use]
    pub fn wake(&self) -> Option<u64> {
        let is_open = self.is_enabled() && self.entries[TIMER] & MASKED == 0;
        self.timer.deadline.filter(|_| is_open)
    }

    /// Returns its logical identifier as an x2APIC.
    #[must_use]
    pub const fn extended_logical(&self) -> u32 {
        let index = self.index as u32;
        index >> 4 << 16 | 1 << (index & 0xf)
    }

    /// Returns whether a physical destination is it: `0xff` and all ones are everybody's.
    #[must_use]
    pub const fn is_physical(&self, destination: u32) -> bool {
        if self.is_extended() {
            destination == u32::MAX || destination == self.index as u32
        } else {
            destination == 0xff || destination == self.identifier as u32
        }
    }

    /// Returns whether a logical destination has it (`docs/semantics.md`, A1).
    #[must_use]
    pub const fn is_logical(&self, destination: u32) -> bool {
        if self.is_extended() {
            let own = self.extended_logical();
            return destination == u32::MAX
                || (own >> 16 == destination >> 16 && own & destination & 0xffff != 0);
        }
        let (own, wanted) = (self.logical, destination as u8);
        destination == 0xff
            || match self.format >> 28 {
                0xf => own & wanted != 0,
                0 => own >> 4 == wanted >> 4 && own & wanted & 0xf != 0,
                _ => false,
            }
    }

    /// Returns the interrupt command and its destination.
    #[must_use]
    pub const fn interrupt_command(&self) -> (Command, u32) {
        let [low, high] = self.command;
        let destination = if self.is_extended() { high } else { high >> 24 };
        (Command::from_bits(low), destination)
    }
}
