//! The decoders against an encoder that was written from the manual's tables.
#![allow(missing_docs)]

use proptest::prelude::*;
use riscv_regs::Gpr;
use riscv_regs::instruction::{
    CsrOperand, CsrOperation, DataAccess, Length, MemoryInstruction, Operation, SystemInstruction,
    Width,
};
use riscv_regs::trap_instruction::TrapInstruction;
use std::collections::HashMap;

const WIDTHS: [Width; 4] = [Width::Byte, Width::Half, Width::Word, Width::Double];

fn gpr(number: u32) -> Gpr {
    Gpr::new(number as u8).unwrap()
}

fn data(width: Width, operation: Operation, length: Length) -> MemoryInstruction {
    MemoryInstruction::Data(DataAccess {
        width,
        operation,
        length,
    })
}

fn load(width: Width, register: u32, signed: bool, length: Length) -> MemoryInstruction {
    data(
        width,
        Operation::Load {
            destination: gpr(register),
            signed,
        },
        length,
    )
}

fn store(width: Width, register: u32, length: Length) -> MemoryInstruction {
    data(
        width,
        Operation::Store {
            source: gpr(register),
        },
        length,
    )
}

/// I-type encoding.
fn encode_i(opcode: u32, funct3: u32, rd: u32, rs1: u32, imm: u32) -> u32 {
    opcode | rd << 7 | funct3 << 12 | rs1 << 15 | (imm & 0xfff) << 20
}

/// S-type encoding.
fn encode_s(funct3: u32, rs2: u32, rs1: u32, imm: u32) -> u32 {
    0x23 | (imm & 31) << 7 | funct3 << 12 | rs1 << 15 | rs2 << 20 | (imm >> 5 & 0x7f) << 25
}

/// Every load of RV64: mnemonic's funct3, width, sign.
const LOADS: [(u32, Width, bool); 7] = [
    (0, Width::Byte, true),
    (1, Width::Half, true),
    (2, Width::Word, true),
    (3, Width::Double, true),
    (4, Width::Byte, false),
    (5, Width::Half, false),
    (6, Width::Word, false),
];

/// Every compressed access to memory, with what it has to decode to.
fn compressed_table() -> HashMap<u16, MemoryInstruction> {
    let mut table = HashMap::new();
    let mut put = |bits: u32, what| assert!(table.insert(bits as u16, what).is_none());
    for body in 0..1 << 11u32 {
        let (high, base, low, r) = (body >> 8 & 7, body >> 5 & 7, body >> 3 & 3, body & 7);
        put_short_forms(high << 10 | base << 7 | low << 5 | r << 2, &mut put);
    }
    for high in 0..64u32 {
        for r in 0..32u32 {
            put_stack_forms(high, r, &mut put);
        }
    }
    table
}

/// The forms with a base register; `body` has every field but funct3 and the quadrant, 0.
fn put_short_forms(body: u32, put: &mut impl FnMut(u32, MemoryInstruction)) {
    let register = (body >> 2 & 7) + 8;
    let two = Length::Two;
    put(0b001 << 13 | body, MemoryInstruction::OtherRegisters);
    put(0b010 << 13 | body, load(Width::Word, register, true, two));
    put(0b011 << 13 | body, load(Width::Double, register, true, two));
    put(0b101 << 13 | body, MemoryInstruction::OtherRegisters);
    put(0b110 << 13 | body, store(Width::Word, register, two));
    put(0b111 << 13 | body, store(Width::Double, register, two));
    let zcb = 0b100 << 13 | body;
    match (body >> 10 & 7, body >> 6 & 1) {
        (0, _) => put(zcb, load(Width::Byte, register, false, two)),
        (1, bit) => put(zcb, load(Width::Half, register, bit == 1, two)),
        (2, _) => put(zcb, store(Width::Byte, register, two)),
        (3, 0) => put(zcb, store(Width::Half, register, two)),
        _ => {}
    }
}

/// The forms relative to the stack pointer, quadrant 2; `high` has the six bits of the offset.
fn put_stack_forms(high: u32, r: u32, put: &mut impl FnMut(u32, MemoryInstruction)) {
    let store_body = high << 7 | r << 2 | 2;
    let load_body = (high >> 5) << 12 | r << 7 | (high & 31) << 2 | 2;
    put(0b001 << 13 | load_body, MemoryInstruction::OtherRegisters);
    if r != 0 {
        put(
            0b010 << 13 | load_body,
            load(Width::Word, r, true, Length::Two),
        );
        put(
            0b011 << 13 | load_body,
            load(Width::Double, r, true, Length::Two),
        );
    }
    put(0b101 << 13 | store_body, MemoryInstruction::OtherRegisters);
    put(0b110 << 13 | store_body, store(Width::Word, r, Length::Two));
    put(
        0b111 << 13 | store_body,
        store(Width::Double, r, Length::Two),
    );
}

#[test]
fn every_compressed_parcel_decodes_as_the_table_says() {
    let table = compressed_table();
    for parcel in (0..=u16::MAX).filter(|parcel| parcel & 3 != 3) {
        let decoded = MemoryInstruction::decode(u32::from(parcel) | 0xffff_0000);
        assert_eq!(decoded, table.get(&parcel).copied(), "{parcel:#06x}");
    }
}

#[test]
fn loads_and_stores_decode_for_every_register() {
    for register in 0..32 {
        for (funct3, width, signed) in LOADS {
            let bits = encode_i(0x03, funct3, register, 9, 0x7ff);
            let expected = load(width, register, signed, Length::Four);
            assert_eq!(MemoryInstruction::decode(bits), Some(expected));
        }
        for (funct3, width) in WIDTHS.into_iter().enumerate() {
            let bits = encode_s(funct3 as u32, register, 31, 0xfff);
            let expected = store(width, register, Length::Four);
            assert_eq!(MemoryInstruction::decode(bits), Some(expected));
        }
    }
}

#[test]
fn known_encodings_of_an_assembler_decode() {
    let lw_a3 = load(Width::Word, 13, true, Length::Four);
    assert_eq!(MemoryInstruction::decode(0x0045_2683), Some(lw_a3)); // lw a3,4(a0)
    let sw_a3 = store(Width::Word, 13, Length::Four);
    assert_eq!(MemoryInstruction::decode(0x00d5_2423), Some(sw_a3)); // sw a3,8(a0)
    let c_lw_a3 = load(Width::Word, 13, true, Length::Two);
    assert_eq!(MemoryInstruction::decode(0x4154), Some(c_lw_a3)); // c.lw a3,4(a0)
    let c_ldsp_ra = load(Width::Double, 1, true, Length::Two);
    assert_eq!(MemoryInstruction::decode(0x60a2), Some(c_ldsp_ra)); // c.ldsp ra,8(sp)
    assert_eq!(
        MemoryInstruction::decode(0x00d5_202f),
        Some(MemoryInstruction::Atomic)
    ); // amoadd.w
    assert_eq!(
        MemoryInstruction::decode(0x1005_b52f),
        Some(MemoryInstruction::Atomic)
    ); // lr.d
    assert_eq!(MemoryInstruction::decode(0x0000_0013), None); // nop
}

proptest! {
    #[test]
    fn transformed_loads_say_what_the_instruction_said(
        kind in 0usize..7, rd in 0u32..32, rs1 in 0u32..32, imm in 0u32..4096, short: bool,
        offset in 0u8..8,
    ) {
        let (funct3, width, signed) = LOADS[kind];
        let plain = encode_i(0x03, funct3, rd, rs1, imm);
        let decoded = MemoryInstruction::decode(plain).unwrap();
        prop_assert_eq!(decoded, load(width, rd, signed, Length::Four));
        let length = if short { Length::Two } else { Length::Four };
        let cleared = encode_i(0x03, funct3, rd, u32::from(offset), 0);
        let htinst = if short { cleared & !2 } else { cleared };
        let instruction = load(width, rd, signed, length);
        let expected = TrapInstruction::Memory { instruction, offset };
        prop_assert_eq!(TrapInstruction::decode(u64::from(htinst)), expected);
        if imm != 0 {
            prop_assert_eq!(TrapInstruction::decode(u64::from(plain)), TrapInstruction::Unknown);
        }
    }

    #[test]
    fn transformed_stores_say_what_the_instruction_said(
        funct3 in 0u32..4, rs2 in 0u32..32, short: bool, imm in 1u32..4096,
    ) {
        let length = if short { Length::Two } else { Length::Four };
        let cleared = encode_s(funct3, rs2, 0, 0);
        let htinst = if short { cleared & !2 } else { cleared };
        let instruction = store(WIDTHS[funct3 as usize], rs2, length);
        let expected = TrapInstruction::Memory { instruction, offset: 0 };
        prop_assert_eq!(TrapInstruction::decode(u64::from(htinst)), expected);
        let plain = encode_s(funct3, rs2, 0, imm);
        prop_assert_eq!(TrapInstruction::decode(u64::from(plain)), TrapInstruction::Unknown);
    }

    #[test]
    fn csr_instructions_round_trip(
        csr in 0u16..4096, rd in 0u32..32, source in 0u32..32, kind in 0u32..3, immediate: bool,
    ) {
        let funct3 = kind + 1 + if immediate { 4 } else { 0 };
        let bits = encode_i(0x73, funct3, rd, source, u32::from(csr));
        let Some(SystemInstruction::Csr(access)) = SystemInstruction::decode(bits) else {
            return Err(TestCaseError::fail("not a CSR access"));
        };
        let operations = [CsrOperation::Write, CsrOperation::Set, CsrOperation::Clear];
        prop_assert_eq!(access.csr, csr);
        prop_assert_eq!(access.destination, gpr(rd));
        prop_assert_eq!(access.operation, operations[kind as usize]);
        let operand = if immediate {
            CsrOperand::Immediate(source as u8)
        } else {
            CsrOperand::Register(gpr(source))
        };
        prop_assert_eq!(access.operand, operand);
        prop_assert_eq!(access.writes(), kind == 0 || source != 0);
        prop_assert_eq!(access.reads(), kind != 0 || rd != 0);
    }

    #[test]
    fn no_bits_make_a_decoder_panic(bits: u64) {
        let _ = MemoryInstruction::decode(bits as u32);
        let _ = SystemInstruction::decode(bits as u32);
        let _ = TrapInstruction::decode(bits);
    }

    #[test]
    fn every_csr_operation_does_what_its_name_says(old: u64, operand: u64) {
        let decode = |funct3| match SystemInstruction::decode(encode_i(0x73, funct3, 1, 2, 0x180)) {
            Some(SystemInstruction::Csr(access)) => access.apply(old, operand),
            _ => unreachable!(),
        };
        prop_assert_eq!(decode(1), operand);
        prop_assert_eq!(decode(2), old | operand);
        prop_assert_eq!(decode(3), old & !operand);
    }
}

#[test]
fn pseudo_instructions_and_silence_are_told_apart() {
    assert_eq!(TrapInstruction::decode(0), TrapInstruction::Unknown);
    assert_eq!(
        TrapInstruction::decode(0x3000),
        TrapInstruction::PageTable { write: false }
    );
    assert_eq!(
        TrapInstruction::decode(0x3020),
        TrapInstruction::PageTable { write: true }
    );
    assert_eq!(TrapInstruction::decode(0x2000), TrapInstruction::Unknown);
}

#[test]
fn privileged_instructions_decode() {
    use SystemInstruction as S;
    let table = [
        (0x0000_0073, Some(S::Call)),
        (0x0010_0073, Some(S::Break)),
        (0x1020_0073, Some(S::SupervisorReturn)),
        (0x3020_0073, Some(S::MachineReturn)),
        (0x1050_0073, Some(S::Wait)),
        (0x1200_0073, Some(S::SupervisorFence)), // sfence.vma
        (0x16b5_0073, Some(S::SupervisorFence)), // sinval.vma a0,a1
        (0x6200_0073, Some(S::HypervisorFence)), // hfence.gvma
        (0x2200_0073, Some(S::HypervisorFence)), // hfence.vvma
        (0x6c05_45f3, Some(S::HypervisorAccess)), // hlv.d a1,(a0)
        (0x1234_5073, Some(S::Csr(csrrwi(0x123, 8)))),
        (0x0000_0013, None),
        (0x0020_0073, None),
    ];
    for (bits, expected) in table {
        assert_eq!(S::decode(bits), expected, "{bits:#010x}");
    }
}

fn csrrwi(csr: u16, value: u8) -> riscv_regs::instruction::CsrAccess {
    riscv_regs::instruction::CsrAccess {
        csr,
        operation: CsrOperation::Write,
        operand: CsrOperand::Immediate(value),
        destination: Gpr::ZERO,
    }
}
