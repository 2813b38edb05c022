//! RISC-V: instructions of partners and guests, put together at run time from their formats
//! (Unprivileged ISA manual, chapter "RV32/64G Instruction Set Listings").

use crate::partner::{OTHER, WAITS_AT};
use abi::CallNumber;
use abi::Rights;
use abi::call::MACHINE_REGISTERS;
use abi::register::{RISCV, SIZE_U64};

/// Where a guest's memory begins.
pub const GUEST_MEMORY: u64 = 0x8000_0000;
/// Register id of a guest's program counter: the first of the core registers.
pub const GUEST_COUNTER: u64 = RISCV | SIZE_U64 | 2 << 24;
/// Bytes of an instruction.
pub const INSTRUCTION: u64 = 4;
/// Register of a faulting thread with the count before the fault.
pub const BEFORE: u64 = MACHINE_REGISTERS + S2 as u64;
/// Register of a faulting thread with the count after it.
pub const AFTER: u64 = MACHINE_REGISTERS + S3 as u64;

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
/// Bytes of the longest program.
const BYTES: usize = 128;

/// Instructions being put together.
struct Code {
    words: [u32; BYTES / 4],
    count: usize,
}

impl Code {
    /// Returns no instructions.
    const fn new() -> Self {
        Self {
            words: [0; BYTES / 4],
            count: 0,
        }
    }

    /// Adds instructions.
    fn add<const N: usize>(mut self, words: [u32; N]) -> Self {
        for word in words {
            self.words[self.count] = word;
            self.count += 1;
        }
        self
    }

    /// Adds `j` to the instruction with the index `target`.
    fn jump(self, target: usize) -> Self {
        let offset = (target as i32 - self.count as i32) * 4;
        let bits = offset as u32;
        let immediate = (bits >> 20 & 1) << 31
            | (bits >> 1 & 0x3ff) << 21
            | (bits >> 11 & 1) << 20
            | (bits >> 12 & 0xff) << 12;
        self.add([immediate | 0x6f])
    }

    /// Adds `bnez` of a register to the instruction with the index `target`.
    fn branch_unless_zero(self, register: u32, target: usize) -> Self {
        let offset = (target as i32 - self.count as i32) * 4;
        let bits = offset as u32;
        let upper = (bits >> 12 & 1) << 31 | (bits >> 5 & 0x3f) << 25;
        let lower = (bits >> 1 & 0xf) << 8 | (bits >> 11 & 1) << 7;
        self.add([upper | lower | register << 15 | 1 << 12 | 0x63])
    }

    /// Returns the bytes.
    fn bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (place, word) in bytes.chunks_exact_mut(4).zip(self.words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
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

/// `li` of a deadline that never comes.
const FOREVER: u32 = li(T0, -1);

/// Answers each call with its own words: six instructions a round.
pub fn echo() -> [u8; BYTES] {
    let receive = [place(), FOREVER, call(CallNumber::Receive), ECALL];
    let answer = [
        slli(A7, A7, 32),
        addi(A7, A7, CallNumber::ReplyReceive as i32),
        place(),
        FOREVER,
        ECALL,
    ];
    Code::new().add(receive).add(answer).jump(4).bytes()
}

/// Answers each message with so many words, which are zero: seven instructions a round.
pub fn answer(words: i32) -> [u8; BYTES] {
    let receive = [place(), FOREVER, call(CallNumber::Receive), ECALL];
    let answer = [
        li(A7, words),
        slli(A7, A7, 32),
        addi(A7, A7, CallNumber::ReplyReceive as i32),
        place(),
        FOREVER,
        ECALL,
    ];
    Code::new().add(receive).add(answer).jump(4).bytes()
}

/// Waits for signals and writes the count to the start of the page in the stack pointer.
pub fn wait() -> [u8; BYTES] {
    let round = [
        place(),
        FOREVER,
        call(CallNumber::Wait),
        ECALL,
        rdinstret(T6),
        sd(T6, 0, SP),
    ];
    Code::new().add(round).jump(0).bytes()
}

/// Loads from address 0 for ever.
pub fn fault() -> [u8; BYTES] {
    let round = [rdinstret(S2), ld(S4, 0, ZERO), rdinstret(S3)];
    Code::new().add(round).jump(0).bytes()
}

/// Answers each missing page by mapping the next frame at the next address; address and slot are at
/// the start of the page in the stack pointer. 14 instructions a round.
pub fn pager() -> [u8; BYTES] {
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
        .add(receive)
        .add(map)
        .add(answer)
        .jump(6)
        .bytes()
}

/// Returns a guest that counts an instruction and what follows from it, writes that down, and after
/// the last round stores to address 0.
fn rounds(instruction: u32, step: u32) -> [u8; BYTES] {
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
    let code = Code::new().add([page_size(T1)]).add(round);
    let code = code.branch_unless_zero(S1, 1).add([sd(ZERO, 0, ZERO)]);
    let end = code.count;
    code.jump(end).bytes()
}

/// Makes hypercalls.
pub fn hypercall() -> [u8; BYTES] {
    rounds(ECALL, add(S0, S0, ZERO))
}

/// Loads from a device.
pub fn load() -> [u8; BYTES] {
    rounds(ld(A2, 0, S0), add(S0, S0, ZERO))
}

/// Stores to a device.
pub fn store() -> [u8; BYTES] {
    rounds(sd(A2, 0, S0), add(S0, S0, ZERO))
}

/// Stores to one page after the other.
pub fn touch() -> [u8; BYTES] {
    rounds(sd(ZERO, 0, S0), add(S0, S0, T1))
}

/// Returns what a guest's registers hold at the start: index in the register page, and value.
pub const fn guest_start(address: u64, samples: u64, rounds: u64) -> [(usize, u64); 3] {
    [
        (S0 as usize, address),
        (S1 as usize, rounds),
        (S4 as usize, samples),
    ]
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
        let spin = Code::new().jump(0).bytes();
        assert_eq!(spin[..4], 0x0000_006f_u32.to_le_bytes());
        let back = Code::new()
            .add([ECALL; 2])
            .branch_unless_zero(S1, 0)
            .bytes();
        assert_eq!(back[8..12], 0xfe04_9ce3_u32.to_le_bytes());
    }
}
