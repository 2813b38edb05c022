//! Rows of many rounds.

use core::fmt::{self, Write};

#[cfg(target_arch = "riscv64")]
use crate::riscv::mark;
#[cfg(target_arch = "x86_64")]
use crate::x86::mark;

/// Rounds of each row.
const ROUNDS: usize = 2000;

/// The line of a row.
fn line(console: &mut impl Write, name: &str, spread: [u64; 3], what: fmt::Arguments<'_>) {
    let [least, median, most] = spread;
    mark();
    let _ = writeln!(
        console,
        "bench {name} instructions={median} ({least} to {most}, {what})"
    );
}

/// What an instruction took, and whether what it asked for was refused.
#[derive(Clone, Copy)]
pub struct Counted {
    /// Instructions between the two readings of the counter, that of reading included.
    pub instructions: u64,
    /// It was refused.
    pub is_refused: bool,
}

/// Measures one row and prints its line; `cost` is what two readings with nothing between them are
/// apart.
#[inline(never)]
pub fn row(console: &mut impl Write, name: &str, cost: u64, action: impl Fn() -> Counted) {
    let mut taken = [0_u32; ROUNDS];
    for place in &mut taken {
        let counted = action();
        if counted.is_refused {
            let _ = writeln!(console, "{name}: refused");
            return;
        }
        *place = u32::try_from(counted.instructions.wrapping_sub(cost)).unwrap_or(u32::MAX);
    }
    taken.sort_unstable();
    let spread = [taken[0], taken[ROUNDS / 2], taken[ROUNDS - 1]].map(u64::from);
    line(console, name, spread, format_args!("{ROUNDS} rounds"));
}

/// Measures the first touch of each folio but the first, in which the guest itself lies.
///
/// The memory is 254 MiB from `start` on, mapped when it is touched: folios of 128, 64, 32, … 2 MiB.
#[inline(never)]
pub fn first_touches(
    console: &mut impl Write,
    start: u64,
    cost: u64,
    touch: impl Fn(u64) -> Counted,
) {
    const WHOLE: u64 = 256 << 20;
    let mut taken = [26, 25, 24, 23, 22, 21].map(|order: u32| {
        let counted = touch(start + WHOLE - (2 << order));
        counted.instructions.wrapping_sub(cost)
    });
    // The last one is one leaf of the second stage.
    let spread = [taken[5]; 3];
    let what = format_args!("1 of 6 folios");
    line(console, "stage_2_fault_leaf", spread, what);
    taken.sort_unstable();
    let spread = [taken[0], taken[3], taken[5]];
    line(console, "stage_2_fault", spread, format_args!("6 folios"));
}
