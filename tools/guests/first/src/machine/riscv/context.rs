//! General registers across exits: all are filled, one instruction is executed, all are compared.

use core::arch::global_asm;
use core::mem::offset_of;

use super::{csr, port};
use crate::machine::{Machine, This};
use crate::report::{Law, Verdict, Why, equal};

/// Laws of the general registers.
pub const LAWS: [Law; 4] = [
    Law {
        name: "all_but_the_results_survive_a_hypercall",
        check: || survive(Instruction::Call),
    },
    Law {
        name: "all_but_the_target_survive_a_load",
        check: || survive(Instruction::Load),
    },
    Law {
        name: "all_survive_a_store",
        check: || survive(Instruction::Store),
    },
    Law {
        name: "all_survive_a_wait",
        check: || survive(Instruction::Wait),
    },
];

/// How often each is tried.
const ROUNDS: u64 = 1000;

/// An instruction that leaves the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Instruction {
    /// A call of BASE.
    Call = 0,
    /// A load of the scratch register into a0, by t3.
    Load = 1,
    /// A store of a0 to the scratch register, by t3.
    Store = 2,
    /// A wait for an interrupt that is there.
    Wait = 3,
}

/// General registers before and after.
#[repr(C)]
struct Context {
    before: [u64; 32],
    after: [u64; 32],
    kept: [u64; 16],
}

const _: () = assert!(offset_of!(Context, after) == 256 && offset_of!(Context, kept) == 512);

// `_exit_with_all(context, instruction)`: sscratch holds the context meanwhile, no register does.
global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    "_exit_with_all:",
    "    sd ra, 512(a0)",
    "    sd sp, 520(a0)",
    "    sd gp, 528(a0)",
    "    sd tp, 536(a0)",
    "    sd s0, 544(a0)",
    "    sd s1, 552(a0)",
    "    .irp n, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27",
    "    sd x\\n, (560 + (\\n-18)*8)(a0)",
    "    .endr",
    "    csrw sscratch, a0",
    "    li t0, 1",
    "    blt a1, t0, 10f",
    "    beq a1, t0, 11f",
    "    li t0, 2",
    "    beq a1, t0, 12f",
    "    j 13f",
    ".macro fill",
    "    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 10",
    "    ld x\\n, (\\n*8)(a0)",
    "    .endr",
    ".endm",
    "10: fill",
    "    ecall",
    "    j 20f",
    "11: fill",
    "    lbu a0, 0(t3)",
    "    j 20f",
    "12: fill",
    "    sb a0, 0(t3)",
    "    j 20f",
    "13: fill",
    "    wfi",
    "20: csrrw sp, sscratch, sp",
    "    .irp n, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
    "    sd x\\n, (256 + \\n*8)(sp)",
    "    .endr",
    "    mv a0, sp",
    "    csrr t0, sscratch",
    "    sd t0, 272(a0)",
    "    ld ra, 512(a0)",
    "    ld sp, 520(a0)",
    "    ld gp, 528(a0)",
    "    ld tp, 536(a0)",
    "    ld s0, 544(a0)",
    "    ld s1, 552(a0)",
    "    .irp n, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27",
    "    ld x\\n, (560 + (\\n-18)*8)(a0)",
    "    .endr",
    "    ret",
    ".popsection",
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
        csr::clear!("sip", csr::SOFTWARE);
        This::unmask();
        verdict?;
    }
    Ok(ROUNDS)
}

/// Does it once, with interrupts masked: no register points to a stack meanwhile.
fn once(instruction: Instruction, round: u64) -> Verdict {
    let mut context = Context {
        before: core::array::from_fn(|n| {
            (round << 8 | n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }),
        after: [0; 32],
        kept: [0; 16],
    };
    match instruction {
        Instruction::Call => (context.before[16], context.before[17]) = (0, 0x10),
        Instruction::Load | Instruction::Store => context.before[28] = port::SCRATCH as u64,
        Instruction::Wait => csr::set!("sip", csr::SOFTWARE),
    }
    let scratch = round as u8;
    if instruction == Instruction::Load {
        port::store(port::SCRATCH, scratch);
    }
    // SAFETY: the context is large enough, interrupts are masked, and the instruction changes
    // nothing but what is compared.
    unsafe { _exit_with_all(&raw mut context, instruction as u64) };
    let results: &[usize] = match instruction {
        Instruction::Call => &[10, 11],
        Instruction::Load => &[10],
        Instruction::Store | Instruction::Wait => &[],
    };
    compare(&context, results)?;
    match instruction {
        Instruction::Call => equal("error", 0, context.after[10]),
        Instruction::Load => equal("loaded", scratch.into(), context.after[10]),
        Instruction::Store => equal(
            "stored",
            context.before[10] & 0xff,
            port::load(port::SCRATCH).into(),
        ),
        Instruction::Wait => Ok(1),
    }
}

/// Compares all registers but those of the results.
fn compare(context: &Context, results: &[usize]) -> Verdict {
    for register in (1..32).filter(|register| !results.contains(register)) {
        let (before, after) = (context.before[register], context.after[register]);
        if before != after {
            return Err(Why::Broken {
                what: NAMES[register],
                expected: before,
                found: after,
            });
        }
    }
    Ok(1)
}

/// Names for the report.
const NAMES: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];
