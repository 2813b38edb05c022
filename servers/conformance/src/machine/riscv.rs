//! RISC-V: instructions by hand (Unprivileged ISA manual, chapter "RV32/64G Instruction Set
//! Listings"), register ids as KVM's ONE_REG has them.

use super::{Guest, Machine};
use crate::context::QUIET_ENDPOINT;
use abi::exit::RouteKey;
use abi::fault::FaultKind;
use abi::register::{RISCV as ARCHITECTURE, SIZE_U64};

/// Type field of core registers.
const CORE: u64 = ARCHITECTURE | SIZE_U64 | 2 << 24;
/// Type field of control and status registers.
const CSR: u64 = ARCHITECTURE | SIZE_U64 | 3 << 24;
/// Type field of the timer's registers.
const TIMER: u64 = ARCHITECTURE | SIZE_U64 | 4 << 24;

/// Type field of floating-point registers.
const DOUBLE: u64 = ARCHITECTURE | SIZE_U64 | 6 << 24;

/// Returns instructions as bytes.
const fn code<const N: usize, const BYTES: usize>(words: [u32; N]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let mut index = 0;
    while index < BYTES {
        bytes[index] = words[index / 4].to_le_bytes()[index % 4];
        index += 1;
    }
    bytes
}

/// `j .`
const SPIN: u32 = 0x0000_006f;
/// `ecall`
const ECALL: u32 = 0x0000_0073;

/// The machine's part of the suite.
pub static RISCV: Machine = Machine {
    faults: &[
        // ld a1, 0(a0)
        (FaultKind::Load, &code::<1, 4>([0x0005_3583])),
        // sd a0, 0(a0)
        (FaultKind::Store, &code::<1, 4>([0x00a5_3023])),
        // jr a0
        (FaultKind::Fetch, &code::<1, 4>([0x0005_0067])),
        // csrw cycle, zero: the assembler's unimp
        (FaultKind::IllegalInstruction, &code::<1, 4>([0xc000_1073])),
        // ebreak
        (FaultKind::Breakpoint, &code::<1, 4>([0x0010_0073])),
    ],
    // fadd.d ft0, ft0, ft0
    floating_point: &code::<1, 4>([0x0200_7053]),
    unsaved: None,
    executed_call: None,
    // mv a0, sp; li a7, 7 (Signal); ecall; li a0, QUIET_ENDPOINT; li a7, 2 (Receive); li t0, -1;
    // ecall; j .
    report: &code::<8, 32>([
        0x0001_0513,
        0x0070_0893,
        ECALL,
        QUIET_ENDPOINT << 20 | 0x0000_0513,
        0x0020_0893,
        0xfff0_0293,
        ECALL,
        SPIN,
    ]),
    spin: &code::<1, 4>([SPIN]),
    // sd a0, 0(a0); j -4
    touch: &code::<2, 8>([0x00a5_3023, 0xffdf_f06f]),
    large_order: 21,
    // The root and three tables.
    small_fund: 14,
    execute_feature: 0,
    firmware_unknown: [0xdead_beef, 0, 0, 0, 0, 0],
    // SRST with a reset type that is no 32-bit number.
    firmware_bad: Some([0x5352_5354, 0, u64::MAX, 0, 0, 0]),
    // SRST with a reset type that is reserved.
    firmware_refused: Some([0x5352_5354, 0, 0x7fff_ffff, 0, 0, 0]),
    port: None,
    guest: Guest {
        memory: 0x8000_0000,
        device_key: RouteKey::Device,
        device: 0x1000_0000,
        prepare: &[],
        root_pages: 4,
        width: 64,
        hypercall: &code::<3, 12>([ECALL, ECALL, SPIN]),
        // csrr a0, hstatus
        emulated: (&code::<1, 4>([0x6000_2573]), 0x6000_2573),
        // sd a1, 0(a0)
        store: &code::<3, 12>([0x00b5_3023, ECALL, SPIN]),
        device_store: &code::<3, 12>([0x00b5_3023, ECALL, SPIN]),
        // ld a2, 0(a0)
        device_load: &code::<3, 12>([0x0005_3603, ECALL, SPIN]),
        // wfi
        wait: &code::<3, 12>([0x1050_0073, ECALL, SPIN]),
        // addi a1, a1, 1; sd a1, 0(a0); j -8
        count: &code::<3, 12>([0x0015_8593, 0x00b5_3023, 0xff9f_f06f]),
        // wfi; csrci sip, 2; addi a1, a1, 1; sd a1, 0(a0); j -16
        take_lines: &code::<5, 20>([
            0x1050_0073,
            0x1441_7073,
            0x0015_8593,
            0x00b5_3023,
            0xff1f_f06f,
        ]),
        // csrr t0, sip; andi t0, t0, 2; beqz t0, -8; csrci sip, 2; addi a1, a1, 1; sd a1, 0(a0);
        // j -24
        poll_lines: &code::<7, 28>([
            0x1440_22f3,
            0x0022_f293,
            0xfe02_8ce3,
            0x1441_7073,
            0x0015_8593,
            0x00b5_3023,
            0xfe9f_f06f,
        ]),
        // sie.SSIE
        other_enable: 1 << 1,
        instruction_size: 4,
        registers: [10, 11, 12],
        // sscratch, and the first and last floating-point register.
        kept: &[CSR | 3, DOUBLE, DOUBLE | 31],
        program_counter: CORE,
        // sie.SEIE
        enable: (CSR | 1, 1 << 9),
        // sie.STIE
        timer_enable: 1 << 5,
        // hvip.VSTIP
        timer_line: 1 << 6,
        time: Some(TIMER | 1),
        has_windows: false,
        end_of_wait: None,
        control: None,
        storage_key: None,
        told: u64::MAX,
        // hvip.VSEIP
        line: 1 << 10,
        // hvip.VSSIP
        other_line: 1 << 2,
        no_line: 1 << 63,
        no_register: CORE | 0xfff,
        // The mode is 0 or 1.
        bad_value: (CORE | 32, 7),
    },
};
