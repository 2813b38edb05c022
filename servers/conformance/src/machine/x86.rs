//! x86-64: instructions by hand (SDM 2, "Instruction Set Reference"), register
//! ids in KVM's layout of ONE_REG.

use super::{Guest, Machine};
use crate::context::QUIET_ENDPOINT;
use abi::exit::RouteKey;
use abi::fault::FaultKind;
use x86_regs::feature;

/// Type field of the processor's registers.
const CORE: u64 = 0x2030_0004_0000_0000;
/// Control register 0.
const CR0: u64 = CORE | 18;

/// Returns the id of a field of a segment.
const fn segment(segment: u64, field: u64) -> u64 {
    0x2030_0005_0000_0000 | segment << 2 | field
}

/// The slot of the quiet endpoint, as an instruction has it.
const QUIET: [u8; 4] = QUIET_ENDPOINT.to_le_bytes();

/// Instructions of a guest that end in a hypercall.
struct Code {
    hypercall: &'static [u8],
    store: &'static [u8],
    device_store: &'static [u8],
    device_load: &'static [u8],
    wait: &'static [u8],
    control: &'static [u8],
}

/// Returns those with a hypercall of the bytes 0f 01 and this one.
macro_rules! code {
    ($last:literal) => {
        Code {
            // hypercall; hypercall; jmp .
            hypercall: &[0x0f, 0x01, $last, 0x0f, 0x01, $last, 0xeb, 0xfe],
            // mov ds:[edx], eax; hypercall; jmp .
            store: &[0x3e, 0x89, 0x02, 0x0f, 0x01, $last, 0xeb, 0xfe],
            // out dx, eax; nop; nop; hypercall; jmp .
            device_store: &[0xef, 0x90, 0x90, 0x0f, 0x01, $last, 0xeb, 0xfe],
            // in eax, dx; nop; nop; hypercall; jmp .
            device_load: &[0xed, 0x90, 0x90, 0x0f, 0x01, $last, 0xeb, 0xfe],
            // nop; nop; hlt; hypercall; jmp .
            wait: &[0x90, 0x90, 0xf4, 0x0f, 0x01, $last, 0xeb, 0xfe],
            // mov eax, 0x40000031; mov cr0, eax; xor eax, eax; mov eax, cr0; hypercall; jmp .
            control: &[
                0xb8, 0x31, 0, 0, 0x40, 0x0f, 0x22, 0xc0, 0x31, 0xc0, 0x0f, 0x20, 0xc0, 0x0f, 0x01,
                $last, 0xeb, 0xfe,
            ],
        }
    };
}

/// The machine with SVM: the hypercall is VMMCALL.
static SVM: Machine = machine(&code!(0xd9));
/// The machine with VMX: the hypercall is VMCALL.
static VMX: Machine = machine(&code!(0xc1));

/// Returns the machine's part of the suite.
pub fn current() -> &'static Machine {
    let features = rt::boot::info().map_or(0, |info| info.features[0]);
    if features & feature::VMX == 0 {
        &SVM
    } else {
        &VMX
    }
}

/// Registers of 32-bit protected mode without paging.
const PREPARE: &[(u64, u64)] = &[
    (CR0, 0x11),
    (segment(1, 1), 0xc9b),
    (segment(1, 2), 0xffff_ffff),
    (segment(1, 3), 0),
    (segment(2, 1), 0xc93),
    (segment(2, 2), 0xffff_ffff),
    (segment(3, 1), 0xc93),
    (segment(3, 2), 0xffff_ffff),
];

/// SYSENTER_ESP, and the base of FS.
const KEPT: &[u64] = &[0x2030_0002_0000_0175, segment(4, 3)];

/// What faults.
const FAULTS: &[(FaultKind, &[u8])] = &[
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
];

/// Returns the machine's part for guests of these instructions.
const fn machine(code: &Code) -> Machine {
    Machine {
        faults: FAULTS,
        // addps xmm0, xmm0
        floating_point: &[0x0f, 0x58, 0xc0],
        unsaved: None,
        executed_call: None,
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
        large_order: 21,
        // The root and three tables.
        small_fund: 14,
        execute_feature: 0,
        firmware_unknown: [0xdead_beef, 0, 0, 0, 0, 0],
        // What is written is a byte.
        firmware_bad: Some([0, 0x100, 0, 0, 0, 0]),
        firmware_refused: None,
        // The scratch register of COM1.
        port: Some(0x3ff),
        guest: Guest {
            memory: 0x8000_0000,
            device_key: RouteKey::Port,
            device: 0x1000,
            prepare: PREPARE,
            root_pages: 1,
            width: 32,
            hypercall: code.hypercall,
            // cpuid
            emulated: (&[0x0f, 0xa2], 0xa20f),
            store: code.store,
            device_store: code.device_store,
            device_load: code.device_load,
            wait: code.wait,
            // inc ecx; mov [edx], ecx; jmp -5
            count: &[0x41, 0x89, 0x0a, 0xeb, 0xfb],
            // Nobody is there to tell which interrupt it is.
            take_lines: &[],
            poll_lines: &[],
            other_enable: 0x202,
            instruction_size: 3,
            // edx, eax, eax
            registers: [2, 0, 0],
            kept: KEPT,
            program_counter: CORE | 16,
            // RFLAGS without IF: only the non-maskable line wakes.
            enable: (CORE | 17, 2),
            timer_enable: 0x202,
            timer_line: 4,
            time: None,
            has_windows: true,
            end_of_wait: None,
            // Numeric errors, and caches off.
            control: Some((code.control, 0x4000_0031)),
            storage_key: None,
            told: u64::MAX,
            // Non-maskable.
            line: 2,
            // Maskable.
            other_line: 1,
            no_line: 1 << 63,
            no_register: CORE | 0xfff,
            // Paging without protection.
            bad_value: (CR0, 1 << 31),
        },
    }
}
