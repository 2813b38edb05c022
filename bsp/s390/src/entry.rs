//! The lowcore's PSWs, and entry by IPL or by QEMU's `-kernel`: from either architecture mode to
//! 64-bit addresses, DAT off.
//!
//! The lowcore is part of the image: whatever interrupts the stub loads a PSW from it. All but the
//! service signal stop the machine, with the lowcore address of the new PSW as the PSW address.

use s390_regs::PswMask;

/// Bytes of the boot stack.
const STACK_BYTES: usize = 16 << 10;
/// Bytes that a caller leaves above its frame for the callee (s390x ELF ABI, "Stack Frame Layout").
const FRAME_BYTES: usize = 160;
/// 64-bit addresses, nothing enabled.
const RUN: u64 = PswMask::BITS_64.into_bits();
/// A disabled wait: stops the CPU for good.
const STOP: u64 = PswMask::BITS_64.with_wait(true).into_bits();

core::arch::global_asm!(
    ".section .lowcore,\"a\",@progbits",
    // IPL PSW: ESA/390, 31-bit addresses, at 0x10000.
    ".long 0x00080000, 0x80010000",
    ".org 0x1a0",
    // Restart, external, supervisor call, program, machine check, input/output.
    ".quad {run}, entry",
    ".quad {run}, service_signal",
    ".quad {stop}, 0x1c0",
    ".quad {stop}, 0x1d0",
    ".quad {stop}, 0x1e0",
    ".quad {stop}, 0x1f0",

    ".section .head,\"ax\",@progbits",
    ".globl entry",
    "entry:",
    // Set architecture: z/Architecture for all CPUs; refused where it is that already.
    "lhi %r1, 1",
    "slr %r0, %r0",
    "sigp %r1, %r0, 0x12",
    "sam64",
    // The high halves hold anything after an IPL in ESA/390 mode.
    "larl %r15, boot_stack_end - {frame_bytes}",
    "larl %r2, __bss_start",
    "larl %r3, __bss_end",
    "lghi %r0, 0",
    "1: clgr %r2, %r3",
    "jnl 2f",
    "stg %r0, 0(%r2)",
    "aghi %r2, 8",
    "j 1b",
    "2: stg %r0, 0(%r15)",
    "brasl %r14, {start}",
    "j .",

    ".section .bss.stack,\"aw\",@nobits",
    ".balign 16",
    ".skip {stack_bytes}",
    "boot_stack_end:",
    run = const RUN,
    stop = const STOP,
    frame_bytes = const FRAME_BYTES,
    stack_bytes = const STACK_BYTES,
    start = sym crate::start,
);
