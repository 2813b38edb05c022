//! Interrupts and exceptions.

use core::arch::{asm, global_asm};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::{apic, port, processor, shadow};
use crate::interrupts::{self, PROCESSORS, Source};
use crate::machine::{Machine, This};

/// Vector of the timer.
pub const TIMER: u8 = 0x40;
/// Vector of interrupts by processors.
pub const PROCESSOR: u8 = 0x41;
/// Vector of the port.
pub const DEVICE: u8 = 0x42;
/// Vector of interrupts that were withdrawn.
pub const SPURIOUS: u8 = 0x4f;
/// Vectors that have a gate.
const GATES: usize = 0x50;
/// Invalid-opcode exception.
pub const INVALID_OPCODE: u64 = 6;
/// General-protection exception.
pub const GENERAL_PROTECTION: u64 = 13;

// A gate is 16 bytes of code: an error code where the processor gives none, then the vector.
global_asm!(
    ".pushsection .text,\"ax\",@progbits",
    ".balign 16",
    "_gates:",
    ".set vector, 0",
    ".rept {gates}",
    ".balign 16",
    ".if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)",
    "pushq $0",
    ".endif",
    "pushq $vector",
    "jmp _trap",
    ".set vector, vector + 1",
    ".endr",
    ".balign 16",
    "_trap:",
    "pushq %rax",
    "pushq %rcx",
    "pushq %rdx",
    "pushq %rsi",
    "pushq %rdi",
    "pushq %r8",
    "pushq %r9",
    "pushq %r10",
    "pushq %r11",
    "cld",
    "movq %rsp, %rdi",
    "pushq %rbp",
    "movq %rsp, %rbp",
    "andq $-16, %rsp",
    "callq {trap}",
    "movq %rbp, %rsp",
    "popq %rbp",
    "popq %r11",
    "popq %r10",
    "popq %r9",
    "popq %r8",
    "popq %rdi",
    "popq %rsi",
    "popq %rdx",
    "popq %rcx",
    "popq %rax",
    "addq $16, %rsp",
    "iretq",
    ".popsection",
    gates = const GATES,
    trap = sym trap,
    options(att_syntax),
);

unsafe extern "C" {
    static _gates: u8;
}

/// What a gate leaves on the stack.
#[repr(C)]
struct Frame {
    registers: [u64; 9],
    vector: u64,
    error: u64,
    instruction: u64,
}

/// The interrupt descriptor table, two words for each gate.
static TABLE: [AtomicU64; 2 * GATES] = [const { AtomicU64::new(0) }; 2 * GATES];

/// Fills the table: interrupt gates of the only code segment (SDM 3A, 6.14.1).
pub fn make_table() {
    let first = (&raw const _gates).addr() as u64;
    for (index, entry) in TABLE.chunks_exact(2).enumerate() {
        let at = first + 16 * index as u64;
        let low = at & 0xffff | 8 << 16 | 0x8e00 << 32 | (at >> 16 & 0xffff) << 48;
        entry[0].store(low, Relaxed);
        entry[1].store(at >> 32, Relaxed);
    }
}

/// Lets this processor use the table.
pub fn load_table() {
    let limit = (size_of_val(&TABLE) - 1) as u64;
    let base = TABLE.as_ptr().addr() as u64;
    let pointer = [limit << 48, base];
    // SAFETY: the pointer's last ten bytes are the limit and the base of the table.
    unsafe { asm!("lidt [{} + 6]", in(reg) pointer.as_ptr(), options(nostack)) };
}

/// An exception that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Its vector.
    pub vector: u64,
    /// Where it was taken.
    pub instruction: u64,
    /// Its error code.
    pub error: u64,
}

/// What a processor expects and gets: 0 for nothing, 1 for an exception, 2 for one that came; the
/// length of the instruction; then the three words of the exception.
static PLACES: [[AtomicU64; 5]; PROCESSORS] =
    [const { [const { AtomicU64::new(0) }; 5] }; PROCESSORS];

/// Does what may provoke an exception, and returns the exception. Execution went on behind the
/// instruction, which has `length` bytes.
pub fn catch(length: u64, action: impl FnOnce()) -> Option<Caught> {
    let [state, bytes, vector, instruction, error] = &PLACES[This::index()];
    bytes.store(length, Relaxed);
    state.store(1, Relaxed);
    action();
    (state.swap(0, Relaxed) == 2).then(|| Caught {
        vector: vector.load(Relaxed),
        instruction: instruction.load(Relaxed),
        error: error.load(Relaxed),
    })
}

/// Handles an interrupt or an exception.
extern "C" fn trap(frame: &mut Frame) {
    if frame.vector >= 32 {
        frame.instruction = shadow::resume_at(frame.instruction);
    }
    match u8::try_from(frame.vector) {
        Ok(TIMER) => {
            apic::end_interrupt();
            if apic::timer_is_due() {
                interrupts::note(Source::Timer);
            }
        }
        Ok(PROCESSOR) => {
            apic::end_interrupt();
            interrupts::note(Source::Processor);
        }
        Ok(DEVICE) => {
            port::quiet();
            apic::end_interrupt();
            interrupts::note(Source::Device);
        }
        Ok(32..) => {}
        _ => exception(frame),
    }
}

/// Notes an exception and goes on behind it. One that nobody expects ends the guest.
fn exception(frame: &mut Frame) {
    let places = &PLACES[processor::index()];
    let (vector, at, error) = (frame.vector, frame.instruction, frame.error);
    assert!(
        places[0].load(Relaxed) == 1,
        "exception {vector} at {at:#x}, error {error:#x}, on processor {}",
        processor::index()
    );
    places[0].store(2, Relaxed);
    for (place, word) in places[2..].iter().zip([vector, at, error]) {
        place.store(word, Relaxed);
    }
    frame.instruction += places[1].load(Relaxed);
}
