//! The decoder of x86 instructions: what the manual has, and that no bytes break it.
#![allow(missing_docs)]

use proptest::prelude::*;
use vcpu::machine::x86::instruction::{
    BitChange, Bytes, Instruction, LONGEST, Mode, Operation, Operator, Part, PortString, Source,
};

fn decode(bytes: &[u8], mode: Mode) -> Option<Instruction> {
    Instruction::decode(Bytes::new(bytes), mode)
}

fn port_string(bytes: &[u8], mode: Mode) -> Option<PortString> {
    PortString::decode(Bytes::new(bytes), mode)
}

const fn register(register: u8) -> Part {
    Part {
        register,
        high: false,
    }
}

fn load(to: Part, wide: u8, signed: bool) -> Operation {
    Operation::Load { to, wide, signed }
}

fn combine(operator: Operator, source: Source, to_register: bool) -> Operation {
    Operation::Combine {
        operator,
        source,
        to_register,
    }
}

/// Bytes in 64-bit mode, what they do, and the size of the operand.
#[expect(clippy::too_many_lines, reason = "a table, a row per instruction")]
fn table() -> Vec<(&'static [u8], Operation, u8)> {
    use Operation::{Bit, Exchange, Store};
    use Source::{Immediate, Register};
    vec![
        // mov eax, [rdi]; mov [rdi], eax; mov r9, [rdi + 8]; mov al, [rdi]; mov [rdi], ah
        (&[0x8b, 0x07], load(register(0), 4, false), 4),
        (&[0x89, 0x07], Store(Register(register(0))), 4),
        (&[0x4c, 0x8b, 0x4f, 8], load(register(9), 8, false), 8),
        (&[0x8a, 0x07], load(register(0), 1, false), 1),
        (
            &[0x88, 0x27],
            Store(Register(Part {
                register: 0,
                high: true,
            })),
            1,
        ),
        // mov [rdi], spl
        (&[0x40, 0x88, 0x27], Store(Register(register(4))), 1),
        // mov dword [0xfee000b0], 0 by SIB without base; mov word [rdi], -1; mov qword [rdi], -1
        (
            &[0xc7, 0x04, 0x25, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0],
            Store(Immediate),
            4,
        ),
        (&[0x66, 0xc7, 0x07, 0xff, 0xff], Store(Immediate), 2),
        (
            &[0x48, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff],
            Store(Immediate),
            8,
        ),
        // movzx eax, byte [rdi]; movsx rax, word [rdi]; movsxd rax, [rdi]
        (&[0x0f, 0xb6, 0x07], load(register(0), 4, false), 1),
        (&[0x48, 0x0f, 0xbf, 0x07], load(register(0), 8, true), 2),
        (&[0x48, 0x63, 0x07], load(register(0), 8, true), 4),
        // or dword [rdi], 0x100; and [rdi], ecx; cmp al, [rdi]; test byte [rdi], 1; xor [rdi], -1
        (
            &[0x81, 0x0f, 0, 1, 0, 0],
            combine(Operator::Or, Immediate, false),
            4,
        ),
        (
            &[0x21, 0x0f],
            combine(Operator::And, Register(register(1)), false),
            4,
        ),
        (
            &[0x3a, 0x07],
            combine(Operator::Compare, Register(register(0)), true),
            1,
        ),
        (
            &[0xf6, 0x07, 1],
            combine(Operator::Test, Immediate, false),
            1,
        ),
        (
            &[0x83, 0x37, 0xff],
            combine(Operator::ExclusiveOr, Immediate, false),
            4,
        ),
        // xchg [rdi], eax; bt dword [rdi], 5; lock bts [rdi], rax
        (&[0x87, 0x07], Exchange(register(0)), 4),
        (
            &[0x0f, 0xba, 0x27, 5],
            Bit {
                change: BitChange::Test,
                source: Immediate,
            },
            4,
        ),
        (
            &[0xf0, 0x48, 0x0f, 0xab, 0x07],
            Bit {
                change: BitChange::Set,
                source: Register(register(0)),
            },
            8,
        ),
        // mov eax, [moffs]; stosd; movsb
        (
            &[0xa1, 0, 0, 0, 0, 1, 0, 0, 0],
            load(register(0), 4, false),
            4,
        ),
        (&[0xab], Operation::StoreString, 4),
        (&[0xa4], Operation::MoveString, 1),
    ]
}

#[test]
fn instructions_are_those_of_the_manual() {
    for (bytes, operation, size) in table() {
        let found = decode(bytes, Mode::Bits64);
        let found = found.unwrap_or_else(|| panic!("{bytes:02x?} is one"));
        assert_eq!(
            (found.operation, found.size),
            (operation, size),
            "{bytes:02x?}"
        );
        assert_eq!(usize::from(found.length), bytes.len(), "{bytes:02x?}");
    }
}

#[test]
fn values_of_instructions_have_their_sign() {
    let rows: [(&[u8], i32); 8] = [
        (
            &[
                0xc7, 0x04, 0x25, 0xb0, 0, 0xe0, 0xfe, 0x44, 0x33, 0x22, 0x91,
            ],
            0x9122_3344_u32 as i32,
        ),
        (&[0x66, 0xc7, 0x07, 0xfe, 0xff], -2),
        (&[0x48, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff], -1),
        (&[0x81, 0x0f, 0, 1, 0, 0], 0x100),
        (&[0xf6, 0x07, 0x81], -127),
        (&[0x83, 0x37, 0xff], -1),
        (&[0x0f, 0xba, 0x27, 5], 5),
        // No value: not [rdi]
        (&[0xf7, 0x17], 0),
    ];
    for (bytes, immediate) in rows {
        let found = decode(bytes, Mode::Bits64).map(|it| (it.immediate, it.length));
        assert_eq!(found, Some((immediate, bytes.len() as u8)), "{bytes:02x?}");
    }
}

#[test]
fn a_cut_instruction_is_none() {
    for (bytes, ..) in table() {
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length], Mode::Bits64), None);
        }
    }
}

#[test]
fn modes_and_prefixes_change_sizes() {
    let size = |bytes: &[u8], mode| decode(bytes, mode).map(|it| it.size);
    assert_eq!(size(&[0x8b, 0x07], Mode::Bits16), Some(2));
    assert_eq!(size(&[0x66, 0x8b, 0x07], Mode::Bits16), Some(4));
    assert_eq!(size(&[0x66, 0x8b, 0x07], Mode::Bits32), Some(2));
    // 16-bit addressing: [bx + disp16] is longer than 32-bit [edi].
    let long = decode(&[0x8b, 0x87, 1, 2], Mode::Bits16).expect("one");
    assert_eq!(long.length, 4);
    // A register operand is no memory.
    assert_eq!(decode(&[0x8b, 0xc7], Mode::Bits64), None);
    // REX before another prefix does not count.
    assert_eq!(size(&[0x48, 0x66, 0x8b, 0x07], Mode::Bits64), Some(2));
}

#[test]
fn strings_of_ports_are_known() {
    let outs = port_string(&[0xf3, 0x6e], Mode::Bits64).expect("rep outsb");
    assert!(outs.write && outs.repeats && outs.size == 1 && outs.length == 2);
    let ins = port_string(&[0x66, 0x6d], Mode::Bits32).expect("insw");
    assert!(!ins.write && !ins.repeats && ins.size == 2);
    assert_eq!(port_string(&[0xee], Mode::Bits64), None);
}

proptest! {
    #[test]
    fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        for mode in [Mode::Bits16, Mode::Bits32, Mode::Bits64] {
            if let Some(found) = decode(&bytes, mode) {
                prop_assert!(usize::from(found.length) <= LONGEST.min(bytes.len()));
                prop_assert!([1, 2, 4, 8].contains(&found.size));
                prop_assert!(mode == Mode::Bits64 || found.size < 8);
                // What follows does not matter.
                let exact = &bytes[..usize::from(found.length)];
                prop_assert_eq!(decode(exact, mode), Some(found));
            }
            if let Some(found) = port_string(&bytes, mode) {
                prop_assert!(usize::from(found.length) <= LONGEST.min(bytes.len()));
            }
        }
    }
}
