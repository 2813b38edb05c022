//! x86-64: instructions by hand (SDM 2, "Instruction Set Reference").
//!
//! The counter is RDTSC, which takes rax and rdx: five instructions lie between a reading and what
//! is counted, two between that and the next reading, as in `rt::sys::counted`.

use super::code::Code;
use super::{Guest, Machine, Program};
use crate::partner::{OTHER, THIRD, WAITS_AT};
use abi::exit::RouteKey;
use abi::{CallNumber, Rights};

/// syscall
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// mov r13, -1: a deadline that never comes.
const FOREVER: [u8; 7] = [0x49, 0xc7, 0xc5, 0xff, 0xff, 0xff, 0xff];
/// rdtsc; shl rdx, 32; or rax, rdx
const READ: [u8; 9] = [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0];
/// nop; nop
const TWO: [u8; 2] = [0x90, 0x90];
/// A NOP that is a mark for who traces the machine: `rt::sys::mark`.
const MARK: [u8; 7] = [0x0f, 0x1f, 0x80, b'S', b'k', b'e', b'r'];
/// mov rax, [0], by an address of 32 bits
const LOAD_FROM_0: [u8; 8] = [0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0];
/// Type field of the processor's registers.
const CORE: u64 = 0x2030_0004_0000_0000;

/// Returns the id of a field of a segment.
const fn segment(segment: u64, field: u64) -> u64 {
    0x2030_0005_0000_0000 | segment << 2 | field
}

/// The machine.
pub static X86: Machine = Machine {
    echo,
    caller,
    answer,
    wait,
    fault,
    fault_length: LOAD_FROM_0.len() as u64,
    fault_registers: None,
    table_reach: 1 << 21,
    tables: 511,
    // Guests run in 32-bit protected mode without paging.
    guest: Guest {
        memory: 0x8000_0000,
        program_counter: CORE | 16,
        prepare: &[
            (CORE | 18, 0x11),
            (segment(1, 1), 0xc9b),
            (segment(1, 2), 0xffff_ffff),
            (segment(1, 3), 0),
            (segment(2, 1), 0xc93),
            (segment(2, 2), 0xffff_ffff),
            (segment(3, 1), 0xc93),
            (segment(3, 2), 0xffff_ffff),
        ],
        device: (RouteKey::Port, 0x1000),
        // nop
        nothing: || rounds(&[0x90], &[]),
        // vmmcall
        hypercall: || rounds(&[0x0f, 0x01, 0xd9], &[]),
        // in eax, dx
        load: || rounds(&[0xed], &[]),
        // out dx, eax
        store: || rounds(&[0xef], &[]),
        // mov [ebx], eax, and add ebx, 4096
        touch: || rounds(&[0x89, 0x03], &[0x81, 0xc3, 0, 0x10, 0, 0]),
        pager,
        // rbx, rdi, rcx
        start: |address, samples, rounds| [(3, address), (7, samples), (1, rounds)],
    },
};

/// mov eax, number
const fn call(number: CallNumber) -> [u8; 5] {
    [0xb8, number as u8, 0, 0, 0]
}

/// mov edi, slot
const fn place() -> [u8; 5] {
    [0xbf, WAITS_AT as u8, 0, 0, 0]
}

/// Adds a call that waits.
fn waits(code: Code, number: CallNumber) -> Code {
    let code = code.add(&place()).add(&FOREVER);
    code.add(&call(number)).add(&SYSCALL)
}

/// Adds a jump to a place.
fn jump(code: Code, place: usize) -> Code {
    let distance = code.distance(place) - 2;
    code.add(&[0xeb, distance as u8])
}

/// Adds an answer to the caller with the message info in rax, and the jump to it: six instructions.
fn answers(code: Code, again: usize) -> Program {
    // shl rax, 32; add rax, number
    let code = code.add(&[0x48, 0xc1, 0xe0, 0x20]);
    let code = code.add(&[0x48, 0x83, 0xc0, CallNumber::ReplyReceive as u8]);
    let code = code.add(&place()).add(&FOREVER).add(&SYSCALL);
    jump(code, again).finish()
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
    let [low, high] = calls.to_le_bytes();
    // mov edi, OTHER
    let code = Code::new().add(&[0xbf, OTHER as u8, 0, 0, 0]);
    let code = code.add(&FOREVER).add(&call(CallNumber::Wait));
    // mov dword [rsp], calls
    let code = code.add(&SYSCALL).add(&[0xc7, 0x04, 0x24, low, high, 0, 0]);
    let again = code.here();
    // mov eax, 4; shl rax, 32; add rax, number
    let code = code.add(&READ).add(&[0xb8, 4, 0, 0, 0]);
    let code = code.add(&[0x48, 0xc1, 0xe0, 0x20]);
    let code = code.add(&[0x48, 0x83, 0xc0, CallNumber::Call as u8]);
    let code = code.add(&place()).add(&FOREVER).add(&SYSCALL).add(&READ);
    // dec dword [rsp]; jnz again
    let code = code.add(&[0xff, 0x0c, 0x24]);
    let distance = code.distance(again) - 2;
    let code = code.add(&[0x75, distance as u8]).add(&MARK);
    // mov edi, THIRD
    let code = code.add(&[0xbf, THIRD as u8, 0, 0, 0]);
    let code = code.add(&call(CallNumber::Signal)).add(&SYSCALL);
    jump(code, 0).finish()
}

/// Seven instructions a round.
fn answer(words: u8) -> Program {
    let code = waits(Code::new(), CallNumber::Receive);
    let again = code.here();
    // mov eax, words
    answers(code.add(&[0xb8, words, 0, 0, 0]), again)
}

/// Reads the counter behind each wait and writes it to [rsp].
fn wait() -> Program {
    let code = waits(Code::new(), CallNumber::Wait).add(&TWO).add(&READ);
    jump(code.add(&[0x48, 0x89, 0x04, 0x24]), 0).finish()
}

/// Writes the counter before to [rsp], and after to [rsp + 8].
fn fault() -> Program {
    let code = Code::new().add(&READ).add(&[0x48, 0x89, 0x04, 0x24]);
    let code = code.add(&TWO).add(&LOAD_FROM_0).add(&TWO).add(&READ);
    jump(code.add(&[0x48, 0x89, 0x44, 0x24, 8]), 0).finish()
}

/// Thirteen instructions a round.
fn pager() -> Program {
    let rights = Rights::new().with_read(true).with_write(true).into_bits();
    let code = waits(Code::new(), CallNumber::Receive);
    let again = code.here();
    let code = code
        // mov rdi, [rsp + 8]
        .add(&[0x48, 0x8b, 0x7c, 0x24, 8])
        // mov esi, OTHER
        .add(&[0xbe, OTHER as u8, 0, 0, 0])
        // mov rdx, [rsp]
        .add(&[0x48, 0x8b, 0x14, 0x24])
        // mov r10d, rights
        .add(&[0x41, 0xba, rights as u8, 0, 0, 0])
        .add(&call(CallNumber::Map))
        .add(&SYSCALL)
        // add qword [rsp], 4096
        .add(&[0x48, 0x81, 0x04, 0x24, 0, 0x10, 0, 0])
        // inc qword [rsp + 8]
        .add(&[0x48, 0xff, 0x44, 0x24, 8]);
    jump(waits(code, CallNumber::ReplyReceive), again).finish()
}

/// Returns a guest that counts an instruction; `step` follows each round.
fn rounds(instruction: &[u8], step: &[u8]) -> Program {
    let code = Code::new()
        // rdtsc; mov esi, eax; mov edx, ebx
        .add(&[0x0f, 0x31, 0x89, 0xc6, 0x89, 0xda])
        .add(instruction)
        // rdtsc; sub eax, esi; mov [edi], eax; add edi, 8
        .add(&[0x0f, 0x31, 0x29, 0xf0, 0x89, 0x07, 0x83, 0xc7, 8])
        .add(step)
        // dec ecx
        .add(&[0x49]);
    // jnz 0
    let distance = code.distance(0) - 2;
    let code = code.add(&[0x75, distance as u8]);
    // mov [0], eax; jmp .
    code.add(&[0xa3, 0, 0, 0, 0, 0xeb, 0xfe]).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_go_where_they_should() {
        let spin = jump(Code::new(), 0).finish();
        assert_eq!(spin[..2], [0xeb, 0xfe]);
        let back = jump(Code::new().add(&[0x90]), 0).finish();
        assert_eq!(back[..3], [0x90, 0xeb, 0xfd]);
    }

    #[test]
    fn a_guest_repeats_its_round_from_the_first_instruction() {
        let code = rounds(&[0x90], &[]);
        let end = code
            .iter()
            .position(|byte| *byte == 0x75)
            .expect("a branch");
        let target = end as i32 + 2 + i32::from(code[end + 1].cast_signed());
        assert_eq!(target, 0);
    }
}
