//! APLIC in MSI mode and IMSIC (RISC-V Advanced Interrupt Architecture 1.0, chapters 3 and 4).
//!
//! Line n of the APLIC is sent as message n, to the interrupt file of the core that unmasked it.

use super::LINES;
use crate::{csr, percore};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::word::Word;

/// Physical address of the supervisor domain's registers, 0 where there is none.
static BASE: Word = Word::new(0);
/// Index of each core's interrupt file, as the APLIC's targets name it.
static FILES: [Word; abi::MAX_CORES] = [const { Word::new(0) }; abi::MAX_CORES];

/// siselect.
const SISELECT: u16 = 0x150;
/// sireg.
const SIREG: u16 = 0x151;
/// stopei.
const STOPEI: u16 = 0x15c;
/// Indirect register: interrupts of this file are delivered.
const EIDELIVERY: u64 = 0x70;
/// Indirect register: identities from this one on are not delivered; 0 is all are.
const EITHRESHOLD: u64 = 0x72;
/// First indirect register of the enable bits, 64 identities each.
const EIE: u64 = 0xc0;

/// domaincfg.
const DOMAIN: u64 = 0;
/// domaincfg: interrupts on, delivery by messages.
const DOMAIN_ON: u32 = 1 << 8 | 1 << 2;
/// sourcecfg of line 1.
const SOURCE: u64 = 4;
/// sourcecfg: active at a high level.
const LEVEL_HIGH: u32 = 6;
/// setipnum: sets a line's pending bit, where its level is high.
const SET_PENDING: u64 = 0x1cdc;
/// setienum.
const ENABLE: u64 = 0x1edc;
/// clrienum.
const DISABLE: u64 = 0x1fdc;
/// target of line 1.
const TARGET: u64 = 0x3004;

/// Notes where the supervisor domain of the APLIC is.
pub fn set_base(physical: u64) {
    BASE.set(physical);
}

/// Notes the index of a core's interrupt file.
pub fn set_file(core: usize, index: u64) {
    if let Some(file) = FILES.get(core) {
        file.set(index);
    }
}

/// Returns whether the machine has APLIC and IMSIC.
pub fn is_present() -> bool {
    BASE.get() != 0
}

/// Returns a register of the APLIC.
fn register(offset: u64) -> Option<&'static AtomicU32> {
    super::register(BASE.get() + offset)
}

/// Writes a register of the APLIC.
fn write(offset: u64, value: u32) {
    if let Some(register) = register(offset) {
        register.store(value, Ordering::Relaxed);
    }
}

/// Writes an indirect register of this core's interrupt file.
fn write_file(number: u64, value: u64) {
    csr::write!(SISELECT, number);
    csr::write!(SIREG, value);
}

/// Turns on the controller and this core's interrupt file.
pub fn start_core() {
    write(DOMAIN, DOMAIN_ON);
    for index in 0..u64::from(LINES / 64) {
        // Identities of one 64-bit register are two numbers apart (AIA 3.8.4).
        write_file(EIE + index * 2, u64::MAX);
    }
    write_file(EITHRESHOLD, 0);
    write_file(EIDELIVERY, 1);
}

/// Masks a line.
pub fn mask(line: u32) {
    write(DISABLE, line);
}

/// Unmasks a line for the core that runs this; a level that is high is sent at once.
pub fn unmask(line: u32) {
    let core = usize::try_from(percore::current().core.get()).unwrap_or(usize::MAX);
    let file = FILES.get(core).map_or(0, Word::get);
    let place = u64::from(line).saturating_sub(1) * 4;
    write(SOURCE + place, LEVEL_HIGH);
    write(
        TARGET + place,
        u32::try_from(file).unwrap_or(0) << 18 | line,
    );
    write(ENABLE, line);
    write(SET_PENDING, line);
}

/// Takes the line that interrupts this core and masks it.
pub fn claim() -> Option<u32> {
    let top = csr::read!(STOPEI);
    let line = u32::try_from(top >> 16 & 0x7ff)
        .ok()
        .filter(|line| *line != 0)?;
    csr::write!(STOPEI, 0);
    mask(line);
    Some(line)
}
