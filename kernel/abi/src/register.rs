//! Register ids of a vCPU, kept compatible with KVM's ONE_REG.
//!
//! Layout: architecture in the top byte, `log2(size in bytes)` in bits 55:52, then a space of the
//! machine's own. The machines' lists live in their `*-regs` crates.

/// Architecture byte of RISC-V ids.
pub const RISCV: u64 = 0x8000_0000_0000_0000;
/// Size field of a 32-bit register.
pub const SIZE_U32: u64 = 2 << 52;
/// Size field of a 64-bit register.
pub const SIZE_U64: u64 = 3 << 52;
/// Register ids that every machine has lie in this space: type byte 0xff.
const COMMON: u64 = SIZE_U64 | 0xff00_0000;
/// The guest's timer deadline in ticks of the machine's counter, delivered as the guest's timer
/// interrupt; `u64::MAX` is never.
pub const TIMER_DEADLINE: u64 = COMMON | 1;
/// Sequence number of the exit that waits to be consumed, or 0. Writing 0 to that of a stopped vCPU
/// gives the exit up: the vCPU goes on with its registers as they are.
pub const PENDING_EXIT: u64 = COMMON | 2;
/// Sequence number of the newest exit; readable while the vCPU runs.
pub const SEQUENCE: u64 = COMMON | 3;
/// 1 while the guest waits for an interrupt; readable while the vCPU runs.
pub const IS_IDLE: u64 = COMMON | 4;
/// Exits of the vCPU that the kernel handled itself: host interrupts.
pub const COUNT_INTERRUPTS: u64 = COMMON | 0x10;
/// Exits that the kernel handled itself: idle.
pub const COUNT_IDLE: u64 = COMMON | 0x11;
/// Exits that the kernel handled itself: first use of floating point.
pub const COUNT_FLOATING_POINT: u64 = COMMON | 0x12;
/// Exits sent to servers, by class: this id plus the class number.
pub const COUNT_CLASS: u64 = COMMON | 0x20;
/// Accesses described by hardware and sent straight to a device server, by route index.
pub const COUNT_ACCESS: u64 = COMMON | 0x40;
