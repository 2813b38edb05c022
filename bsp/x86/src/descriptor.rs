//! Segments, task state and the interrupt table (SDM 3A, "Protected-Mode Memory Management", "Task
//! State Segment" and "Interrupt Descriptor Table").

use crate::entry::{self, STUB_BYTES};
use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::word::Word;

/// Selector of the kernel's code.
pub const KERNEL_CODE: u64 = 1 << 3;
/// Selector of the kernel's data.
pub const KERNEL_DATA: u64 = 2 << 3;
/// Selector below those of user mode: SYSRET takes stack and code from the next two. There is no
/// code segment of 32 bits at it, so user mode is always in 64-bit mode.
const USER_BASE: u64 = 3 << 3;
/// Selector of user mode's data.
pub const USER_DATA: u64 = 4 << 3 | 3;
/// Selector of user mode's code.
pub const USER_CODE: u64 = 5 << 3 | 3;
/// Selector of the task state.
pub const TASK: u64 = 6 << 3;
/// IA32_STAR: what SYSCALL and SYSRET load.
pub const STAR: u64 = (USER_BASE | 3) << 48 | KERNEL_CODE << 32;

/// The segments but the task state: accessed, present; code is 64-bit.
const SEGMENTS: [u64; 6] = [
    0,
    0x0020_9b00_0000_0000,
    0x0000_9300_0000_0000,
    0,
    0x0000_f300_0000_0000,
    0x0020_fb00_0000_0000,
];

/// Words of the stack on which non-maskable interrupts are taken: they save five and use no more.
const NMI_STACK: usize = 16;
/// Interrupt stack of non-maskable interrupts.
const NMI: u64 = 1;
/// Interrupt stack of double faults and machine checks, from which nobody returns: the boot stack.
const FATAL: u64 = 2;

/// Task state: no more than stacks. Fields are at 4 modulo 8, hence the halves.
#[repr(C)]
struct TaskState {
    words: [core::sync::atomic::AtomicU32; 26],
}

impl TaskState {
    /// Sets the 64-bit field whose first half is word `index`.
    fn set(&self, index: usize, value: u64) {
        let [low, high] = [value as u32, (value >> 32) as u32];
        if let Some([first, second]) = self.words.get(index..index + 2) {
            first.store(low, Ordering::Relaxed);
            second.store(high, Ordering::Relaxed);
        }
    }
}

/// Offset of RSP0 in [`Descriptors`]: where the processor saves the interrupted registers of user
/// mode, downwards.
pub const FRAME_END: usize = offset_of!(Descriptors, task) + 4;

/// What the processor reads of one core.
#[repr(C, align(16))]
pub struct Descriptors {
    segments: [Word; 8],
    nmi_stack: [Word; NMI_STACK],
    task: TaskState,
}

impl Descriptors {
    /// Makes those of a core that has not started.
    pub const fn new() -> Self {
        Self {
            segments: [const { Word::new(0) }; 8],
            nmi_stack: [const { Word::new(0) }; NMI_STACK],
            task: TaskState {
                words: [const { core::sync::atomic::AtomicU32::new(0) }; 26],
            },
        }
    }

    /// Returns where task state and segments are.
    pub fn places(&self) -> (u64, u64) {
        (&raw const self.task as u64, &raw const self.segments as u64)
    }

    /// Loads the table of segments again, with its limit.
    pub fn load_segments(&self) {
        let table = TablePointer::new(self.places().1, 64);
        // SAFETY: it is the table that this core uses anyway.
        unsafe {
            asm!("lgdt [{}]", in(reg) &raw const table.limit, options(readonly, nostack, preserves_flags));
        }
    }

    /// Makes these the core's own, and fills them.
    pub fn load(&'static self) {
        for (word, value) in self.segments.iter().zip(SEGMENTS) {
            word.set(value);
        }
        let task = &raw const self.task as u64;
        let limit = size_of::<TaskState>() as u64 - 1;
        let low = limit | (task & 0xff_ffff) << 16 | 0x89 << 40 | (task >> 24 & 0xff) << 56;
        self.segments[6].set(low);
        self.segments[7].set(task >> 32);
        let nmi = &raw const self.nmi_stack as u64 + size_of_val(&self.nmi_stack) as u64;
        let fatal = &raw const entry::_boot_stack_end as u64;
        self.task.set(9 + 2 * (NMI as usize - 1), nmi);
        self.task.set(9 + 2 * (FATAL as usize - 1), fatal);
        // No port is user mode's: the bitmap begins behind the segment.
        self.task.words[25].store((limit as u32 + 1) << 16, Ordering::Relaxed);
        let table = TablePointer::new(&raw const self.segments as u64, 64);
        // SAFETY: the table is static and filled; its code segment is the kind that runs now, so
        // the far return goes on behind itself, and data segments have no effect in 64-bit mode.
        unsafe {
            asm!(
                "lgdt [{table}]",
                "push {code}",
                "lea {scratch}, [rip + 2f]",
                "push {scratch}",
                "retfq",
                "2:",
                "mov ss, {data:e}",
                "mov ds, {null:e}",
                "mov es, {null:e}",
                "mov fs, {null:e}",
                "mov gs, {null:e}",
                "ltr {task:x}",
                table = in(reg) &raw const table.limit,
                code = const KERNEL_CODE,
                data = in(reg) KERNEL_DATA,
                null = in(reg) 0_u64,
                task = in(reg) TASK,
                scratch = out(reg) _,
            );
        }
        load_interrupt_table();
    }
}

/// The operand of LGDT and LIDT: limit, then address, ten bytes from byte 6 of the words on.
#[repr(C, align(16))]
struct TablePointer {
    unused: [u16; 3],
    limit: u16,
    base: u64,
}

impl TablePointer {
    /// Makes the operand for `bytes` at `base`.
    const fn new(base: u64, bytes: u16) -> Self {
        Self {
            unused: [0; 3],
            limit: bytes - 1,
            base,
        }
    }
}

/// The interrupt table, of all cores.
static INTERRUPTS: [[AtomicU64; 2]; 256] = [const { [const { AtomicU64::new(0) }; 2] }; 256];

/// Fills the interrupt table; once, before any core loads it.
pub fn make_interrupt_table() {
    let stubs = &raw const entry::_trap_stubs as u64;
    for (vector, gate) in INTERRUPTS.iter().enumerate() {
        let handler = match vector {
            2 => entry::_nmi_entry as *const () as u64,
            8 | 18 => entry::_fatal_entry as *const () as u64,
            0xff => entry::_spurious_entry as *const () as u64,
            0..32 => stubs + vector as u64 * STUB_BYTES,
            _ => entry::interrupt_stub(vector),
        };
        let stack = match vector {
            2 => NMI,
            8 | 18 => FATAL,
            _ => 0,
        };
        // A breakpoint is the one trap that user mode may ask for by its instruction.
        let privilege = if vector == 3 { 3 } else { 0 };
        let kind = 0x8e | privilege << 5;
        let low = handler & 0xffff
            | KERNEL_CODE << 16
            | stack << 32
            | kind << 40
            | (handler >> 16 & 0xffff) << 48;
        gate[0].store(low, Ordering::Relaxed);
        gate[1].store(handler >> 32, Ordering::Relaxed);
    }
}

/// Returns where the interrupt table is.
pub fn interrupt_table() -> u64 {
    &raw const INTERRUPTS as u64
}

/// Loads the interrupt table.
fn load_interrupt_table() {
    let table = TablePointer::new(interrupt_table(), 4096);
    // SAFETY: the table is static, filled, and its handlers expect what the processor does.
    unsafe {
        asm!("lidt [{}]", in(reg) &raw const table.limit, options(readonly, nostack, preserves_flags));
    }
}
