//! s390x: instructions by hand (PoP, chapter 7), system-call registers as `docs/arch-trait.md` has
//! them.

use super::{Guest, Machine, Unsaved};
use crate::context::QUIET_ENDPOINT;
use abi::exit::RouteKey;
use abi::fault::FaultKind;
use s390_regs::PswMask;
use s390_regs::one_reg::Register;

/// Low byte of the slot of the endpoint that is quiet.
const QUIET_LOW: u8 = QUIET_ENDPOINT as u8;
/// High byte of it: an immediate operand has 16 bits.
const QUIET_HIGH: u8 = (QUIET_ENDPOINT >> 8) as u8;
/// j .
const SPIN: [u8; 4] = [0xa7, 0xf4, 0, 0];

/// diag %r0, %r0, 0x500
const DIAGNOSE: [u8; 4] = [0x83, 0, 0x05, 0];
/// Register id of the PSW's first doubleword.
const PSW_MASK: u64 = Register::PswMask.id();
/// A PSW with 64-bit addresses, closed to interruptions.
const BITS_64: u64 = PswMask::BITS_64.into_bits();
/// The same, open to external interruptions.
const OPEN: u64 = PswMask::BITS_64.with_external(true).into_bits();
/// Where a waiting guest goes on.
const AWAKE: u64 = 4;
/// Bytes of a waiting guest, its external new PSW included.
const WAIT_BYTES: usize = 0x1c0;

/// Returns pieces of code, one behind the other.
const fn joined<const BYTES: usize>(pieces: &[&[u8]]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let (mut piece, mut end) = (0, 0);
    while piece < pieces.len() {
        end = place(&mut bytes, end, pieces[piece]);
        piece += 1;
    }
    bytes
}

/// Writes bytes at a place; returns where they end.
const fn place(bytes: &mut [u8], at: usize, from: &[u8]) -> usize {
    let mut index = 0;
    while index < from.len() {
        bytes[at + index] = from[index];
        index += 1;
    }
    at + from.len()
}

/// `lpswe 0x100`, which waits; behind it a hypercall, to which an external interruption leads too.
const WAIT: [u8; WAIT_BYTES] = {
    let mut bytes = [0; WAIT_BYTES];
    let wait = PswMask::from_bits(OPEN).with_wait(true).into_bits();
    place(&mut bytes, 0, &[0xb2, 0xb2, 0x01, 0]);
    place(&mut bytes, AWAKE as usize, &DIAGNOSE);
    place(&mut bytes, 8, &SPIN);
    place(&mut bytes, 0x100, &wait.to_be_bytes());
    place(&mut bytes, 0x108, &AWAKE.to_be_bytes());
    place(&mut bytes, 0x1b0, &BITS_64.to_be_bytes());
    place(&mut bytes, 0x1b8, &AWAKE.to_be_bytes());
    bytes
};

/// iske %r4, %r2; sske %r3, %r2; a hypercall.
const EXCHANGE_KEY: [u8; 12] = joined(&[&[0xb2, 0x29, 0, 0x42], &[0xb2, 0x2b, 0, 0x32], &DIAGNOSE]);
/// That three times.
const STORAGE_KEY: [u8; 40] = joined(&[&EXCHANGE_KEY, &EXCHANGE_KEY, &EXCHANGE_KEY, &SPIN]);

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
    // adbr %f0, %f0
    floating_point: &[0xb3, 0x1a, 0, 0],
    // FPRs 0, 2, 4 and 6, and access registers 2 to 15.
    unsaved: Some(Unsaved {
        // ld %f0, 0(%r2), …; lam %a2, %a15, 32(%r2)
        fill: &[
            0x68, 0x00, 0x20, 0x00, //
            0x68, 0x20, 0x20, 0x08, //
            0x68, 0x40, 0x20, 0x10, //
            0x68, 0x60, 0x20, 0x18, //
            0x9a, 0x2f, 0x20, 0x20,
        ],
        // std %f0, 0(%r2), …; stam %a2, %a15, 32(%r2)
        store: &[
            0x60, 0x00, 0x20, 0x00, //
            0x60, 0x20, 0x20, 0x08, //
            0x60, 0x40, 0x20, 0x10, //
            0x60, 0x60, 0x20, 0x18, //
            0x9b, 0x2f, 0x20, 0x20,
        ],
        words: 11,
    }),
    // exrl %r0, .+6; svc 0
    executed_call: Some(&[0xc6, 0, 0, 0, 0, 3, 0x0a, 0]),
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
    guest: Guest {
        memory: 0,
        device_key: RouteKey::Subchannel,
        device: 1 << 30,
        prepare: &[
            (PSW_MASK, BITS_64),
            // External interruptions of the clock comparator are enabled.
            (Register::Control(0).id(), 0x8e0),
        ],
        root_pages: 1,
        width: 64,
        hypercall: &joined::<12>(&[&DIAGNOSE, &DIAGNOSE, &SPIN]),
        // servc %r2, %r3
        emulated: (&[0xb2, 0x20, 0, 0x23], 0xb220_0023_0000),
        // stg %r3, 0(%r2)
        store: &joined::<14>(&[&[0xe3, 0x30, 0x20, 0, 0, 0x24], &DIAGNOSE, &SPIN]),
        device_store: &[],
        device_load: &[],
        wait: &WAIT,
        // agsi 0(%r2), 1; j -6
        count: &[0xeb, 0x01, 0x20, 0, 0, 0x7a, 0xa7, 0xf4, 0xff, 0xfd],
        // Nobody is there to tell which interruption it is.
        take_lines: &[],
        poll_lines: &[],
        other_enable: PswMask::BITS_64.with_input_output(true).into_bits(),
        instruction_size: 4,
        registers: [2, 3, 4],
        kept: &[
            Register::Float(0).id(),
            Register::Float(1).id(),
            Register::Float(6).id(),
            Register::Float(15).id(),
            Register::FloatControl.id(),
            Register::Access(0).id(),
            Register::Access(1).id(),
            Register::Access(2).id(),
            Register::Access(15).id(),
            Register::Control(15).id(),
            Register::General(9).id(),
            Register::General(14).id(),
            Register::General(15).id(),
        ],
        program_counter: Register::PswAddress.id(),
        enable: (PSW_MASK, OPEN),
        timer_enable: OPEN,
        timer_line: 0,
        time: None,
        has_windows: true,
        end_of_wait: Some((PSW_MASK, OPEN)),
        control: None,
        storage_key: Some(&STORAGE_KEY),
        told: !0xfff,
        // External.
        line: 1,
        // Input/output.
        other_line: 2,
        no_line: 1 << 63,
        no_register: Register::General(15).id() | 0xff,
        // Half of a prefix area.
        bad_value: (Register::Prefix.id(), 0x1000),
    },
};
