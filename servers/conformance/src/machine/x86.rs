//! x86-64: instructions by hand (SDM 2, "Instruction Set Reference"). There are no guests yet.

use super::{Guest, Machine};
use crate::context::QUIET_ENDPOINT;
use abi::fault::FaultKind;

/// The slot of the quiet endpoint, as an instruction has it.
const QUIET: [u8; 4] = QUIET_ENDPOINT.to_le_bytes();

/// The machine's part of the suite.
pub static X86: Machine = Machine {
    faults: &[
        // mov rsi, [rdi]
        (FaultKind::Load, &[0x48, 0x8b, 0x37]),
        // mov [rdi], rdi
        (FaultKind::Store, &[0x48, 0x89, 0x3f]),
        // jmp rdi
        (FaultKind::Fetch, &[0xff, 0xe7]),
        // ud2
        (FaultKind::IllegalInstruction, &[0x0f, 0x0b]),
        // int3
        (FaultKind::Breakpoint, &[0xcc]),
    ],
    // mov rdi, rsp; mov eax, 7 (Signal); syscall; mov edi, QUIET_ENDPOINT; mov eax, 2 (Receive);
    // mov r13, -1; syscall; jmp .
    report: &[
        0x48, 0x89, 0xe7, 0xb8, 7, 0, 0, 0, 0x0f, 0x05, 0xbf, QUIET[0], QUIET[1], QUIET[2],
        QUIET[3], 0xb8, 2, 0, 0, 0, 0x49, 0xc7, 0xc5, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x05, 0xeb,
        0xfe,
    ],
    // jmp .
    spin: &[0xeb, 0xfe],
    // mov [rdi], rdi; jmp -5
    touch: &[0x48, 0x89, 0x3f, 0xeb, 0xfb],
    firmware_unknown: [0xdead_beef, 0, 0, 0, 0, 0],
    // What is written is a byte.
    firmware_bad: Some([0, 0x100, 0, 0, 0, 0]),
    firmware_refused: None,
    guest: Guest {
        memory: 0x8000_0000,
        device: 0x1000_0000,
        hypercall: &[],
        store: &[],
        load: &[],
        wait: &[],
        count: &[],
        take_lines: &[],
        other_enable: 0,
        instruction_size: 3,
        registers: [7, 6, 2],
        program_counter: 0,
        enable: (0, 0),
        timer_enable: 0,
        line: 1,
        other_line: 2,
        no_line: 1 << 63,
        no_register: u64::MAX,
        bad_value: (0, 0),
    },
};
