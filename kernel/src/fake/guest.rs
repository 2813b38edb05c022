//! The guest side of a fake vCPU.

use abi::exit::AccessInfo;
use abi::{Error, register};
use core::sync::atomic::{AtomicU64, Ordering};
use zerocopy::FromBytes;

use crate::arch::GuestRegisters;

/// Lines that a fake vCPU has.
pub const LINES: u64 = 0xff;
/// Id of the program counter.
pub const PROGRAM_COUNTER: u64 = 1;
/// Id of a register that takes only values below 256.
pub const BYTE: u64 = 2;
/// Id of the first general register.
pub const GENERAL: u64 = 0x100;
/// General registers.
pub const GENERALS: u64 = 32;

/// Word of the register page with what a decoder asks for.
pub const NOTED: usize = 31;

/// What a fake vCPU has beside its general registers.
#[derive(FromBytes)]
#[repr(C)]
pub struct FakeGuest {
    program_counter: AtomicU64,
    byte: AtomicU64,
    /// How often it was moved behind an instruction, which ends more than the instruction.
    skips: AtomicU64,
    /// When the timer fires, plus one; 0 is never.
    timer: AtomicU64,
    /// The lines that the guest sees.
    lines: AtomicU64,
    /// Lines that the guest cleared since it was entered.
    cleared: AtomicU64,
    /// 1 while its state is in a core.
    loaded: AtomicU64,
    /// Flushes of each kind, counted in kinds' order up to eight.
    flushes: [AtomicU64; 8],
    /// Blocks for hardware, as machines have them: a vCPU takes three pages, no power of two.
    blocks: [AtomicU64; 1024],
}

/// Returns the value of a word.
fn get(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

impl FakeGuest {
    /// Brings it into its reset state.
    pub fn reset(&self) {
        self.program_counter.store(0x1000, Ordering::Relaxed);
    }

    /// Notes that its state is or is not in a core.
    pub fn set_loaded(&self, loaded: bool) {
        let before = self.loaded.swap(u64::from(loaded), Ordering::Relaxed);
        assert_ne!(before, u64::from(loaded), "a guest is in one core at most");
    }

    /// Returns the lines that the guest sees.
    pub fn lines(&self) -> u64 {
        get(&self.lines)
    }

    /// Shows lines to the guest.
    pub fn show(&self, lines: u64) {
        assert_eq!(get(&self.loaded), 1, "lines are set in the core");
        self.lines.store(lines, Ordering::Relaxed);
        self.cleared.store(0, Ordering::Relaxed);
    }

    /// Lets the guest clear a line, as it can those that it raises itself.
    pub fn clear(&self, lines: u64) {
        self.lines.fetch_and(!lines, Ordering::Relaxed);
        self.cleared.fetch_or(lines, Ordering::Relaxed);
    }

    /// Returns the given lines without those that the guest cleared.
    pub fn remaining(&self, lines: u64) -> u64 {
        lines & !get(&self.cleared)
    }

    /// Returns when its timer fires; `u64::MAX` is never.
    pub fn timer(&self) -> u64 {
        get(&self.timer).wrapping_sub(1)
    }

    /// Notes a flush of translations.
    pub fn flushed(&self, kind: u64) {
        if let Some(count) = self
            .flushes
            .get(usize::try_from(kind).unwrap_or(usize::MAX))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how often translations of a kind were flushed.
    pub fn flushes(&self, kind: usize) -> u64 {
        get(&self.flushes[kind])
    }

    /// Returns its program counter.
    pub fn program_counter(&self) -> u64 {
        get(&self.program_counter)
    }

    /// Returns an access: this machine's hardware describes it by its [`AccessInfo`]. Where it does
    /// not, the program counter is put into the page, as what a decoder asks for.
    pub fn access<'r>(
        &self,
        description: u64,
        registers: impl FnOnce() -> GuestRegisters<'r>,
    ) -> Option<(AccessInfo, u64)> {
        if description == 0 {
            let noted = registers().get(NOTED);
            noted.inspect(|word| word.store(get(&self.program_counter), Ordering::Relaxed));
            return None;
        }
        let info = AccessInfo::from_bits(description);
        let value = match info.write() {
            true => get(&registers()[usize::from(info.register())]),
            false => 0,
        };
        Some((info, value))
    }

    /// Moves the program counter behind an instruction.
    pub fn skip(&self, length: u64) {
        self.program_counter.fetch_add(length, Ordering::Relaxed);
        self.skips.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads a register.
    pub fn read(&self, registers: Option<GuestRegisters<'_>>, id: u64) -> Result<u64, Error> {
        match id {
            PROGRAM_COUNTER => Ok(get(&self.program_counter)),
            BYTE => Ok(get(&self.byte)),
            register::TIMER_DEADLINE => Ok(get(&self.timer).wrapping_sub(1)),
            _ => Ok(get(general(registers, id)?)),
        }
    }

    /// Writes a register.
    pub fn write(
        &self,
        registers: Option<GuestRegisters<'_>>,
        id: u64,
        value: u64,
    ) -> Result<(), Error> {
        let place = match id {
            PROGRAM_COUNTER => &self.program_counter,
            BYTE if value > 0xff => return Err(Error::BadRegisterValue),
            BYTE => &self.byte,
            register::TIMER_DEADLINE => {
                self.timer.store(value.wrapping_add(1), Ordering::Relaxed);
                return Ok(());
            }
            _ => general(registers, id)?,
        };
        place.store(value, Ordering::Relaxed);
        Ok(())
    }
}

/// Returns the general register that `id` names.
fn general(registers: Option<GuestRegisters<'_>>, id: u64) -> Result<&AtomicU64, Error> {
    let index = id.checked_sub(GENERAL).filter(|index| *index < GENERALS);
    let index = index.and_then(|index| usize::try_from(index).ok());
    let word = index.and_then(|index| registers?.get(index));
    word.ok_or(Error::NoSuchRegister)
}
