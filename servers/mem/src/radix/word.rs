//! Runs of free units in one 64-bit word: bit *i* is unit *i*, set where the unit is free.
//!
//! A run of order *k* is 2^*k* units that begin at a multiple of 2^*k*: what a buddy system calls a
//! block. Blocks inside a word are found by masks, and come together by themselves when their bits
//! are set again.

/// Base-two logarithm of the units in a word.
pub const WORD_ORDER: u8 = 6;

/// Bits at which a run of each order below [`WORD_ORDER`] can begin.
const STARTS: [u64; WORD_ORDER as usize] = [
    u64::MAX,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
];

/// Bits at which a run of each order above 0 can begin.
const STARTS_ABOVE: [u64; WORD_ORDER as usize] =
    [STARTS[1], STARTS[2], STARTS[3], STARTS[4], STARTS[5], 1];

/// Returns the units of the run of this order that begins at unit 0.
pub const fn units(order: u8) -> u64 {
    match order {
        0 => 1,
        1 => 0x3,
        2 => 0xf,
        3 => 0xff,
        4 => 0xffff,
        5 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

/// Returns the units at which a free run of this order begins.
#[inline]
pub fn runs(free: u64, order: u8) -> u64 {
    let mut found = free;
    for (smaller, starts) in STARTS.iter().enumerate().skip(1) {
        if smaller > usize::from(order) {
            return found;
        }
        found &= (found >> (1 << (smaller - 1))) & starts;
    }
    if order >= WORD_ORDER {
        found &= (found >> 32) & 1;
    }
    found
}

/// Returns where a run of this order is best taken, in a word that has one: out of the smallest run
/// that has it, so that larger ones stay whole.
#[inline]
pub fn best(free: u64, order: u8) -> u32 {
    let (starts, _) = smallest(free, order);
    // A word that has no such run is the caller's mistake; it gets the first unit.
    starts.trailing_zeros() % 64
}

/// Returns where the smallest runs begin out of which runs of this order can be taken, and their
/// order; no place where there is none.
#[inline]
pub fn smallest(free: u64, order: u8) -> (u64, u8) {
    let mut found = runs(free, order);
    if found == 0 {
        return (0, WORD_ORDER);
    }
    for smaller in order..WORD_ORDER {
        let length = 1 << smaller;
        let pairs = found & (found >> length) & STARTS_ABOVE[usize::from(smaller)];
        let alone = found & !(pairs | pairs << length);
        if alone != 0 {
            return (alone, smaller);
        }
        found = pairs;
    }
    (found, WORD_ORDER)
}

/// Returns whether the run of this order beside the one that begins at a unit, with which it would
/// be a larger one, is free.
#[inline]
pub fn has_buddy(free: u64, unit: u32, order: u8) -> bool {
    let units = units(order);
    order < WORD_ORDER && free >> (unit ^ 1 << order) & units == units
}

/// Returns of how many orders there are free runs: of those from 0 on.
#[inline]
pub fn orders(free: u64) -> u8 {
    if free == 0 {
        return 0;
    }
    let mut found = free;
    let mut order = 0;
    while order < WORD_ORDER {
        found &= (found >> (1 << order)) & STARTS_ABOVE[usize::from(order)];
        order += 1;
        if found == 0 {
            return order;
        }
    }
    order + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A run by its definition.
    fn is_run(free: u64, order: u8, at: u32) -> bool {
        let length = 1 << order;
        at.is_multiple_of(length) && (at..at + length).all(|unit| free >> unit & 1 == 1)
    }

    proptest! {
        #[test]
        fn runs_are_where_the_definition_says(a: u64, b: u64, c: u64, order in 0_u8..=6) {
            // Words with many free units have large runs.
            for free in [a, a | b, a | b | c, !(a & b & c & (a >> 7)), u64::MAX, 0] {
                let expected = (0..64).filter(|&at| is_run(free, order, at));
                let expected = expected.fold(0, |bits, at| bits | 1_u64 << at);
                prop_assert_eq!(runs(free, order), expected);
            }
        }

        #[test]
        fn a_run_is_taken_out_of_the_smallest_that_has_it(a: u64, b: u64, c: u64, order in 0_u8..=6) {
            for free in [a, a & b, a | b, a | b | c, !(1 << (a % 64)), u64::MAX] {
                if runs(free, order) == 0 {
                    continue;
                }
                let at = best(free, order);
                prop_assert!(is_run(free, order, at));
                let (starts, run) = smallest(free, order);
                let is_start = |at: &u32| starts >> at & 1 == 1;
                prop_assert!((0..64).filter(is_start).all(|at| is_run(free, run, at)));
                // The largest run around a place.
                let around = |at: u32| {
                    let holds = |order: &u8| is_run(free, *order, at >> order << order);
                    (order..=WORD_ORDER).take_while(holds).last()
                };
                let all = (0..64).filter(|&at| is_run(free, order, at)).filter_map(around);
                prop_assert_eq!(around(at), all.min());
            }
        }

        #[test]
        fn there_are_runs_of_the_orders_below_the_first_that_has_none(a: u64, b: u64, c: u64) {
            for free in [a, a & b & c, a | b | c, !(1 << (a % 64)), u64::MAX, 0] {
                let has_run = |order: &u8| runs(free, *order) != 0;
                let expected = (0..=WORD_ORDER).filter(has_run).count();
                prop_assert_eq!(usize::from(orders(free)), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn without_a_buddy_a_freed_run_adds_none_but_its_own_order(a: u64, b: u64, order in 0_u8..6) {
            for free in [a & b, a, a | b] {
                for unit in (0..64).step_by(1 << order) {
                    if has_buddy(free, unit, order) || free >> unit & units(order) != 0 {
                        continue;
                    }
                    let after = free | units(order) << unit;
                    prop_assert_eq!(orders(after), orders(free).max(order + 1));
                }
            }
        }
    }

    #[test]
    fn a_run_of_an_order_has_as_many_units() {
        for order in 0..=WORD_ORDER {
            assert_eq!(units(order).count_ones(), 1 << order);
        }
    }
}
