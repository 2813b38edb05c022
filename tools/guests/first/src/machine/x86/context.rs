//! General registers across exits: all are filled, one instruction is executed, all are compared.

use core::arch::global_asm;

use super::{apic, port};
use crate::machine::{Machine, This};
use crate::report::{Law, Verdict, Why, equal};

/// Laws of the general registers.
pub const LAWS: [Law; 5] = [
    Law {
        name: "all_but_the_results_survive_an_identification",
        check: || survive(Instruction::Identify),
    },
    Law {
        name: "all_but_the_target_survive_a_port_load",
        check: || survive(Instruction::PortLoad),
    },
    Law {
        name: "all_survive_a_port_store",
        check: || survive(Instruction::PortStore),
    },
    Law {
        name: "all_but_the_target_survive_a_decoded_load",
        check: || survive(Instruction::Load),
    },
    Law {
        name: "all_survive_a_decoded_store",
        check: || survive(Instruction::Store),
    },
];

/// How often each is tried.
const ROUNDS: u64 = 1000;

/// An instruction that leaves the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Instruction {
    /// CPUID of leaf 0.
    Identify = 0,
    /// A load of the scratch register.
    PortLoad = 1,
    /// A store to it.
    PortStore = 2,
    /// A load of the task priority into r9, by r8.
    Load = 3,
    /// A store of r9 to it, by r8.
    Store = 4,
}

/// General registers before and after, in the order of their numbers.
#[repr(C)]
struct Context {
    before: [u64; 16],
    after: [u64; 16],
    flags: u64,
    kept: [u64; 7],
}

/// Number of RSP.
const RSP: usize = 4;
/// The status flags.
const FLAGS: u64 = 0x8d5;

// `_exit_with_all(context, instruction)`: a word of memory holds the context meanwhile. The status
// flags are all set while the registers are full.
global_asm!(
    ".pushsection .text,\"ax\",@progbits",
    "_exit_with_all:",
    "movq %rbx, 264(%rdi)",
    "movq %rbp, 272(%rdi)",
    "movq %r12, 280(%rdi)",
    "movq %r13, 288(%rdi)",
    "movq %r14, 296(%rdi)",
    "movq %r15, 304(%rdi)",
    "movq %rsp, 312(%rdi)",
    "movq %rdi, _context(%rip)",
    "pushfq",
    "orq $0x8d5, (%rsp)",
    "cmpq $1, %rsi",
    "jb 10f",
    "je 11f",
    "cmpq $3, %rsi",
    "jb 12f",
    "je 13f",
    "jmp 14f",
    ".macro fill",
    "popfq",
    "movq 0(%rdi), %rax",
    "movq 8(%rdi), %rcx",
    "movq 16(%rdi), %rdx",
    "movq 24(%rdi), %rbx",
    "movq 32(%rdi), %rsp",
    "movq 40(%rdi), %rbp",
    "movq 48(%rdi), %rsi",
    "movq 64(%rdi), %r8",
    "movq 72(%rdi), %r9",
    "movq 80(%rdi), %r10",
    "movq 88(%rdi), %r11",
    "movq 96(%rdi), %r12",
    "movq 104(%rdi), %r13",
    "movq 112(%rdi), %r14",
    "movq 120(%rdi), %r15",
    "movq 56(%rdi), %rdi",
    ".endm",
    "10: fill",
    "cpuid",
    "jmp 20f",
    "11: fill",
    "inb %dx, %al",
    "jmp 20f",
    "12: fill",
    "outb %al, %dx",
    "jmp 20f",
    "13: fill",
    "movl (%r8), %r9d",
    "jmp 20f",
    "14: fill",
    "movl %r9d, (%r8)",
    "20:",
    "movq %rdi, _kept(%rip)",
    "movq _context(%rip), %rdi",
    "movq %rax, 128(%rdi)",
    "movq %rcx, 136(%rdi)",
    "movq %rdx, 144(%rdi)",
    "movq %rbx, 152(%rdi)",
    "movq %rsp, 160(%rdi)",
    "movq %rbp, 168(%rdi)",
    "movq %rsi, 176(%rdi)",
    "movq %r8, 192(%rdi)",
    "movq %r9, 200(%rdi)",
    "movq %r10, 208(%rdi)",
    "movq %r11, 216(%rdi)",
    "movq %r12, 224(%rdi)",
    "movq %r13, 232(%rdi)",
    "movq %r14, 240(%rdi)",
    "movq %r15, 248(%rdi)",
    "movq _kept(%rip), %rax",
    "movq %rax, 184(%rdi)",
    "movq 312(%rdi), %rsp",
    "pushfq",
    "popq 256(%rdi)",
    "movq 264(%rdi), %rbx",
    "movq 272(%rdi), %rbp",
    "movq 280(%rdi), %r12",
    "movq 288(%rdi), %r13",
    "movq 296(%rdi), %r14",
    "movq 304(%rdi), %r15",
    "retq",
    ".popsection",
    ".pushsection .bss",
    ".balign 8",
    "_context: .skip 8",
    "_kept: .skip 8",
    ".popsection",
    options(att_syntax),
);

unsafe extern "C" {
    /// Fills all registers, executes an instruction, and keeps all registers.
    fn _exit_with_all(context: *mut Context, instruction: u64);
}

/// Fills all registers and executes the instruction, again and again.
fn survive(instruction: Instruction) -> Verdict {
    for round in 0..ROUNDS {
        This::mask();
        let verdict = once(instruction, round);
        This::unmask();
        verdict?;
    }
    Ok(ROUNDS)
}

/// Does it once, with interrupts masked: no register points to a stack meanwhile.
fn once(instruction: Instruction, round: u64) -> Verdict {
    let value = |n: usize| (round << 8 | (n as u64 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut context = Context {
        before: core::array::from_fn(value),
        after: [0; 16],
        flags: 0,
        kept: [0; 7],
    };
    let before = &mut context.before;
    match instruction {
        Instruction::Identify => (before[0], before[1]) = (0, 0),
        Instruction::PortLoad | Instruction::PortStore => {
            before[2] = before[2] & !0xffff | u64::from(port::SCRATCH);
        }
        Instruction::Load | Instruction::Store => {
            before[8] = 0xfee0_0000 + apic::TASK_PRIORITY as u64;
            before[9] &= !0xffff_ffff;
        }
    }
    if instruction == Instruction::PortLoad {
        super::processor::output(port::SCRATCH, round as u8);
    }
    // SAFETY: the context is large enough, interrupts are masked, and the instruction changes
    // nothing but what is compared.
    unsafe { _exit_with_all(&raw mut context, instruction as u64) };
    let results: &[usize] = match instruction {
        Instruction::Identify => &[0, 1, 2, 3],
        Instruction::PortLoad => &[0],
        Instruction::Load => &[9],
        Instruction::PortStore | Instruction::Store => &[],
    };
    compare(&context, results)?;
    let (before, after) = (&context.before, &context.after);
    match instruction {
        Instruction::PortLoad => equal("rax", before[0] & !0xff | round & 0xff, after[0]),
        Instruction::Load => equal("r9", 0, after[9]),
        Instruction::PortStore => {
            let found = super::processor::input(port::SCRATCH);
            equal("stored", before[0] & 0xff, found.into())
        }
        Instruction::Identify | Instruction::Store => Ok(1),
    }
}

/// Compares the status flags, and all registers but those of the results.
fn compare(context: &Context, results: &[usize]) -> Verdict {
    for register in (0..16).filter(|register| !results.contains(register)) {
        let (before, after) = (context.before[register], context.after[register]);
        if before != after {
            return Err(Why::Broken {
                what: NAMES[register],
                expected: before,
                found: after,
            });
        }
    }
    equal("flags", FLAGS, context.flags & FLAGS)
}

/// Names for the report.
const NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];
const _: () = assert!(RSP == 4);
