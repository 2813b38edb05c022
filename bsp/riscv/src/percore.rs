//! What entry code knows of its hart. The kernel runs with the address of this in tp.

use core::mem::offset_of;
use kernel::word::Word;

/// One hart, as entry code and traps see it.
#[repr(C, align(64))]
pub struct PerCore {
    /// Place for a register while entry code finds its feet.
    pub scratch: Word,
    /// Address of the registers that the next trap saves to.
    pub frame: Word,
    /// End of the kernel stack.
    pub stack: Word,
    /// The core's number in the kernel.
    pub core: Word,
    /// Address of the core's seat in the arena.
    pub seat: Word,
    /// Address of what the kernel knows of the core.
    pub state: Word,
    /// The hart's number in the machine.
    pub hart: Word,
    /// [`THREAD`] or [`GUEST`].
    pub mode: Word,
    /// Generation of the guest tags of this hart.
    pub tag_generation: Word,
    /// The next guest tag to hand out.
    pub next_tag: Word,
    /// The deadline that the timer is set to.
    pub timer: Word,
}

/// `PerCore::mode`: a thread runs.
pub const THREAD: u64 = 0;
/// `PerCore::mode`: a guest runs.
pub const GUEST: u64 = 1;

/// Offset of `scratch`, for entry code.
pub const SCRATCH: usize = offset_of!(PerCore, scratch);
/// Offset of `frame`, for entry code.
pub const FRAME: usize = offset_of!(PerCore, frame);
/// Offset of `mode`, for entry code.
pub const MODE: usize = offset_of!(PerCore, mode);
/// Offset of `stack`, for entry code.
pub const STACK: usize = offset_of!(PerCore, stack);

impl PerCore {
    /// Makes a hart that has not started.
    pub const fn new() -> Self {
        Self {
            scratch: Word::new(0),
            frame: Word::new(0),
            stack: Word::new(0),
            core: Word::new(0),
            seat: Word::new(0),
            state: Word::new(0),
            hart: Word::new(0),
            mode: Word::new(0),
            tag_generation: Word::new(1),
            next_tag: Word::new(1),
            timer: Word::new(u64::MAX),
        }
    }
}

/// All harts.
static CORES: [PerCore; abi::MAX_CORES] = [const { PerCore::new() }; abi::MAX_CORES];

/// Returns a hart by its core number.
pub fn get(core: usize) -> Option<&'static PerCore> {
    CORES.get(core)
}

/// Returns the hart that runs this code.
#[inline(always)]
pub fn current() -> &'static PerCore {
    let address: *const PerCore;
    // SAFETY: reads one register.
    unsafe {
        core::arch::asm!("mv {}, tp", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: in the kernel, tp holds the address of an element of `CORES`, which is never freed
    // and shared by reference only.
    unsafe { &*address }
}

/// Returns the word at an offset of the hart that runs this code, for short paths.
#[inline(always)]
fn word<const OFFSET: usize>() -> u64 {
    const { assert!(OFFSET.is_multiple_of(8) && OFFSET < size_of::<PerCore>()) };
    let value;
    // SAFETY: in the kernel, tp holds the address of an element of `CORES`, of which this is a word.
    unsafe {
        core::arch::asm!("ld {}, {}(tp)", out(reg) value, const OFFSET, options(readonly, nostack, preserves_flags));
    }
    value
}

/// Returns [`PerCore::frame`] of the hart that runs this code.
#[inline(always)]
pub fn frame() -> u64 {
    word::<FRAME>()
}

/// Returns [`PerCore::seat`] of the hart that runs this code.
#[inline(always)]
pub fn seat() -> u64 {
    word::<{ offset_of!(PerCore, seat) }>()
}

/// Returns [`PerCore::state`] of the hart that runs this code.
#[inline(always)]
pub fn state() -> u64 {
    word::<{ offset_of!(PerCore, state) }>()
}
