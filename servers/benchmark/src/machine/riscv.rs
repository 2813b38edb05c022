//! RISC-V: instructions of partners and guests, put together at run time from their formats
//! (Unprivileged ISA manual, chapter "RV32/64G Instruction Set Listings").

use super::code::Code;
use super::{Guest, Machine, Program};
use crate::partner::{OTHER, THIRD, WAITS_AT};
use abi::CallNumber;
use abi::Rights;
use abi::call::MACHINE_REGISTERS;
use abi::exit::RouteKey;
use abi::register::{RISCV as FAMILY, SIZE_U64};

/// The machine.
pub static RISCV: Machine = Machine {
    echo,
    caller,
    answer,
    wait,
    fault,
    fault_length: 4,
    fault_registers: Some([MACHINE_REGISTERS + S2 as u64, MACHINE_REGISTERS + S3 as u64]),
    table_reach: 1 << 21,
    tables: 511,
    guest: Guest {
        memory: 0x8000_0000,
        // The first of the core registers.
        program_counter: FAMILY | SIZE_U64 | 2 << 24,
        prepare: &[],
        device: (RouteKey::Device, 0x1000_0000),
        nothing: || rounds(li(ZERO, 0), add(S0, S0, ZERO)),
        hypercall: || rounds(ECALL, add(S0, S0, ZERO)),
        load: || rounds(ld(A2, 0, S0), add(S0, S0, ZERO)),
        store: || rounds(sd(A2, 0, S0), add(S0, S0, ZERO)),
        touch: || rounds(sd(ZERO, 0, S0), add(S0, S0, T1)),
        pager,
        start: |address, samples, rounds| {
            [
                (S0 as usize, address),
                (S4 as usize, samples),
                (S1 as usize, rounds),
            ]
        },
    },
};

const ZERO: u32 = 0;
const SP: u32 = 2;
const GP: u32 = 3;
const TP: u32 = 4;
const T0: u32 = 5;
const T1: u32 = 6;
const S0: u32 = 8;
const S1: u32 = 9;
const A0: u32 = 10;
const A1: u32 = 11;
const A2: u32 = 12;
const A3: u32 = 13;
const A7: u32 = 17;
const S2: u32 = 18;
const S3: u32 = 19;
const S4: u32 = 20;
const T6: u32 = 31;

/// `ecall`
const ECALL: u32 = 0x0000_0073;
impl Code {
    /// Adds instructions.
    fn words<const N: usize>(self, words: [u32; N]) -> Self {
        let add = |code: Self, word: u32| code.add(&word.to_le_bytes());
        words.into_iter().fold(self, add)
    }

    /// Adds `j` to the instruction with the index `target`.
    fn jump(self, target: usize) -> Self {
        let bits = self.distance(target * 4) as u32;
        let immediate = (bits >> 20 & 1) << 31
            | (bits >> 1 & 0x3ff) << 21
            | (bits >> 11 & 1) << 20
            | (bits >> 12 & 0xff) << 12;
        self.words([immediate | 0x6f])
    }

    /// Adds `bnez` of a register to the instruction with the index `target`.
    fn branch_unless_zero(self, register: u32, target: usize) -> Self {
        let bits = self.distance(target * 4) as u32;
        let upper = (bits >> 12 & 1) << 31 | (bits >> 5 & 0x3f) << 25;
        let lower = (bits >> 1 & 0xf) << 8 | (bits >> 11 & 1) << 7;
        self.words([upper | lower | register << 15 | 1 << 12 | 0x63])
    }
}

/// `addi`
const fn addi(to: u32, from: u32, immediate: i32) -> u32 {
    (immediate as u32) << 20 | from << 15 | to << 7 | 0x13
}

/// `li` of a small number.
const fn li(to: u32, immediate: i32) -> u32 {
    addi(to, ZERO, immediate)
}

/// `slli`
const fn slli(to: u32, from: u32, by: u32) -> u32 {
    by << 20 | from << 15 | 1 << 12 | to << 7 | 0x13
}

/// `add`
const fn add(to: u32, one: u32, other: u32) -> u32 {
    other << 20 | one << 15 | to << 7 | 0x33
}

/// `sub`
const fn sub(to: u32, one: u32, other: u32) -> u32 {
    0x4000_0000 | add(to, one, other)
}

/// `lui` of one page: 4096.
const fn page_size(to: u32) -> u32 {
    1 << 12 | to << 7 | 0x37
}

/// `ld`
const fn ld(to: u32, offset: u32, base: u32) -> u32 {
    offset << 20 | base << 15 | 3 << 12 | to << 7 | 0x03
}

/// `sd`, with an offset below 32.
const fn sd(from: u32, offset: u32, base: u32) -> u32 {
    from << 20 | base << 15 | 3 << 12 | offset << 7 | 0x23
}

/// `rdinstret`
const fn rdinstret(to: u32) -> u32 {
    0xc020_2073 | to << 7
}

/// `li` of the call word of a call without a message.
const fn call(number: CallNumber) -> u32 {
    li(A7, number as i32)
}

/// `li` of the slot that partners wait at.
const fn place() -> u32 {
    li(A0, WAITS_AT as i32)
}

/// `slti zero, zero, 92`, which is a mark for who traces the machine: `rt::sys::mark`.
const MARK: u32 = 0x05c0_2013;

/// `li` of a deadline that never comes.
const FOREVER: u32 = li(T0, -1);

/// Answers each call with its own words: six instructions a round.
fn echo() -> Program {
    let receive = [place(), FOREVER, call(CallNumber::Receive), ECALL];
    let answer = [
        slli(A7, A7, 32),
        addi(A7, A7, CallNumber::ReplyReceive as i32),
        place(),
        FOREVER,
        ECALL,
    ];
    Code::new().words(receive).words(answer).jump(4).finish()
}

/// Makes so many calls when it is signalled, with what the registers hold as four words. The counter
/// is in a register that calls preserve.
fn caller(calls: u16) -> Program {
    let begin = [
        li(A0, OTHER as i32),
        FOREVER,
        call(CallNumber::Wait),
        ECALL,
        li(GP, i32::from(calls)),
    ];
    let round = [
        rdinstret(T6),
        li(A7, 4),
        slli(A7, A7, 32),
        addi(A7, A7, CallNumber::Call as i32),
        place(),
        FOREVER,
        ECALL,
        rdinstret(T6),
        addi(GP, GP, -1),
    ];
    let end = [MARK, li(A0, THIRD as i32), call(CallNumber::Signal), ECALL];
    let code = Code::new().words(begin).words(round);
    let code = code.branch_unless_zero(GP, 5).words(end);
    code.jump(0).finish()
}

/// Answers each message with so many words, which are zero: seven instructions a round.
fn answer(words: u8) -> Program {
    let receive = [place(), FOREVER, call(CallNumber::Receive), ECALL];
    let answer = [
        li(A7, i32::from(words)),
        slli(A7, A7, 32),
        addi(A7, A7, CallNumber::ReplyReceive as i32),
        place(),
        FOREVER,
        ECALL,
    ];
    Code::new().words(receive).words(answer).jump(4).finish()
}

/// Waits for signals and writes the count to the start of the page in the stack pointer.
fn wait() -> Program {
    let round = [
        place(),
        FOREVER,
        call(CallNumber::Wait),
        ECALL,
        rdinstret(T6),
        sd(T6, 0, SP),
    ];
    Code::new().words(round).jump(0).finish()
}

/// Loads from address 0 for ever.
fn fault() -> Program {
    let round = [rdinstret(S2), ld(S4, 0, ZERO), rdinstret(S3)];
    Code::new().words(round).jump(0).finish()
}

/// Answers each missing page by mapping the next frame at the next address; address and slot are at
/// the start of the page in the stack pointer. 14 instructions a round.
fn pager() -> Program {
    let rights = Rights::new().with_read(true).with_write(true).into_bits();
    let receive = [
        ld(GP, 0, SP),
        ld(TP, 8, SP),
        place(),
        FOREVER,
        call(CallNumber::Receive),
        ECALL,
    ];
    let map = [
        addi(A0, TP, 0),
        li(A1, OTHER as i32),
        addi(A2, GP, 0),
        li(A3, i32::from(rights)),
        call(CallNumber::Map),
        ECALL,
        page_size(T1),
        add(GP, GP, T1),
        addi(TP, TP, 1),
    ];
    let answer = [call(CallNumber::ReplyReceive), place(), FOREVER, ECALL];
    Code::new()
        .words(receive)
        .words(map)
        .words(answer)
        .jump(6)
        .finish()
}

/// Returns a guest that counts an instruction and what follows from it, writes that down, and after
/// the last round stores to address 0.
fn rounds(instruction: u32, step: u32) -> Program {
    let round = [
        rdinstret(S2),
        instruction,
        rdinstret(S3),
        sub(S3, S3, S2),
        sd(S3, 0, S4),
        addi(S4, S4, 8),
        step,
        addi(S1, S1, -1),
    ];
    let code = Code::new().words([page_size(T1)]).words(round);
    let code = code.branch_unless_zero(S1, 1).words([sd(ZERO, 0, ZERO)]);
    let end = code.here() / 4;
    code.jump(end).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_as_an_assembler_makes_them() {
        assert_eq!(rdinstret(S2), 0xc020_2973);
        assert_eq!(ld(S4, 0, ZERO), 0x0000_3a03);
        assert_eq!(sd(S3, 0, S4), 0x013a_3023);
        assert_eq!(sub(S3, S3, S2), 0x4129_89b3);
        assert_eq!(FOREVER, 0xfff0_0293);
        let spin = Code::new().jump(0).finish();
        assert_eq!(spin[..4], 0x0000_006f_u32.to_le_bytes());
        let back = Code::new()
            .words([ECALL; 2])
            .branch_unless_zero(S1, 0)
            .finish();
        assert_eq!(back[8..12], 0xfe04_9ce3_u32.to_le_bytes());
    }
}
