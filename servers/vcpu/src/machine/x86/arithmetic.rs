//! Results and flags of operators (SDM 1, 3.4.3.1).

use super::instruction::{BitChange, Operator};

/// Carry.
pub const CARRY: u64 = 1;
/// Parity of the low byte.
const PARITY: u64 = 1 << 2;
/// Carry out of bit 3.
const ADJUST: u64 = 1 << 4;
/// The result is zero.
const ZERO: u64 = 1 << 6;
/// The result is negative.
const SIGN: u64 = 1 << 7;
/// The result overflows as a signed number.
const OVERFLOW: u64 = 1 << 11;
/// All that operators change.
const ALL: u64 = CARRY | PARITY | ADJUST | ZERO | SIGN | OVERFLOW;

/// Returns a value cut to so many bytes.
#[must_use]
pub const fn cut(value: u64, bytes: u8) -> u64 {
    let unused = 64 - 8 * bytes as u32;
    value << unused >> unused
}

/// Returns a value of so many bytes with its sign extended.
#[must_use]
pub const fn extend(value: u64, bytes: u8) -> u64 {
    let unused = 64 - 8 * bytes as u32;
    ((value << unused).cast_signed() >> unused).cast_unsigned()
}

/// Returns what `flag` says if `present`.
const fn flag(flag: u64, present: bool) -> u64 {
    if present { flag } else { 0 }
}

/// Returns the flags that say what a result is.
fn of_result(result: u64, bytes: u8) -> u64 {
    let sign = result >> (8 * bytes - 1) & 1 == 1;
    let even = (result & 0xff).count_ones().is_multiple_of(2);
    flag(SIGN, sign) | flag(ZERO, result == 0) | flag(PARITY, even)
}

/// Combines two values of so many bytes; returns the result and the new flags.
#[must_use]
pub fn combine(operator: Operator, left: u64, right: u64, bytes: u8, flags: u64) -> (u64, u64) {
    let (left, right) = (cut(left, bytes), cut(right, bytes));
    let carry = flags & CARRY;
    let sums = match operator {
        Operator::And | Operator::Test => return logic(left & right, bytes, flags),
        Operator::Or => return logic(left | right, bytes, flags),
        Operator::ExclusiveOr => return logic(left ^ right, bytes, flags),
        Operator::Add => (u128::from(left) + u128::from(right), false),
        Operator::AddCarry => (
            u128::from(left) + u128::from(right) + u128::from(carry),
            false,
        ),
        Operator::Subtract | Operator::Compare => {
            (u128::from(left).wrapping_sub(u128::from(right)), true)
        }
        Operator::SubtractBorrow => {
            let right = u128::from(right) + u128::from(carry);
            (u128::from(left).wrapping_sub(right), true)
        }
    };
    let (wide, subtracts) = sums;
    let result = cut(wide as u64, bytes);
    let carries = wide >> (8 * bytes) & 1 == 1;
    let overflow = if subtracts {
        (left ^ right) & (left ^ result)
    } else {
        !(left ^ right) & (left ^ result)
    };
    let new = of_result(result, bytes)
        | flag(CARRY, carries)
        | flag(ADJUST, (left ^ right ^ result) & 0x10 != 0)
        | flag(OVERFLOW, overflow >> (8 * bytes - 1) & 1 == 1);
    (result, flags & !ALL | new)
}

/// Returns the result of a bitwise operator with its flags: carry and overflow are clear.
fn logic(result: u64, bytes: u8, flags: u64) -> (u64, u64) {
    (result, flags & !ALL | of_result(result, bytes))
}

/// Adds one, or subtracts one; the carry stays.
#[must_use]
pub fn step(value: u64, down: bool, bytes: u8, flags: u64) -> (u64, u64) {
    let operator = if down {
        Operator::Subtract
    } else {
        Operator::Add
    };
    let (result, new) = combine(operator, value, 1, bytes, flags);
    (result, new & !CARRY | flags & CARRY)
}

/// Copies a bit to the carry, and changes it.
#[must_use]
pub fn bit(value: u64, number: u64, change: BitChange, bytes: u8, flags: u64) -> (u64, u64) {
    let bit = 1 << (number % (8 * u64::from(bytes)));
    let result = match change {
        BitChange::Test => value,
        BitChange::Set => value | bit,
        BitChange::Reset => value & !bit,
        BitChange::Complement => value ^ bit,
    };
    (result, flags & !CARRY | flag(CARRY, value & bit != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_manual() {
        // 0x80 - 1 = 0x7f: overflow, adjust; 0 - 1 = 0xff: borrow, sign.
        let (result, flags) = combine(Operator::Subtract, 0x80, 1, 1, 0);
        assert_eq!((result, flags), (0x7f, OVERFLOW | ADJUST));
        let (result, flags) = combine(Operator::Compare, 0, 1, 1, 0);
        assert_eq!((result, flags), (0xff, CARRY | SIGN | ADJUST | PARITY));
        let (result, flags) = combine(Operator::Add, u64::MAX, 1, 8, 0);
        assert_eq!((result, flags), (0, CARRY | ZERO | ADJUST | PARITY));
        let (result, flags) = combine(Operator::AddCarry, 0xfffe, 0, 2, CARRY);
        assert_eq!((result, flags), (0xffff, SIGN | PARITY));
        let (result, flags) = combine(Operator::And, 0xf0, 0x0f, 4, ALL);
        assert_eq!((result, flags), (0, ZERO | PARITY));
    }

    #[test]
    fn steps_keep_the_carry_and_bits_go_there() {
        assert_eq!(step(0xff, false, 1, CARRY).1 & CARRY, CARRY);
        assert_eq!(step(0, true, 4, 0), (0xffff_ffff, SIGN | ADJUST | PARITY));
        assert_eq!(bit(0b100, 34, BitChange::Reset, 4, 0), (0, CARRY));
        assert_eq!(bit(0, 65, BitChange::Set, 8, CARRY), (2, 0));
    }
}
