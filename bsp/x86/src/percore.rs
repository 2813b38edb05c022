//! What entry code knows of its core. In the kernel, GS has the address of this as its base.

use crate::descriptor::{self, Descriptors};
use core::mem::offset_of;
use kernel::word::Word;

/// One core, as entry code and traps see it.
#[repr(C, align(64))]
pub struct PerCore {
    /// Address of this.
    pub own: Word,
    /// End of the kernel stack.
    pub stack: Word,
    /// The core's number in the kernel.
    pub core: Word,
    /// Address of the core's seat in the arena.
    pub seat: Word,
    /// Address of what the kernel knows of the core.
    pub state: Word,
    /// The number of the core's local APIC.
    pub apic: Word,
    /// Interrupts that came in the kernel, as [`pending`] names them.
    pub pending: Word,
    /// The deadline that the timer is set to.
    pub timer: Word,
    /// Physical address of the hardware's pages of this core, where it runs guests.
    pub host: Word,
    /// Physical address of the control structure that VMX has loaded, or 0.
    pub loaded_guest: Word,
    /// Generation of the guest tags of this core.
    pub generation: Word,
    /// The next guest tag to hand out.
    pub next_space: Word,
    /// 0 while cached translations of an earlier generation may be left.
    pub is_fresh: Word,
    /// Segments, task state and interrupt stacks.
    pub descriptors: Descriptors,
}

/// Bits of [`PerCore::pending`].
pub mod pending {
    /// Another core sent an interrupt.
    pub const IPI: u64 = 1;
    /// The timer fired.
    pub const TIMER: u64 = 2;
    /// A device's interrupt is in service at the APIC.
    pub const EXTERNAL: u64 = 4;
}

/// Offset of `own`, for entry code.
pub const OWN: usize = offset_of!(PerCore, own);
/// Offset of the end of the frame that the next trap or system call out of user mode saves to, for
/// entry code.
pub const FRAME_END: usize = offset_of!(PerCore, descriptors) + descriptor::FRAME_END;
/// Offset of `stack`, for entry code.
pub const STACK: usize = offset_of!(PerCore, stack);

impl PerCore {
    /// Makes a core that has not started.
    pub const fn new() -> Self {
        Self {
            own: Word::new(0),
            stack: Word::new(0),
            core: Word::new(0),
            seat: Word::new(0),
            state: Word::new(0),
            apic: Word::new(0),
            pending: Word::new(0),
            timer: Word::new(u64::MAX),
            host: Word::new(0),
            loaded_guest: Word::new(0),
            generation: Word::new(1),
            next_space: Word::new(1),
            is_fresh: Word::new(0),
            descriptors: Descriptors::new(),
        }
    }
}

/// All cores.
static CORES: [PerCore; abi::MAX_CORES] = [const { PerCore::new() }; abi::MAX_CORES];

/// Returns a core by its number.
pub fn get(core: usize) -> Option<&'static PerCore> {
    CORES.get(core)
}

/// Returns the core that runs this code.
#[inline(always)]
pub fn current() -> &'static PerCore {
    let address: *const PerCore;
    // SAFETY: in the kernel, GS has the address of an element of `CORES` as its base, and `own` of
    // that element is this address.
    unsafe {
        core::arch::asm!("mov {}, gs:[{}]", out(reg) address, const OWN,
            options(pure, readonly, nostack, preserves_flags));
    }
    // SAFETY: the element is never freed and shared by reference only.
    unsafe { &*address }
}

/// Returns the word at an offset of the core that runs this code, for short paths.
#[inline(always)]
fn word<const OFFSET: usize>() -> u64 {
    const { assert!(OFFSET.is_multiple_of(8) && OFFSET < size_of::<PerCore>()) };
    let value;
    // SAFETY: in the kernel, GS has the address of an element of `CORES` as its base.
    unsafe {
        core::arch::asm!("mov {}, gs:[{}]", out(reg) value, const OFFSET,
            options(readonly, nostack, preserves_flags));
    }
    value
}

/// Returns [`PerCore::seat`] of the core that runs this code.
#[inline(always)]
pub fn seat() -> u64 {
    word::<{ offset_of!(PerCore, seat) }>()
}

/// Returns the address behind the frame of the thread that this core ran last.
#[inline(always)]
pub fn frame_end() -> u64 {
    let value;
    // SAFETY: in the kernel, GS has the address of an element of `CORES` as its base.
    unsafe {
        core::arch::asm!("mov {}, gs:[{}]", out(reg) value, const FRAME_END,
            options(readonly, nostack, preserves_flags));
    }
    value
}

/// Returns [`PerCore::state`] of the core that runs this code.
#[inline(always)]
pub fn state() -> u64 {
    word::<{ offset_of!(PerCore, state) }>()
}
