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

/// Returns the order of the largest free run, or `None` where nothing is free.
#[inline]
pub fn largest(free: u64) -> Option<u8> {
    if free == 0 {
        return None;
    }
    let pairs = free & (free >> 1) & STARTS[1];
    if pairs == 0 {
        return Some(0);
    }
    let fours = pairs & (pairs >> 2) & STARTS[2];
    if fours == 0 {
        return Some(1);
    }
    let eights = fours & (fours >> 4) & STARTS[3];
    if eights == 0 {
        return Some(2);
    }
    let sixteens = eights & (eights >> 8) & STARTS[4];
    if sixteens == 0 {
        return Some(3);
    }
    let halves = sixteens & (sixteens >> 16) & STARTS[5];
    if halves == 0 {
        return Some(4);
    }
    Some(if free == u64::MAX { WORD_ORDER } else { 5 })
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
        fn the_largest_run_is_the_last_order_that_has_one(a: u64, b: u64, c: u64) {
            for free in [a, a & b & c, a | b | c, !(1 << (a % 64)), u64::MAX, 0] {
                let expected = (0..=WORD_ORDER).rev().find(|&order| runs(free, order) != 0);
                prop_assert_eq!(largest(free), expected);
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
