//! s390x: instructions by hand (PoP, chapter 7), system-call registers as `docs/arch-trait.md` has
//! them.

use super::{Guest, Machine};
use crate::context::QUIET_ENDPOINT;
use abi::exit::RouteKey;
use abi::fault::FaultKind;

/// Low byte of the slot of the endpoint that is quiet.
const QUIET_LOW: u8 = QUIET_ENDPOINT as u8;
/// High byte of it: an immediate operand has 16 bits.
const QUIET_HIGH: u8 = (QUIET_ENDPOINT >> 8) as u8;
/// j .
const SPIN: [u8; 4] = [0xa7, 0xf4, 0, 0];

/// The machine's part of the suite.
pub static S390: Machine = Machine {
    faults: &[
        // lg %r3, 0(%r2)
        (FaultKind::Load, &[0xe3, 0x30, 0x20, 0, 0, 0x04]),
        // stg %r2, 0(%r2)
        (FaultKind::Store, &[0xe3, 0x20, 0x20, 0, 0, 0x24]),
        // br %r2
        (FaultKind::Fetch, &[0x07, 0xf2]),
        // An operation code that there is not.
        (FaultKind::IllegalInstruction, &[0, 0]),
        // What debuggers put in place of an instruction.
        (FaultKind::Breakpoint, &[0, 1]),
    ],
    // lgr %r2, %r15; lghi %r1, 7 (Signal); svc 0; lghi %r2, QUIET_ENDPOINT; lghi %r1, 2 (Receive);
    // lghi %r9, -1; svc 0; j .
    report: &[
        0xb9, 0x04, 0x00, 0x2f, //
        0xa7, 0x19, 0x00, 0x07, //
        0x0a, 0x00, //
        0xa7, 0x29, QUIET_HIGH, QUIET_LOW, //
        0xa7, 0x19, 0x00, 0x02, //
        0xa7, 0x99, 0xff, 0xff, //
        0x0a, 0x00, //
        0xa7, 0xf4, 0x00, 0x00,
    ],
    spin: &SPIN,
    // stg %r2, 0(%r2); j -6
    touch: &[0xe3, 0x20, 0x20, 0, 0, 0x24, 0xa7, 0xf4, 0xff, 0xfd],
    large_order: 12,
    // The root, and tables of 16 KiB at multiples of their size.
    small_fund: 16,
    execute_feature: s390_regs::feature::NO_EXECUTE,
    firmware_unknown: [0xdead_beef, 0, 0, 0, 0, 0],
    // Stopping, neither well nor failed.
    firmware_bad: Some([2, 2, 0, 0, 0, 0]),
    // There is nothing to collect.
    firmware_refused: Some([4, 0, 0, 0, 0, 0]),
    port: None,
    // No vCPU can be made: nothing of this is used.
    guest: Guest {
        memory: 0,
        device_key: RouteKey::Subchannel,
        device: 1 << 30,
        prepare: &[],
        root_pages: 1,
        width: 64,
        hypercall: &SPIN,
        store: &SPIN,
        device_store: &SPIN,
        device_load: &SPIN,
        wait: &SPIN,
        count: &SPIN,
        take_lines: &SPIN,
        poll_lines: &SPIN,
        other_enable: 0,
        instruction_size: 4,
        registers: [2, 3, 4],
        program_counter: 0,
        enable: (0, 0),
        timer_enable: 0,
        timer_line: 0,
        has_windows: true,
        line: 1,
        other_line: 2,
        no_line: 1 << 63,
        no_register: u64::MAX,
        bad_value: (0, 0),
    },
};
