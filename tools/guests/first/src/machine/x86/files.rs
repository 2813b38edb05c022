//! Register files that the guest's code does not use: x87, SSE, AVX, control and model-specific
//! registers.

use core::arch::asm;

use super::processor::{read_register, saved_features, write_register};
use crate::machine::RegisterFile;
use crate::report::{Verdict, Why, equal};

/// The files.
pub const FILES: [RegisterFile; 3] = [
    RegisterFile {
        name: "floating_point",
        fill: fill_float,
        check: check_float,
        is_taken_by_traps: false,
    },
    RegisterFile {
        name: "vector",
        fill: fill_vector,
        check: check_vector,
        is_taken_by_traps: false,
    },
    RegisterFile {
        name: "control",
        fill: fill_control,
        check: check_control,
        is_taken_by_traps: false,
    },
];

/// The area of FXSAVE, and behind it that of XSAVE up to the upper halves of AVX.
#[repr(C, align(64))]
struct Area([u64; 104]);

/// Word of the area with MXCSR in its lower half.
const MXCSR: usize = 3;
/// The eight registers of x87, two words each, of the second of which 16 bits are used.
const X87: usize = 4;
/// The sixteen registers of SSE, two words each.
const SSE: usize = 20;
/// What XSAVE says of what it saved.
const HEADER: usize = 64;
/// Upper halves of the sixteen registers of AVX (its place in the standard format).
const AVX: usize = 72;
/// Exceptions of SSE are masked; the rest of MXCSR is free to choose, but for what is reserved.
const MXCSR_MASKS: u64 = 0x1f80;

/// Returns the value of a word for a seed.
fn value(seed: u64, word: usize) -> u64 {
    (seed ^ (word as u64 + 1))
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
        .rotate_left(29)
}

/// Returns MXCSR for a seed: rounding mode, flags, flush to zero.
const fn status(seed: u64) -> u64 {
    MXCSR_MASKS | seed & 0xe03f
}

/// Returns the area of FXSAVE for a seed.
fn area(seed: u64) -> Area {
    let mut area = Area([0; 104]);
    // Control word 0x37f; all eight registers of x87 are in use.
    area.0[0] = 0xff_0000_037f;
    area.0[MXCSR] = status(seed);
    for register in 0..8 {
        area.0[X87 + 2 * register] = value(seed, register) | 1 << 63;
        area.0[X87 + 2 * register + 1] = value(seed, 8 + register) & 0xffff;
    }
    for word in 0..32 {
        area.0[SSE + word] = value(seed, 16 + word);
    }
    area
}

/// Fills x87 and SSE.
fn fill_float(seed: u64) -> Verdict {
    let area = area(seed);
    // SAFETY: writes registers that no compiled code uses.
    unsafe { asm!("fxrstor64 [{}]", in(reg) &raw const area, options(nostack)) };
    Ok(1)
}

/// Compares x87 and SSE.
fn check_float(seed: u64) -> Verdict {
    let mut found = Area([0; 104]);
    // SAFETY: writes the area.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut found, options(nostack)) };
    let expected = area(seed);
    equal("x87 control", expected.0[0], found.0[0] & 0xff_ffff_ffff)?;
    equal("MXCSR", expected.0[MXCSR], found.0[MXCSR] & 0xffff_ffff)?;
    for word in X87..SSE {
        let mask = if word % 2 == 0 { u64::MAX } else { 0xffff };
        equal("x87 register", expected.0[word], found.0[word] & mask)?;
    }
    for word in SSE..SSE + 32 {
        equal("SSE register", expected.0[word], found.0[word])?;
    }
    Ok(1)
}

/// Says why there is no AVX.
fn need_vector() -> Result<(), Why> {
    if saved_features() & 4 == 0 {
        return Err(Why::Skipped("the processor has no AVX"));
    }
    Ok(())
}

/// Fills AVX by XRSTOR.
fn fill_vector(seed: u64) -> Verdict {
    need_vector()?;
    let mut area = area(seed);
    area.0[HEADER] = 7;
    for word in 0..32 {
        area.0[AVX + word] = value(seed, 64 + word);
    }
    // SAFETY: writes registers that no compiled code uses; the area is as the format says.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) &raw const area, in("eax") 7, in("edx") 0, options(nostack));
    }
    Ok(1)
}

/// Compares AVX.
fn check_vector(seed: u64) -> Verdict {
    need_vector()?;
    let mut found = Area([0; 104]);
    // SAFETY: writes the area.
    unsafe {
        asm!("xsave64 [{}]", in(reg) &raw mut found, in("eax") 7, in("edx") 0, options(nostack));
    }
    for word in 0..32 {
        equal("SSE register", value(seed, 16 + word), found.0[SSE + word])?;
        equal("AVX register", value(seed, 64 + word), found.0[AVX + word])?;
    }
    Ok(1)
}

/// Model-specific registers that hold any canonical address, by number.
const ADDRESSES: [u32; 6] = [
    0x175,       // SYSENTER_ESP
    0x176,       // SYSENTER_EIP
    0xc000_0082, // LSTAR
    0xc000_0083, // CSTAR
    0xc000_0100, // FS base
    0xc000_0102, // kernel GS base
];
/// Others, each with the bits that it keeps.
const OTHERS: [(u32, u64); 4] = [
    (0x174, 0xffff),                      // SYSENTER_CS
    (0x277, 0x0505_0505_0505_0505),       // PAT: UC, WC, WT or WP in each entry
    (0xc000_0081, 0xffff_ffff_0000_0000), // STAR
    (0xc000_0084, 0xffff_ffff),           // SFMASK
];

/// Writes a debug register or CR2 or CR8 by name.
macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: no compiled code depends on the register, and no breakpoint is switched on.
        unsafe { asm!(concat!("mov ", $name, ", {}"), in(reg) value, options(nostack)) };
    }};
}
/// Reads a register by name.
macro_rules! read {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading the register has no effect.
        unsafe { asm!(concat!("mov {}, ", $name), out(reg) value, options(nostack)) };
        value
    }};
}

/// Returns an address of the lower half for a seed.
fn address(seed: u64, register: usize) -> u64 {
    value(seed, register) >> 17
}

/// Fills control, debug and model-specific registers.
fn fill_control(seed: u64) -> Verdict {
    for (index, number) in ADDRESSES.into_iter().enumerate() {
        write_register(number, address(seed, index));
    }
    for (index, (number, bits)) in OTHERS.into_iter().enumerate() {
        write_register(number, value(seed, 16 + index) & bits);
    }
    write!("cr2", value(seed, 32));
    write!("dr0", address(seed, 33));
    write!("dr1", address(seed, 34));
    write!("dr2", address(seed, 35));
    write!("dr3", address(seed, 36));
    Ok(1)
}

/// Compares them.
fn check_control(seed: u64) -> Verdict {
    for (index, number) in ADDRESSES.into_iter().enumerate() {
        let found = read_register(number);
        equal("a register with an address", address(seed, index), found)?;
    }
    for (index, (number, bits)) in OTHERS.into_iter().enumerate() {
        let expected = value(seed, 16 + index) & bits;
        equal("a model-specific register", expected, read_register(number))?;
    }
    equal("cr2", value(seed, 32), read!("cr2"))?;
    equal("dr0", address(seed, 33), read!("dr0"))?;
    equal("dr1", address(seed, 34), read!("dr1"))?;
    equal("dr2", address(seed, 35), read!("dr2"))?;
    equal("dr3", address(seed, 36), read!("dr3"))?;
    equal("cr8", 0, read!("cr8"))
}
