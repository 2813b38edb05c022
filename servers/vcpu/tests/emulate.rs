//! Exits that need the guest's instructions.
#![allow(missing_docs)]

mod fake;

use abi::exit::{AccessInfo, ExitClass, ExitReply};
use fake::{BASE, PC, World, booted, id};
use proptest::prelude::*;
use riscv_regs::Register;
use riscv_regs::one_reg::CsrRegister;
use riscv_regs::pte::Pte;
use riscv_regs::translation::{Mode, Satp};
use vcpu::machine::Machine;
use vcpu::machine::riscv::Riscv;
use vcpu::machine::riscv::walk::{WalkError, fetch, translate};
use vcpu::{Absent, Access, Event, Exit, Failure, Lifecycle, Outcome};

const UART: u64 = 0x1000_0000;
const LOAD: u64 = 21;
const STORE: u64 = 23;
const FETCH: u64 = 20;

fn exit(
    vm: &mut Riscv,
    world: &mut World,
    class: ExitClass,
    words: [u64; 4],
) -> Result<Outcome, Absent> {
    let [first, second, third, fourth] = words;
    let words = [first, second, third, fourth, 0, 0];
    vm.exit(id(0), Exit { class, words }, world)
}

fn device(instruction: &[u8], physical: u64, cause: u64) -> (Result<Outcome, Absent>, World) {
    let (mut vm, mut world) = booted(1);
    world.put(PC, instruction);
    world.general.insert((0, 13), 0x1122_3344_5566_7788);
    let words = [PC, physical, physical, cause];
    (exit(&mut vm, &mut world, ExitClass::Device, words), world)
}

fn took_exception(world: &World, cause: u64, value: u64) -> bool {
    world.csr(0, CsrRegister::Scause) == cause
        && world.csr(0, CsrRegister::Stval) == value
        && world.csr(0, CsrRegister::Sepc) == PC
}

#[test]
fn a_load_is_forwarded_with_size_sign_and_register() {
    let (outcome, _) = device(&0x0045_2683u32.to_le_bytes(), UART, LOAD); // lw a3,4(a0)
    let info = AccessInfo::new()
        .with_size_log2(2)
        .with_signed(true)
        .with_register(13)
        .with_instruction_length(4);
    let access = Access {
        address: UART,
        info,
        value: 0,
    };
    assert_eq!(outcome, Ok(Outcome::forward(access)));
    let outcome = outcome.unwrap();
    assert_eq!(outcome.access(), Some(access));
    assert_eq!(outcome.label(), ExitReply::Forward as u16);
    assert_eq!(outcome.words(), &[UART, info.into_bits(), 0]);
}

#[test]
fn a_compressed_store_is_forwarded_with_its_value() {
    let (outcome, _) = device(&0xc154u16.to_le_bytes(), UART + 4, STORE); // c.sw a3,4(a0)
    let info = AccessInfo::new()
        .with_size_log2(2)
        .with_write(true)
        .with_register(13)
        .with_instruction_length(2);
    assert_eq!(
        outcome,
        Ok(Outcome::forward(Access {
            address: UART + 4,
            info,
            value: 0x5566_7788
        }))
    );
}

#[test]
fn what_no_device_can_serve_gets_the_access_fault_of_hardware() {
    let amo = 0x00d5_202fu32.to_le_bytes();
    let float = 0x0005_3507u32.to_le_bytes();
    let load = 0x0045_2683u32.to_le_bytes();
    for (instruction, physical, cause, fault) in [
        (amo, UART, STORE, 7),
        (float, UART, LOAD, 5),
        (load, UART + 2, LOAD, 5),
        (load, UART, FETCH, 1),
    ] {
        let (outcome, world) = device(&instruction, physical, cause);
        assert_eq!(outcome, Ok(Outcome::RESUME));
        assert!(took_exception(&world, fault, physical), "{instruction:x?}");
    }
}

#[test]
fn a_walk_that_ends_in_a_device_is_no_access_of_the_instruction() {
    let (mut vm, mut world) = booted(1);
    world.put(PC, &0x0045_2683u32.to_le_bytes());
    let words = [PC, UART + 0x18, 0x4000_0000, LOAD];
    assert_eq!(
        exit(&mut vm, &mut world, ExitClass::Device, words),
        Ok(Outcome::RESUME)
    );
    assert!(took_exception(&world, 5, 0x4000_0000));
}

#[test]
fn an_instruction_that_was_replaced_is_tried_again() {
    let nop = 0x0000_0013u32.to_le_bytes();
    let store = 0x00d5_2423u32.to_le_bytes();
    for instruction in [nop, store] {
        let (outcome, world) = device(&instruction, UART, LOAD);
        assert_eq!(outcome, Ok(Outcome::RESUME));
        assert_eq!(world.csr(0, CsrRegister::Scause), 0, "no exception");
        assert_eq!(world.register(0, Register::ProgramCounter), PC);
    }
}

#[test]
fn code_on_an_absent_page_is_waited_for() {
    let (mut vm, mut world) = booted(1);
    world.absent.insert(1);
    let words = [PC, UART, UART, LOAD];
    let outcome = exit(&mut vm, &mut world, ExitClass::Device, words);
    assert_eq!(outcome, Err(Absent { address: PC }));
    world.absent.clear();
    world.put(PC, &0x0045_2683u32.to_le_bytes());
    let outcome = exit(&mut vm, &mut world, ExitClass::Device, words);
    assert!(outcome.is_ok_and(|outcome| outcome.access().is_some()));
}

#[test]
fn an_unknown_register_is_an_illegal_instruction_as_on_hardware() {
    for (mode, spp) in [(1, 1 << 8), (0, 0)] {
        let (mut vm, mut world) = booted(1);
        world
            .registers
            .insert((0, Register::Csr(CsrRegister::Stvec).id()), BASE | 1);
        world
            .registers
            .insert((0, Register::Csr(CsrRegister::Sstatus).id()), 2 | 1 << 18);
        world.registers.insert((0, Register::Mode.id()), mode);
        let bits = 0x7c00_2573; // csrr a0, 0x7c0
        let words = [PC, bits, 0, 0];
        assert_eq!(
            exit(&mut vm, &mut world, ExitClass::Instruction, words),
            Ok(Outcome::RESUME)
        );
        assert!(took_exception(&world, 2, bits));
        assert_eq!(world.register(0, Register::ProgramCounter), BASE);
        assert_eq!(world.register(0, Register::Mode), 1);
        assert_eq!(world.csr(0, CsrRegister::Sstatus), 1 << 5 | spp | 1 << 18);
    }
}

#[test]
fn instruction_bits_that_the_machine_did_not_give_are_fetched() {
    let (mut vm, mut world) = booted(1);
    world.put(PC, &0x7c00_2573u32.to_le_bytes());
    assert_eq!(
        exit(&mut vm, &mut world, ExitClass::Instruction, [PC, 0, 0, 0]),
        Ok(Outcome::RESUME)
    );
    assert!(took_exception(&world, 2, 0x7c00_2573));
}

#[test]
fn waiting_may_end_at_once() {
    let (mut vm, mut world) = booted(1);
    let words = [PC, 0x1050_0073, 0, 0];
    assert_eq!(
        exit(&mut vm, &mut world, ExitClass::Instruction, words),
        Ok(Outcome::behind(4))
    );
    assert_eq!(vm.metrics().exceptions, 0);
}

#[test]
fn stray_accesses_fault_and_are_reported_once_per_address() {
    let (mut vm, mut world) = booted(1);
    for (cause, fault) in [(LOAD, 5), (STORE, 7), (FETCH, 1), (LOAD, 5)] {
        let words = [PC, 0x5000_0000, 0xffff_ffff_1234_5000, cause];
        assert_eq!(
            exit(&mut vm, &mut world, ExitClass::Unclaimed, words),
            Ok(Outcome::RESUME)
        );
        assert!(took_exception(&world, fault, 0xffff_ffff_1234_5000));
    }
    let report = Event::Unclaimed {
        vcpu: id(0),
        address: 0x5000_0000,
        program_counter: PC,
    };
    assert_eq!(world.events, [report]);
    assert_eq!(vm.metrics().exits(ExitClass::Unclaimed), 4);
    assert_eq!(vm.metrics().exceptions, 4);
}

#[test]
fn memory_is_not_for_this_server_and_unknown_exits_fail_the_vm() {
    let (mut vm, mut world) = booted(1);
    let words = [PC, 19, 0, 0];
    assert_eq!(
        exit(&mut vm, &mut world, ExitClass::Memory, words),
        Ok(Outcome::DECLINE)
    );
    assert_eq!(
        exit(&mut vm, &mut world, ExitClass::Window, words),
        Ok(Outcome::RESUME)
    );
    assert_eq!(
        exit(&mut vm, &mut world, ExitClass::Other, words),
        Ok(Outcome::STOP)
    );
    let (vcpu, class) = (id(0), ExitClass::Other);
    let failure = Failure::UnknownExit {
        vcpu,
        class,
        cause: 19,
        program_counter: PC,
    };
    assert_eq!(vm.lifecycle(), Lifecycle::Failed(failure));
}

/// Maps `from` to `to` in tables at the second to fourth page; the leaf is at `level`.
fn mapped(world: &mut World, from: u64, to: u64, level: u32) -> Satp {
    let page = |level: u32| BASE + 0x2000 + u64::from(2 - level) * 0x1000;
    for at in (level..3).rev() {
        let entry = if at == level {
            Pte::table(to >> 12).with_read(true).with_execute(true)
        } else {
            Pte::table(page(at - 1) >> 12)
        };
        let index = from >> (12 + 9 * at) & 511;
        world.put(page(at) + index * 8, &entry.into_bits().to_le_bytes());
    }
    Satp::new()
        .with_mode(Mode::Sv39 as u8)
        .with_ppn((BASE + 0x2000) >> 12)
}

proptest! {
    #[test]
    fn mapped_addresses_translate(number in 0u64..1 << 39, level in 0u32..3) {
        let mut world = World { memory: vec![0; 0x1_0000], ..World::default() };
        let from = ((number << 25).cast_signed() >> 25).cast_unsigned();
        let size = 1u64 << (12 + 9 * level);
        let to = 0x40_0000_0000;
        let satp = mapped(&mut world, from, to, level);
        prop_assert_eq!(translate(satp, from, &mut world), Ok(to | from & (size - 1)));
        let beyond = from ^ 1 << 63;
        prop_assert_eq!(translate(satp, beyond, &mut world), Err(WalkError::Unmapped));
    }

    #[test]
    fn no_tables_make_a_walk_panic(
        memory in proptest::collection::vec(any::<u8>(), 0x1000), satp: u64, address: u64,
    ) {
        let mut all = memory.repeat(16);
        all.truncate(0x1_0000);
        let mut world = World { memory: all, ..World::default() };
        let own = Satp::from_bits(satp).with_ppn(BASE >> 12).with_mode(8 + (satp % 3) as u8);
        let _ = fetch(own, address, &mut world);
        let _ = fetch(Satp::from_bits(satp), address, &mut world);
    }

    #[test]
    fn no_exit_panics(class in 0u16..8, words: [u64; 6], code: [u8; 4]) {
        let (mut vm, mut world) = booted(2);
        world.put(PC, &code);
        if let Some(exit) = Exit::decode(class, words) {
            let _ = vm.exit(id(0), exit, &mut world);
            let at_code = Exit { words: [PC, words[1], words[1], words[3] % 24, 0, 0], ..exit };
            let _ = vm.exit(id(0), at_code, &mut world);
        }
    }
}

#[test]
fn misaligned_large_pages_do_not_translate() {
    let mut world = World {
        memory: vec![0; 0x1_0000],
        ..World::default()
    };
    let satp = mapped(&mut world, 0, 0x1000, 1);
    assert_eq!(translate(satp, 0, &mut world), Err(WalkError::Unmapped));
}

#[test]
fn an_instruction_may_cross_a_page() {
    let mut world = World {
        memory: vec![0; 0x1_0000],
        ..World::default()
    };
    let satp = mapped(&mut world, 0x5000, BASE + 0x8000, 0);
    mapped(&mut world, 0x6000, BASE + 0x6000, 0);
    world.put(BASE + 0x8ffe, &[0x83, 0x26]);
    world.put(BASE + 0x6000, &[0x45, 0x00]);
    assert_eq!(fetch(satp, 0x5ffe, &mut world), Ok(0x0045_2683));
    world.absent.insert(6);
    assert_eq!(
        fetch(satp, 0x5ffe, &mut world),
        Err(WalkError::Absent(BASE + 0x6000))
    );
}
