//! Floating-point and access registers.
//!
//! Nobody but guests has them. Processes run without the AFP-register control of CR0, so that every
//! binary or decimal instruction, the floating-point control register, and all but four registers
//! are data exceptions. FPRs 0, 2, 4 and 6 can be loaded and stored whatever CR0 says, and so can
//! access registers, of which 0 and 1 are the thread pointer: these are cleared whenever another
//! process's space is loaded and when a guest is left, so that nobody reads what others left there.

use crate::control;
use crate::percore::{PerCore, ZEROS};
use core::arch::asm;
use kernel::word::Word;
use s390_regs::Cr0;

/// The bit of CR0 that lets all floating-point registers and instructions be used.
pub const AFP: u64 = Cr0::new().with_additional_float(true).into_bits();

/// Floating-point registers 0 to 15; their control register is apart.
pub type Registers = [Word; 16];

/// Clears what a process can read of registers that are not its own.
#[inline(always)]
pub fn clear() {
    // SAFETY: no code of the kernel uses these registers; LAMY reads 56 bytes of zeros.
    unsafe {
        asm!(
            "lzdr %f0",
            "lzdr %f2",
            "lzdr %f4",
            "lzdr %f6",
            "lamy %a2, %a15, {zeros}",
            zeros = const ZEROS,
            options(nostack, preserves_flags, readonly),
        );
    }
}

/// Does something with all floating-point registers allowed.
fn with_all(cpu: &PerCore, work: impl FnOnce()) {
    let [control0, _] = &cpu.control;
    control::load!("0", control0.get() | AFP);
    work();
    control::load!("0", control0.get());
}

/// Loads the registers that processes cannot reach; `_sie_enter` does the others.
pub fn load(cpu: &PerCore, registers: &Registers, fpc: &Word) {
    with_all(cpu, || {
        // SAFETY: the registers are nobody else's now. LD and LFPC read the two operands, of which
        // the control word was checked or stored by STFPC.
        unsafe {
            asm!(
                "ld %f1, 8({registers})",
                "ld %f3, 24({registers})",
                "ld %f5, 40({registers})",
                "ld %f7, 56({registers})",
                "ld %f8, 64({registers})",
                "ld %f9, 72({registers})",
                "ld %f10, 80({registers})",
                "ld %f11, 88({registers})",
                "ld %f12, 96({registers})",
                "ld %f13, 104({registers})",
                "ld %f14, 112({registers})",
                "ld %f15, 120({registers})",
                "lfpc 4({fpc})",
                registers = in(reg_addr) registers.as_ptr(),
                fpc = in(reg_addr) fpc,
                options(nostack, preserves_flags, readonly),
            );
        }
    });
}

/// Saves the registers that processes cannot reach.
pub fn save(cpu: &PerCore, registers: &Registers, fpc: &Word) {
    with_all(cpu, || {
        // SAFETY: STD and STFPC write the two operands, atomics that this CPU alone uses now.
        unsafe {
            asm!(
                "std %f1, 8({registers})",
                "std %f3, 24({registers})",
                "std %f5, 40({registers})",
                "std %f7, 56({registers})",
                "std %f8, 64({registers})",
                "std %f9, 72({registers})",
                "std %f10, 80({registers})",
                "std %f11, 88({registers})",
                "std %f12, 96({registers})",
                "std %f13, 104({registers})",
                "std %f14, 112({registers})",
                "std %f15, 120({registers})",
                "stfpc 4({fpc})",
                registers = in(reg_addr) registers.as_ptr(),
                fpc = in(reg_addr) fpc,
                options(nostack, preserves_flags),
            );
        }
    });
}
