//! General registers across exits: all are filled, one instruction is executed, all are compared;
//! and the CPU timer.

use core::arch::global_asm;

use super::{control, countdown, laws, prefix};
use crate::machine::{Machine, This};
use crate::report::{Law, Verdict, Why, equal, hold};
use crate::waiting::Manner;

/// Laws of the general registers.
pub const LAWS: [Law; 6] = [
    Law {
        name: "all_survive_a_store_of_the_identification",
        check: || survive(Instruction::Identification),
    },
    Law {
        name: "all_survive_a_sense",
        check: || survive(Instruction::Sense),
    },
    Law {
        name: "all_survive_a_store_of_the_address",
        check: || survive(Instruction::Address),
    },
    Law {
        name: "all_but_the_target_survive_a_forwarded_load",
        check: || {
            laws::need_device()?;
            survive(Instruction::Load)
        },
    },
    Law {
        name: "the_cpu_timer_interrupts_who_runs",
        check: || countdown::interrupts(Manner::Busy),
    },
    Law {
        name: "the_cpu_timer_interrupts_who_waits",
        check: || countdown::interrupts(Manner::Idle),
    },
];

/// How often each is tried.
const ROUNDS: u64 = 1000;

/// An instruction that leaves the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Instruction {
    /// STORE CPU ID.
    Identification = 0,
    /// SIGNAL PROCESSOR, sense, of this CPU, whose address is in r5.
    Sense = 1,
    /// STORE CPU ADDRESS.
    Address = 2,
    /// DIAGNOSE that loads a byte of a device into r4, by r5.
    Load = 3,
}

/// Where `Load` loads to.
const TARGET: usize = 4;

/// General registers before and after.
#[repr(C)]
struct Context {
    before: [u64; 16],
    after: [u64; 16],
    kept: [u64; 10],
}

// `_exit_with_all(context, instruction)`: the prefix area has the context meanwhile.
global_asm!(
    ".pushsection .text, \"ax\", @progbits",
    "_exit_with_all:",
    "    stmg %r6, %r15, 256(%r2)",
    "    stg %r2, {context}",
    "    cghi %r3, 2",
    "    jh 12f",
    "    cghi %r3, 1",
    "    lmg %r0, %r15, 0(%r2)",
    "    jl 10f",
    "    je 11f",
    "    stap {place}",
    "    j 20f",
    "12: lmg %r0, %r15, 0(%r2)",
    "    .insn rs, 0x83000000, %r4, %r5, 0x510",
    "    j 20f",
    "10: stidp {place}",
    "    j 20f",
    "11: sigp %r1, %r5, 1",
    "20: stmg %r0, %r15, {after}",
    "    lg %r2, {context}",
    "    mvc 128(128, %r2), {after}",
    "    lmg %r6, %r15, 256(%r2)",
    "    br %r14",
    ".popsection",
    context = const prefix::CONTEXT,
    place = const prefix::PLACE,
    after = const prefix::AFTER,
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

/// Does it once, with interruptions masked: no register points to a stack meanwhile.
fn once(instruction: Instruction, round: u64) -> Verdict {
    let value = |n: usize| (round << 8 | (n as u64 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut context = Context {
        before: core::array::from_fn(value),
        after: [0; 16],
        kept: [0; 10],
    };
    context.before[5] = match instruction {
        Instruction::Load => laws::SCRATCH,
        _ => control::own_address().into(),
    };
    // SAFETY: the context is large enough, interruptions are masked, and the instruction changes
    // nothing but what is compared.
    unsafe { _exit_with_all(&raw mut context, instruction as u64) };
    for (register, (before, after)) in context.before.into_iter().zip(context.after).enumerate() {
        let is_target = instruction == Instruction::Load && register == TARGET;
        if before != after && !is_target {
            return Err(Why::Broken {
                what: NAMES[register],
                expected: before,
                found: after,
            });
        }
    }
    match instruction {
        Instruction::Identification => equal(
            "stored",
            control::identification(),
            prefix::load(prefix::PLACE),
        ),
        Instruction::Address => {
            let stored = prefix::load(prefix::PLACE) >> 48;
            equal("stored", control::own_address().into(), stored)
        }
        Instruction::Sense => Ok(1),
        Instruction::Load => hold(
            context.after[TARGET] < 0x100,
            "loaded",
            0xff,
            context.after[TARGET],
        ),
    }
}

/// Names for the report.
const NAMES: [&str; 16] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];
