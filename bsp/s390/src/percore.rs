//! What entry code knows of its CPU: the software part of the prefix area.
//!
//! It lies at the same real address on every CPU, and is other memory on each. So a reference to it
//! never leaves the CPU; what others have to know of a CPU is in `cpu_address`.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::word::Word;
use s390_regs::lowcore;

/// One CPU, as entry code and traps see it.
#[repr(C)]
pub struct PerCore {
    /// Place for two registers while entry code finds its feet.
    pub scratch: [Word; 2],
    /// The PSW that the CPU returns to, or waits with.
    pub return_psw: [Word; 2],
    /// The PSW that the CPU returns to behind a system call; its mask never changes.
    pub call_psw: [Word; 2],
    /// Address of the registers that the next trap saves to.
    pub frame: Word,
    /// Stack pointer of the kernel at a trap.
    pub stack: Word,
    /// Stack pointer of `_wait`.
    pub resume: Word,
    /// The core's number in the kernel.
    pub core: Word,
    /// Address of the core's seat in the arena.
    pub seat: Word,
    /// Address of what the kernel knows of the core.
    pub state: Word,
    /// Control registers 0 and 1: which external interruptions are taken, and the space.
    pub control: [Word; 2],
    /// Control register 6: subclasses of input/output interruptions.
    pub control6: Word,
    /// Subclasses that interrupted and were not claimed, as in control register 6.
    pub subclasses: Word,
    /// 1 in its first byte while the registers are a guest's.
    pub in_guest: Word,
    /// Zeros for registers.
    pub zeros: [Word; 7],
}

/// Real address of the CPU's own.
const HERE: u64 = lowcore::SOFTWARE;
/// Real address of `scratch`, for entry code.
pub const SCRATCH: u64 = HERE + offset_of!(PerCore, scratch) as u64;
/// Real address of `return_psw`, for entry code.
pub const RETURN: u64 = HERE + offset_of!(PerCore, return_psw) as u64;
/// Real address of `call_psw`, for entry code.
pub const CALL_RETURN: u64 = HERE + offset_of!(PerCore, call_psw) as u64;
/// Real address of `frame`, for entry code.
pub const FRAME: u64 = HERE + offset_of!(PerCore, frame) as u64;
/// Real address of `stack`, for entry code.
pub const STACK: u64 = HERE + offset_of!(PerCore, stack) as u64;
/// Real address of `resume`, for entry code.
pub const RESUME: u64 = HERE + offset_of!(PerCore, resume) as u64;
/// Real address of `control`, for entry code.
pub const CONTROL: u64 = HERE + offset_of!(PerCore, control) as u64;
/// Real address of the byte of `in_guest`, for entry code.
pub const IN_GUEST: u64 = HERE + offset_of!(PerCore, in_guest) as u64;
/// Real address of `zeros`, for entry code: seven words.
pub const ZEROS: u64 = HERE + offset_of!(PerCore, zeros) as u64;

/// Returns the CPU that runs this code.
#[inline(always)]
pub fn current() -> &'static PerCore {
    // SAFETY: the prefix area is there from the first instruction on and is never used for
    // something else; a PerCore is made of atomics, of which any bits are valid. The reference is
    // used on this CPU only, for kernel code does not move between CPUs.
    unsafe { &*(HERE as *const PerCore) }
}

/// Returns the PerCore of a CPU that has not started, whose prefix area lies at an address that is
/// not in this CPU's.
pub fn of_stopped(prefix: u64) -> &'static PerCore {
    // SAFETY: the caller took the memory for a prefix area, which it stays; a PerCore is made of
    // atomics, of which any bits are valid.
    unsafe { &*((prefix + HERE) as *const PerCore) }
}

/// Returns a word of the prefix area that interruptions store to.
#[inline(always)]
pub fn stored(offset: u64) -> u64 {
    debug_assert!(offset.is_multiple_of(8) && offset != 0 && offset < lowcore::SOFTWARE);
    // SAFETY: the word is in this CPU's prefix area, aligned; interruptions of this CPU alone write
    // it, which do not happen meanwhile.
    unsafe { core::ptr::read_volatile(offset as *const u64) }
}

/// CPU addresses of all cores.
static ADDRESSES: [AtomicU64; abi::MAX_CORES] = [const { AtomicU64::new(0) }; abi::MAX_CORES];

/// Notes the CPU address of a core.
pub fn set_cpu_address(core: usize, address: u16) {
    if let Some(place) = ADDRESSES.get(core) {
        place.store(u64::from(address), Ordering::Relaxed);
    }
}

/// Returns the CPU address of a core.
pub fn cpu_address(core: usize) -> Option<u64> {
    ADDRESSES
        .get(core)
        .map(|place| place.load(Ordering::Relaxed))
}
