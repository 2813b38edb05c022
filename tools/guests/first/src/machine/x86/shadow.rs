//! Standing still, and the shadow of STI: no interrupt comes between it and the instruction behind
//! it (SDM 2B, "STI"). A HLT there cannot miss the interrupt that it waits for.
//!
//! Where one comes there all the same, the processor would stand still for ever. So the handler says
//! so, which ends the guest. Bochs 3.0 leaves its guests for an interrupt window in that place, about
//! once in 100,000 times: with `shadow=emulated` on the command line it is counted, and the handler
//! goes on behind the HLT.

use core::arch::global_asm;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::facts::facts;
use crate::console::line;

global_asm!(
    ".pushsection .text,\"ax\",@progbits",
    ".globl _stand_still, _standing",
    "_stand_still:",
    "sti",
    "_standing:",
    "hlt",
    "cli",
    "retq",
    ".popsection",
    options(att_syntax),
);

unsafe extern "C" {
    fn _stand_still();
    static _standing: u8;
}

/// Bytes of HLT.
const HALT_BYTES: u64 = 1;
/// Interrupts that came in the shadow.
static BROKEN: AtomicU64 = AtomicU64::new(0);

/// Waits for an interrupt, and takes it; interrupts are masked before and after.
pub fn stand_still() {
    // SAFETY: the handlers are there; an interrupt that is pending ends the wait, for it is not taken
    // before that begins.
    unsafe { _stand_still() };
}

/// Returns where an interrupted processor goes on.
pub fn resume_at(instruction: u64) -> u64 {
    if instruction != (&raw const _standing).addr() as u64 {
        return instruction;
    }
    let is_emulated = facts()
        .command_line()
        .split(|byte| byte.is_ascii_whitespace() || *byte == 0)
        .any(|word| word == b"shadow=emulated");
    assert!(is_emulated, "an interrupt came between STI and HLT");
    BROKEN.fetch_add(1, Relaxed);
    instruction + HALT_BYTES
}

/// Tells how often an interrupt came in the shadow, if one did.
pub fn report() {
    let times = BROKEN.load(Relaxed);
    if times > 0 {
        line!("first: {times} interrupts came between STI and HLT");
    }
}
