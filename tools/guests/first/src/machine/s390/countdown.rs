//! The CPU timer, which counts down and interrupts while it is negative.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;

use s390_regs::Cr0;

use super::control;
use crate::machine::{Machine, This};
use crate::report::{Verdict, equal, hold};
use crate::waiting::{self, Manner};

/// How often it is tried.
const ROUNDS: u64 = 20;
/// The bit of control register 0 that lets it interrupt.
const OPEN: u64 = Cr0::new().with_cpu_timer(true).into_bits();
/// Far away.
const NEVER: u64 = i64::MAX as u64;
/// How long anything may take, in milliseconds.
const LIMIT: u64 = 20_000;

/// Interruptions by it, on the one CPU that tries it.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Counts an interruption.
pub fn note() {
    control::set_cpu_timer(NEVER);
    TAKEN.fetch_add(1, SeqCst);
}

/// Lets it interrupt the CPU, which runs or waits meanwhile: once, and not too early.
pub fn interrupts(manner: Manner) -> Verdict {
    let before = control::open_to();
    control::set_cpu_timer(NEVER);
    control::set_open_to(before | OPEN);
    let verdict = (0..ROUNDS).try_for_each(|_| once(manner));
    control::set_open_to(before);
    verdict.map(|()| ROUNDS)
}

/// Lets it interrupt once.
fn once(manner: Manner) -> Result<(), crate::report::Why> {
    let (before, ticks) = (TAKEN.load(SeqCst), This::ticks_per_millisecond() / 5);
    let start = This::now();
    if manner == Manner::Idle {
        This::mask();
    }
    control::set_cpu_timer(ticks);
    let came = || TAKEN.load(SeqCst) > before;
    let came = if manner == Manner::Idle {
        while !came() && This::now() < start + LIMIT * This::ticks_per_millisecond() {
            This::idle();
        }
        This::unmask();
        came()
    } else {
        waiting::busy(LIMIT, came)
    };
    hold(came, "no interruption", 1, 0)?;
    let passed = This::now() - start;
    hold(passed >= ticks, "too early", ticks, passed)?;
    waiting::pause(1);
    equal("interruptions", before + 1, TAKEN.load(SeqCst)).map(|_| ())
}
