//! Register files that the guest's code does not use: floating point, access and control registers.

use core::arch::{asm, global_asm};

use crate::machine::RegisterFile;
use crate::report::{Verdict, equal};

/// The files.
pub const FILES: [RegisterFile; 3] = [
    RegisterFile {
        name: "floating_point",
        fill: fill_float,
        check: check_float,
        is_taken_by_traps: false,
    },
    RegisterFile {
        name: "access",
        fill: fill_access,
        check: check_access,
        is_taken_by_traps: false,
    },
    RegisterFile {
        name: "control",
        fill: fill_control,
        check: check_control,
        is_taken_by_traps: false,
    },
];

/// Control registers that nothing here depends on while addresses are real: address spaces, keys,
/// the range of recorded events, the linkage stack.
const CONTROL: [usize; 10] = [1, 2, 3, 4, 5, 7, 10, 11, 13, 15];
/// What the floating-point control register keeps on every machine.
const FLOAT_CONTROL: u32 = 0xf8f8_0003;

// Memory to floating-point registers and back, all of them.
global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    "_load_float:",
    "    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "    ld %f\\n, (\\n*8)(%r2)",
    "    .endr",
    "    lfpc 128(%r2)",
    "    br %r14",
    "_store_float:",
    "    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "    std %f\\n, (\\n*8)(%r2)",
    "    .endr",
    "    stfpc 128(%r2)",
    "    br %r14",
    ".popsection",
);

/// Floating-point registers, and their control register.
#[repr(C)]
struct Float {
    values: [u64; 16],
    control: u32,
}

unsafe extern "C" {
    fn _load_float(values: *const Float);
    fn _store_float(values: *mut Float);
}

/// Returns the value of a register for a seed.
fn value(seed: u64, register: usize) -> u64 {
    (seed ^ (register as u64 + 1))
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
        .rotate_left(29)
}

/// Returns what the floating-point registers have for a seed.
fn float(seed: u64) -> Float {
    Float {
        values: core::array::from_fn(|register| value(seed, register)),
        control: value(seed, 16) as u32 & FLOAT_CONTROL,
    }
}

/// Fills f0 to f15 and their control register.
fn fill_float(seed: u64) -> Verdict {
    let float = float(seed);
    // SAFETY: writes registers that no compiled code uses.
    unsafe { _load_float(&raw const float) };
    Ok(1)
}

/// Compares them.
fn check_float(seed: u64) -> Verdict {
    let mut found = Float {
        values: [0; 16],
        control: 0,
    };
    // SAFETY: writes the structure.
    unsafe { _store_float(&raw mut found) };
    let expected = float(seed);
    for (expected, found) in expected.values.into_iter().zip(found.values) {
        equal("floating-point register", expected, found)?;
    }
    equal(
        "control register",
        expected.control.into(),
        found.control.into(),
    )
}

/// Fills access registers.
fn fill_access(seed: u64) -> Verdict {
    let values: [u32; 16] = core::array::from_fn(|register| value(seed, register) as u32);
    // SAFETY: writes registers that no compiled code uses.
    unsafe { asm!("lam %a0, %a15, 0({})", in(reg_addr) values.as_ptr(), options(nostack)) };
    Ok(1)
}

/// Compares them.
fn check_access(seed: u64) -> Verdict {
    let mut values = [0_u32; 16];
    // SAFETY: writes the array.
    unsafe { asm!("stam %a0, %a15, 0({})", in(reg_addr) values.as_mut_ptr(), options(nostack)) };
    for (register, found) in values.into_iter().enumerate() {
        equal(
            "access register",
            u64::from(value(seed, register) as u32),
            found.into(),
        )?;
    }
    Ok(1)
}

/// Returns all control registers.
fn control() -> [u64; 16] {
    let mut values = [0; 16];
    // SAFETY: writes the array.
    unsafe { asm!("stctg %c0, %c15, 0({})", in(reg_addr) values.as_mut_ptr(), options(nostack)) };
    values
}

/// Fills those control registers that are free.
fn fill_control(seed: u64) -> Verdict {
    let mut values = control();
    for register in CONTROL {
        values[register] = value(seed, register);
    }
    // SAFETY: nothing depends on those that change; the others keep their values.
    unsafe { asm!("lctlg %c0, %c15, 0({})", in(reg_addr) values.as_ptr(), options(nostack)) };
    Ok(1)
}

/// Compares them.
fn check_control(seed: u64) -> Verdict {
    let values = control();
    for register in CONTROL {
        equal("control register", value(seed, register), values[register])?;
    }
    Ok(1)
}
