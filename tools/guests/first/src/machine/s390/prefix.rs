//! This CPU's prefix area: 8 KiB at real address 0, of which software has some.

use core::ptr::with_exposed_provenance_mut;

use s390_regs::lowcore::SOFTWARE;

/// General registers of whom an external interruption interrupted; then of a program.
pub const EXTERNAL_REGISTERS: u64 = SOFTWARE;
pub const PROGRAM_REGISTERS: u64 = SOFTWARE + 0x80;
/// The processor's index.
pub const INDEX: u64 = SOFTWARE + 0x100;
/// Its stack when it starts.
pub const STACK: u64 = SOFTWARE + 0x108;
/// The context of a check of all general registers, and two words for what is stored then.
pub const CONTEXT: u64 = SOFTWARE + 0x110;
pub const PLACE: u64 = SOFTWARE + 0x118;
/// All general registers behind the instruction that is checked.
pub const AFTER: u64 = SOFTWARE + 0x180;

/// Reads a doubleword.
pub fn load(address: u64) -> u64 {
    // SAFETY: it is in the prefix area, which is there for ever, and is no null pointer.
    unsafe { with_exposed_provenance_mut::<u64>(address as usize).read_volatile() }
}

/// Writes a doubleword.
pub fn store(address: u64, value: u64) {
    // SAFETY: as above.
    unsafe { with_exposed_provenance_mut::<u64>(address as usize).write_volatile(value) }
}

/// Reads a halfword.
pub fn load_half(address: u64) -> u16 {
    // SAFETY: as above.
    unsafe { with_exposed_provenance_mut::<u16>(address as usize).read_volatile() }
}
