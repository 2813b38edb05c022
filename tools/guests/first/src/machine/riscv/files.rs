//! Register files that the guest's code does not use: floating point, vector, control registers.

use core::arch::{asm, global_asm};

use super::catch::catch;
use super::csr;
use super::facts::facts;
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
        is_taken_by_traps: true,
    },
];

/// Bytes of the longest vector register that is looked at.
const VECTOR_BYTES: usize = 64;
/// All vector registers.
type Vectors = [u8; 32 * VECTOR_BYTES];

// Memory to registers and back, all of them.
global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    ".option push",
    ".option arch, +d, +v",
    "_load_float:",
    "    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "    fld f\\n, (\\n*8)(a0)",
    "    .endr",
    "    fscsr a1",
    "    ret",
    "_store_float:",
    "    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "    fsd f\\n, (\\n*8)(a0)",
    "    .endr",
    "    frcsr a0",
    "    ret",
    "_load_vector:",
    "    csrr t0, vlenb",
    "    slli t0, t0, 3",
    "    .irp n, 0, 8, 16, 24",
    "    vl8re8.v v\\n, (a0)",
    "    add a0, a0, t0",
    "    .endr",
    "    vsetvl t0, a1, a2",
    "    csrw vcsr, a3",
    "    ret",
    "_store_vector:",
    "    csrr t0, vlenb",
    "    slli t0, t0, 3",
    "    .irp n, 0, 8, 16, 24",
    "    vs8r.v v\\n, (a0)",
    "    add a0, a0, t0",
    "    .endr",
    "    ret",
    ".option pop",
    ".popsection",
);

unsafe extern "C" {
    fn _load_float(values: *const [u64; 32], control: u64);
    fn _store_float(values: *mut [u64; 32]) -> u64;
    fn _load_vector(values: *const Vectors, length: u64, kind: u64, control: u64);
    fn _store_vector(values: *mut Vectors);
}

/// Returns the value of a register for a seed.
fn value(seed: u64, register: usize) -> u64 {
    (seed ^ (register as u64 + 1))
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
        .rotate_left(29)
}

/// Returns rounding mode and flags for a seed.
fn float_control(seed: u64) -> u64 {
    (seed % 5) << 5 | seed >> 8 & 31
}

/// Fills f0 to f31 and fcsr.
fn fill_float(seed: u64) -> Verdict {
    let values: [u64; 32] = core::array::from_fn(|register| value(seed, register));
    // SAFETY: writes registers that no compiled code uses.
    unsafe { _load_float(&raw const values, float_control(seed)) };
    Ok(1)
}

/// Compares f0 to f31 and fcsr.
fn check_float(seed: u64) -> Verdict {
    let mut values = [0; 32];
    // SAFETY: writes the array.
    let control = unsafe { _store_float(&raw mut values) };
    for (register, found) in values.into_iter().enumerate() {
        equal("floating-point register", value(seed, register), found)?;
    }
    equal("fcsr", float_control(seed), control)
}

/// Returns the bytes of a vector register, which it switches on; says why there is none. Registers
/// that are there although nobody tells of them are somebody's who did not clear them.
fn vector_bytes() -> Result<usize, Why> {
    csr::set!("sstatus", csr::VS_INITIAL);
    let mut bytes = 0_usize;
    // SAFETY: reads vlenb, or is illegal, which is caught.
    let caught = catch(|| unsafe { asm!("csrr {}, 0xc22", out(reg) bytes, options(nostack)) });
    match bytes {
        _ if caught.is_some() => Err(Why::Skipped("the hart has no vector registers")),
        _ if !facts().has_vector => Err(Why::Broken {
            what: "vector registers that the device tree does not have",
            expected: 0,
            found: bytes as u64,
        }),
        1..=VECTOR_BYTES => Ok(bytes),
        _ => Err(Why::Skipped(
            "vector registers of more bytes than are looked at",
        )),
    }
}

/// Returns what all vector registers have for a seed.
fn vectors(seed: u64) -> Vectors {
    core::array::from_fn(|byte| value(seed, byte) as u8)
}

/// Returns vl, vtype and vcsr for a seed; vl is below every possible limit.
const fn vector_control(seed: u64) -> (u64, u64, u64) {
    (1 + seed % 2, ((seed >> 4) % 4) << 3, (seed >> 8) % 8)
}

/// Fills v0 to v31, vl, vtype and vcsr.
fn fill_vector(seed: u64) -> Verdict {
    vector_bytes()?;
    let (length, kind, control) = vector_control(seed);
    let values = vectors(seed);
    // SAFETY: writes registers that no compiled code uses; the array is long enough.
    unsafe { _load_vector(&raw const values, length, kind, control) };
    Ok(1)
}

/// Compares them.
fn check_vector(seed: u64) -> Verdict {
    let bytes = 32 * vector_bytes()?;
    let (length, kind, control) = vector_control(seed);
    equal("vl", length, csr::read!("0xc20"))?;
    equal("vtype", kind, csr::read!("0xc21"))?;
    equal("vcsr", control, csr::read!("0x00f"))?;
    let mut values: Vectors = [0; 32 * VECTOR_BYTES];
    // SAFETY: writes the array, which is long enough.
    unsafe { _store_vector(&raw mut values) };
    let expected = vectors(seed);
    for (found, expected) in values.into_iter().zip(expected).take(bytes) {
        equal("byte of a vector register", expected.into(), found.into())?;
    }
    Ok(1)
}

/// Bits of sstatus that are tried.
const STATUS: u64 = csr::SPIE | csr::SPP | csr::SUM | csr::MXR;

/// Fills the registers of traps and the bits of sstatus; interrupts are masked.
fn fill_control(seed: u64) -> Verdict {
    csr::write!("sscratch", value(seed, 0));
    csr::write!("sepc", value(seed, 1) & !3);
    csr::write!("stval", value(seed, 2));
    csr::write!("scause", value(seed, 3) % 16);
    csr::clear!("sstatus", STATUS);
    csr::set!("sstatus", value(seed, 4) & STATUS);
    csr::write!("scounteren", value(seed, 5) & 7);
    Ok(1)
}

/// Compares them.
fn check_control(seed: u64) -> Verdict {
    equal("sscratch", value(seed, 0), csr::read!("sscratch"))?;
    equal("sepc", value(seed, 1) & !3, csr::read!("sepc"))?;
    equal("stval", value(seed, 2), csr::read!("stval"))?;
    equal("scause", value(seed, 3) % 16, csr::read!("scause"))?;
    equal(
        "sstatus",
        value(seed, 4) & STATUS,
        csr::read!("sstatus") & STATUS,
    )?;
    // TM is set in a virtual machine of ours while its servers have run: they read the time.
    let forced = if facts().is_virtual { 2 } else { 0 };
    let counters = value(seed, 5) & 7 | forced;
    equal("scounteren", counters, csr::read!("scounteren") | forced)?;
    equal("satp", 0, csr::read!("satp"))?;
    let interrupts = csr::SOFTWARE | csr::TIMER | csr::EXTERNAL;
    equal("sie", interrupts, csr::read!("sie"))
}
