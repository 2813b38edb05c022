//! Calls of the service processor (SCLP), one at a time.

use core::sync::atomic::{AtomicU8, Ordering};
use s390_regs::{Cr0, PswMask};

/// Bytes of the control block: one page, which it must not cross.
const BLOCK_BYTES: usize = 4096;
/// Bytes of its header: length, function code, control mask, response code.
const HEADER_BYTES: usize = 8;
/// Waits for an external interrupt.
const WAIT: u64 = PswMask::BITS_64
    .with_external(true)
    .with_wait(true)
    .into_bits();
/// The service signal is the only external interrupt that is taken.
const CR0: u64 = Cr0::new().with_service_signal(true).into_bits();

/// Service-call control block: big-endian fields, written by the service processor too.
#[repr(C, align(4096))]
struct ControlBlock([AtomicU8; BLOCK_BYTES]);

/// The only control block; the stub runs on one CPU.
static BLOCK: ControlBlock = ControlBlock([const { AtomicU8::new(0) }; BLOCK_BYTES]);

// r2 is the command, r3 the control block, r4 where a service signal goes on. The result in r2 is
// 0, or 3 where there is no service processor. A busy processor signals when it is not.
core::arch::global_asm!(
    ".section .text.service,\"ax\",@progbits",
    "service_call:",
    "larl %r1, 6f",
    "lctlg %c0, %c0, 0(%r1)",
    "larl %r1, 5f",
    "1: larl %r4, 1b",
    ".insn rre, 0xb2200000, %r2, %r3",
    "brc 2, 2f",
    "brc 1, 4f",
    "larl %r4, 3f",
    "2: lpswe 0(%r1)",
    ".globl service_signal",
    "service_signal: br %r4",
    "3: lghi %r2, 0",
    "br %r14",
    "4: lghi %r2, 3",
    "br %r14",
    ".balign 8",
    "5: .quad {wait}, 0",
    "6: .quad {cr0}",
    wait = const WAIT,
    cr0 = const CR0,
);

unsafe extern "C" {
    /// Makes a service call and waits for its end.
    ///
    /// # Safety
    ///
    /// 1. `block` is a control block for `command`, 8-aligned, below 2 GiB, at its real address.
    /// 2. The external new PSW leads to `service_signal`; no other external interrupt is enabled.
    /// 3. What the command does changes no memory that Rust code uses, but for atomics in `block`.
    fn service_call(command: u32, block: *const AtomicU8) -> u64;
}

/// Sends `data` behind a header; returns the response code, or 0 without a service processor.
pub fn call(command: u32, data: &[u8]) -> u16 {
    let length = HEADER_BYTES + data.len();
    let (high, low) = BLOCK.0.split_at(HEADER_BYTES);
    let header = (length as u16).to_be_bytes().into_iter().chain([0; 6]);
    for (place, byte) in high
        .iter()
        .zip(header)
        .chain(low.iter().zip(data.iter().copied()))
    {
        place.store(byte, Ordering::Relaxed);
    }
    // SAFETY: the block has a header and is a static of an image below 2 GiB that runs with DAT
    // off (1); the lowcore has that PSW and this CPU enables only the service signal (2); only the
    // commands of `console` are sent, which write into the block alone (3).
    let condition = unsafe { service_call(command, BLOCK.0.as_ptr()) };
    if condition == 0 {
        u16::from_be_bytes([byte(6), byte(7)])
    } else {
        0
    }
}

/// Returns a byte of the control block.
fn byte(index: usize) -> u8 {
    BLOCK
        .0
        .get(index)
        .map_or(0, |byte| byte.load(Ordering::Relaxed))
}
