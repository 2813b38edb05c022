//! s390x: instructions by hand (PoP, chapter 7).
//!
//! The counter is the TOD clock, which STCKF stores: nothing lies between two readings that are next
//! to each other, as in `rt::sys::counted`. There are no guests where the clock counts instructions.

use super::code::Code;
use super::{Guest, Machine, Program};
use crate::partner::{OTHER, THIRD, WAITS_AT};
use abi::CallNumber;
use abi::exit::RouteKey;

/// svc 0
const CALL: [u8; 2] = [0x0a, 0];
/// lghi %r9, -1: a deadline that never comes.
const FOREVER: [u8; 4] = [0xa7, 0x99, 0xff, 0xff];
/// bc 0, 92: a mark for who traces the machine: `rt::sys::mark`.
const MARK: [u8; 4] = [0x47, 0, 0, 92];
/// lg %r4, 0
const LOAD_FROM_0: [u8; 6] = [0xe3, 0x40, 0, 0, 0, 0x04];

/// The machine.
pub static S390: Machine = Machine {
    echo,
    caller,
    answer,
    wait,
    fault,
    fault_length: LOAD_FROM_0.len() as u64,
    fault_registers: None,
    table_reach: 1 << 20,
    tables: 2047,
    guest: Guest {
        memory: 0,
        program_counter: 0,
        prepare: &[],
        device: (RouteKey::Subchannel, 0),
        nothing: none,
        hypercall: none,
        load: none,
        store: none,
        touch: none,
        pager: none,
        start: |_, _, _| [(0, 0); 3],
    },
};

/// Returns no program.
const fn none() -> Program {
    Code::new().finish()
}

/// lghi %rN, value
const fn load(register: u8, value: u8) -> [u8; 4] {
    [0xa7, register << 4 | 9, 0, value]
}

/// Returns the instruction that stores the clock behind the stack pointer.
const fn read(offset: u8) -> [u8; 4] {
    [0xb2, 0x7c, 0xf0, offset]
}

/// Adds a call that waits.
fn waits(code: Code, number: CallNumber) -> Code {
    let code = code.add(&load(2, WAITS_AT as u8)).add(&FOREVER);
    code.add(&load(1, number as u8)).add(&CALL)
}

/// Adds a branch to a place on some condition codes.
fn branch(code: Code, mask: u8, place: usize) -> Code {
    let halfwords = (code.distance(place) / 2) as i16;
    let [high, low] = halfwords.to_be_bytes();
    code.add(&[0xa7, mask << 4 | 4, high, low])
}

/// Adds a jump to a place.
fn jump(code: Code, place: usize) -> Program {
    branch(code, 15, place).finish()
}

/// Adds an answer to the caller with the message info in r1, and the jump to it: six instructions.
fn answers(code: Code, again: usize) -> Program {
    // sllg %r1, %r1, 32; aghi %r1, number
    let code = code.add(&[0xeb, 0x11, 0, 0x20, 0, 0x0d]);
    let code = code.add(&[0xa7, 0x1b, 0, CallNumber::ReplyReceive as u8]);
    let code = code.add(&load(2, WAITS_AT as u8)).add(&FOREVER).add(&CALL);
    jump(code, again)
}

/// Six instructions a round.
fn echo() -> Program {
    let code = waits(Code::new(), CallNumber::Receive);
    let again = code.here();
    answers(code, again)
}

/// Makes so many calls when it is signalled, with what the registers hold as four words. The counter
/// is on the page.
fn caller(calls: u16) -> Program {
    let code = Code::new().add(&load(2, OTHER as u8)).add(&FOREVER);
    let code = code.add(&load(1, CallNumber::Wait as u8)).add(&CALL);
    // mvhi 16(%r15), calls
    let [high, low] = calls.to_be_bytes();
    let code = code.add(&[0xe5, 0x4c, 0xf0, 16, high, low]);
    let again = code.here();
    let code = code.add(&read(0)).add(&load(1, 4));
    // sllg %r1, %r1, 32; aghi %r1, number
    let code = code.add(&[0xeb, 0x11, 0, 0x20, 0, 0x0d]);
    let code = code.add(&[0xa7, 0x1b, 0, CallNumber::Call as u8]);
    let code = code.add(&load(2, WAITS_AT as u8)).add(&FOREVER).add(&CALL);
    // asi 16(%r15), -1; jne again
    let code = code.add(&read(8)).add(&[0xeb, 0xff, 0xf0, 16, 0, 0x6a]);
    let code = branch(code, 7, again).add(&MARK);
    let code = code.add(&load(2, THIRD as u8));
    let code = code.add(&load(1, CallNumber::Signal as u8)).add(&CALL);
    jump(code, 0)
}

/// Seven instructions a round.
fn answer(words: u8) -> Program {
    let code = waits(Code::new(), CallNumber::Receive);
    let again = code.here();
    answers(code.add(&load(1, words)), again)
}

/// Stores the clock behind each wait.
fn wait() -> Program {
    jump(waits(Code::new(), CallNumber::Wait).add(&read(0)), 0)
}

/// Stores the clock before and after.
fn fault() -> Program {
    let code = Code::new().add(&read(0)).add(&LOAD_FROM_0).add(&read(8));
    jump(code, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_as_an_assembler_makes_them() {
        assert_eq!(load(2, 1), [0xa7, 0x29, 0, 1]);
        assert_eq!(read(8), [0xb2, 0x7c, 0xf0, 8]);
        assert_eq!(jump(Code::new(), 0)[..4], [0xa7, 0xf4, 0, 0]);
        let back = jump(Code::new().add(&CALL), 0);
        assert_eq!(back[2..6], [0xa7, 0xf4, 0xff, 0xff]);
    }
}
