//! Laws of s390x guests, in a scripted world.
#![allow(missing_docs)]

mod s390_fake;

use abi::exit::{ExitClass, RouteKey};
use irq_api::floating::{Act, Answer, Interruption};
use proptest::prelude::*;
use s390_fake::{
    BLOCK, BYTES, KEY, MASK, PC, World, block_of, booted, condition, execute, exit, id, service,
    sigp,
};
use s390_regs::one_reg::Register;
use s390_regs::sclp::{ASCII, LINE, ascii_event, event_mask, line_event, mask_block};
use vcpu::machine::Machine;
use vcpu::machine::s390::S390;
use vcpu::machine::s390::cpu::Cpu;
use vcpu::{Absent, EndReason, Lifecycle, Outcome, RebootKind};

#[test]
fn a_cpu_tells_what_it_is() {
    let (mut vm, mut world) = booted();
    world.general.insert((0, 1), 0x3000);
    for bits in [0xb202_1000_0000, 0xb212_1008_0000, 0xb211_100c_0000] {
        assert_eq!(execute(&mut vm, &mut world, bits), Ok(Outcome::RESUME));
        assert_eq!(world.register(0, Register::PswAddress), PC + 4);
    }
    assert_eq!(world.word(0x3000) >> 56, 0xff);
    assert_eq!(world.word(0x3008), 0);
    // A level of virtual machine, and a block of it.
    world.general.insert((0, 0), 0);
    world.general.insert((0, 1), 0);
    let _ = execute(&mut vm, &mut world, 0xb27d_0000_0000);
    assert_eq!((condition(&world), world.general[&(0, 0)]), (0, 3 << 28));
    world.general.insert((0, 0), 3 << 28 | 2);
    world.general.insert((0, 1), 2);
    world.general.insert((0, 5), 0x3000);
    let _ = execute(&mut vm, &mut world, 0xb27d_5000_0000);
    assert_eq!((condition(&world), world.get::<2>(0x3024)), (0, [0, 2]));
}

#[test]
fn a_prefix_moves_where_interruptions_are_stored() {
    let (mut vm, mut world) = booted();
    world.put(0x3000, &0x4000_u32.to_be_bytes());
    world.put_word(0x4000 + 0x1d0, MASK);
    world.put_word(0x4000 + 0x1d8, 0x7777);
    world.general.insert((0, 1), 0x3000);
    let _ = execute(&mut vm, &mut world, 0xb210_1000_0000);
    assert_eq!(world.register(0, Register::Prefix), 0x4000);
    // An operand that is not aligned: specification, behind the instruction.
    let _ = execute(&mut vm, &mut world, 0xb202_1001_0000);
    assert_eq!(world.register(0, Register::PswAddress), 0x7777);
    assert_eq!(world.get::<4>(0x408c), [0, 4, 0, 6]);
    assert_eq!(world.word(0x4158), PC + 4);
    // Storage that there is not is no prefix area.
    world.put(0x3000, &0x7fff_e000_u32.to_be_bytes());
    let _ = execute(&mut vm, &mut world, 0xb210_1000_0000);
    assert_eq!(world.get::<4>(0x408c), [0, 4, 0, 5]);
}

#[test]
fn orders_start_stop_and_interrupt_cpus() {
    let (mut vm, mut world) = booted();
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x01, 0), (1, 0x40));
    assert_eq!(sigp(&mut vm, &mut world, 2, 0x01, 0), (3, 0));
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x12, 1), (1, 0x100));
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x77, 0), (1, 0x02));
    // Prefix, then restart: its restart PSW is in its own prefix area.
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x0d, BYTES), (1, 0x100));
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x0d, 0x8000), (0, 0));
    world.put_word(0x81a0, MASK);
    world.put_word(0x81a8, 0x9999);
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x06, 0), (0, 0));
    assert_eq!(
        (vm.state(id(1)), world.running.contains(&1)),
        (Cpu::Operating, true)
    );
    assert_eq!(world.register(1, Register::PswAddress), 0x9999);
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x01, 0), (0, 0));
    assert_eq!(
        sigp(&mut vm, &mut world, 1, 0x0d, 0),
        (1, 0x200),
        "it operates"
    );
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x0e, 0x6000), (1, 0x200));
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x03, 0), (0, 0));
    let interruption = Interruption::EmergencySignal { sender: 0 };
    let cpu = Some(1);
    assert_eq!(world.acts.last(), Some(&Act::Post { cpu, interruption }));
    world.answer.coalesced = true;
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x02, 0), (1, 0x80));
    world.answer.coalesced = false;
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x05, 0), (0, 0));
    assert_eq!(
        (vm.state(id(1)), world.running.contains(&1)),
        (Cpu::Stopped, false)
    );
    world.general.insert((1, 15), 0x1515);
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x0e, 0x6000), (0, 0));
    assert_eq!((world.word(0x6108), world.word(0x60f8)), (0x9999, 0x1515));
    assert_eq!(sigp(&mut vm, &mut world, 1, 0x0b, 0), (0, 0));
    assert_eq!(world.register(1, Register::Control(0)), 0xe0);
    assert_eq!(world.register(1, Register::Prefix), 0);
}

#[test]
fn the_service_processor_tells_storage_and_cpus() {
    let (mut vm, mut world) = booted();
    let whole = 4096_u16.to_be_bytes();
    assert_eq!(service(&mut vm, &mut world, 0x0002_0001, &whole), 0x0010);
    assert_eq!(world.get::<3>(BLOCK + 8), [0, 2, 1]);
    assert_eq!(world.get::<2>(BLOCK + 16), [0, 2]);
    assert_eq!(service(&mut vm, &mut world, 0x0002_0001, &[0, 64]), 0x0300);
    assert_eq!(service(&mut vm, &mut world, 0x0001_0001, &whole), 0x0010);
    assert_eq!(service(&mut vm, &mut world, 0x1234_5678, &whole), 0x01f0);
    let parameter = BLOCK as u32;
    let interruption = Interruption::ServiceSignal { parameter };
    assert_eq!(
        world.acts.last(),
        Some(&Act::Post {
            cpu: None,
            interruption
        })
    );
}

#[test]
fn text_is_printed_from_both_kinds_of_console_and_keys_come_back() {
    let (mut vm, mut world) = booted();
    let mut event = [0; 64];
    let length = ascii_event(b"hello", &mut event);
    let early = service(
        &mut vm,
        &mut world,
        0x0076_0005,
        &block_of(&event[..length]),
    );
    assert_eq!(early, 0x70f0, "it did not say that it sends any");
    let masks = mask_block(event_mask(ASCII), event_mask(ASCII) | event_mask(LINE));
    assert_eq!(service(&mut vm, &mut world, 0x0078_0005, &masks), 0x0020);
    assert_eq!(world.get::<4>(BLOCK + 20), [0x40, 0, 0, 0x40]);
    let done = service(
        &mut vm,
        &mut world,
        0x0076_0005,
        &block_of(&event[..length]),
    );
    assert_eq!((done, world.memory[BLOCK as usize + 11]), (0x0020, 0x80));
    let length = line_event(b"line", &mut event);
    assert_eq!(
        service(
            &mut vm,
            &mut world,
            0x0076_0005,
            &block_of(&event[..length])
        ),
        0x0020
    );
    assert_eq!(world.printed, b"hello\r\nline\r\n");
    let whole = 4096_u16.to_be_bytes();
    assert_eq!(service(&mut vm, &mut world, 0x0077_0005, &whole), 0x60f0);
    world.input = b"ls".to_vec();
    assert_eq!(service(&mut vm, &mut world, 0x0077_0005, &whole), 0x0020);
    assert_eq!(world.get::<9>(BLOCK + 8), *b"\0\x09\x1a\0\0\0\0ls");
}

#[test]
fn a_block_where_none_may_be_is_a_specification_exception() {
    let (mut vm, mut world) = booted();
    for address in [BLOCK + 4, 0x1000, 1 << 31, BYTES] {
        world.general.insert((0, 2), 0x0002_0001);
        world.general.insert((0, 4), address);
        assert_eq!(
            execute(&mut vm, &mut world, 0xb220_0024_0000),
            Ok(Outcome::RESUME)
        );
        let code = if address == BYTES { 5 } else { 6 };
        assert_eq!(world.get::<4>(0x8c), [0, 4, 0, code], "{address:#x}");
        assert_eq!(world.register(0, Register::PswAddress), 0x51d0);
    }
    let crossing = [0x20, 0];
    world.put(BLOCK + 0xf00, &crossing);
    world.general.insert((0, 4), BLOCK + 0xf00);
    let _ = execute(&mut vm, &mut world, 0xb220_0024_0000);
    assert_eq!(world.get::<2>(BLOCK + 0xf06), [1, 0]);
}

#[test]
fn an_interruption_that_can_be_taken_is_stored() {
    let (mut vm, mut world) = booted();
    world.set(0, Register::PswMask, MASK | 1 << 56);
    world.answer.taken = Some(Interruption::EmergencySignal { sender: 1 });
    world.answer.watch = true;
    assert_eq!(
        exit(
            &mut vm,
            &mut world,
            0,
            ExitClass::Window,
            [PC, 1, 0, 0, 0, 0]
        ),
        Ok(Outcome::RESUME)
    );
    assert_eq!(world.get::<4>(0x84), [0, 1, 0x12, 1]);
    assert_eq!((world.word(0x130), world.word(0x138)), (MASK | 1 << 56, PC));
    assert_eq!(world.register(0, Register::PswAddress), 0x51b0);
    assert_eq!(world.register(0, Register::ControlLoads), 0x8202);
    // Loads of masks are told, and go on behind the instruction.
    world.answer = Answer::default();
    world.put_word(0x3000, 0x4200);
    world.general.insert((0, 1), 0x3000);
    let _ = execute(&mut vm, &mut world, 0xeb00_1000_002f);
    assert_eq!(world.register(0, Register::Control(0)), 0x4200);
    assert_eq!(world.register(0, Register::PswAddress), PC + 6);
    assert_eq!(world.register(0, Register::ControlLoads), 0);
}

#[test]
fn a_guest_ends_where_no_cpu_is_left() {
    let ends = |address: u64| {
        let (mut vm, mut world) = booted();
        let outcome = exit(
            &mut vm,
            &mut world,
            0,
            ExitClass::Other,
            [address, 28, 0, 0, 0, 0],
        );
        assert_eq!(outcome, Ok(Outcome::STOP));
        vm.lifecycle()
    };
    let powered_off = |reason| Lifecycle::PoweredOff { reason };
    assert_eq!(ends(0xfff), powered_off(EndReason::None));
    assert_eq!(ends(0), powered_off(EndReason::SystemFailure));
    let (mut vm, mut world) = booted();
    sigp(&mut vm, &mut world, 1, 0x06, 0);
    let outcome = exit(
        &mut vm,
        &mut world,
        0,
        ExitClass::Other,
        [0xfff, 28, 0, 0, 0, 0],
    );
    assert_eq!(
        (outcome, vm.lifecycle()),
        (Ok(Outcome::STOP), Lifecycle::Running)
    );
}

/// Makes a DIAGNOSE of the first CPU: `diag %r2,%r4,code`.
fn diagnose(vm: &mut S390, world: &mut World, code: u64) -> Result<Outcome, Absent> {
    let bits = 0x8324_0000_0000 | code << 16;
    let words = [PC + 4, bits, world.register(0, Register::PswMask), 0, 0, 0];
    world.set(0, Register::PswAddress, PC + 4);
    exit(vm, world, 0, ExitClass::Hypercall, words)
}

#[test]
fn a_device_register_is_reached_by_diagnose() {
    let (mut vm, mut world) = booted();
    world.general.insert((0, 2), 0xabcd);
    world.general.insert((0, 4), 0x4_0000_0007);
    let Some(access) = diagnose(&mut vm, &mut world, 0x510)
        .ok()
        .and_then(Outcome::access)
    else {
        panic!("the device makes it");
    };
    assert_eq!((access.address, access.value), (0x510_0000_0007, 0xcd));
    assert_eq!(access.info.key(), RouteKey::Subchannel as u8);
    // Nobody serves it.
    let _ = exit(
        &mut vm,
        &mut world,
        0,
        ExitClass::Unclaimed,
        [PC + 4, access.address, 0, 0, KEY, 0],
    );
    assert_eq!(
        (world.get::<4>(0x8c), world.word(0x158)),
        ([0, 4, 0, 6], PC + 4)
    );
    // A queue of a device that there is not.
    for (register, value) in [(1, 3), (2, 0x1_0001), (3, 5)] {
        world.general.insert((0, register), value);
    }
    let Some(access) = diagnose(&mut vm, &mut world, 0x500)
        .ok()
        .and_then(Outcome::access)
    else {
        panic!("the device is told");
    };
    assert_eq!(
        (access.address, access.value, access.info.write()),
        (0x1_0001, 5, true)
    );
    let _ = exit(
        &mut vm,
        &mut world,
        0,
        ExitClass::Unclaimed,
        [PC + 4, access.address, 0, 0, KEY, 0],
    );
    assert_eq!(world.general[&(0, 2)] as i64, -22);
}

#[test]
fn a_guest_can_load_itself_again() {
    let (mut vm, mut world) = booted();
    world.general.insert((0, 4), 6);
    assert_eq!(diagnose(&mut vm, &mut world, 0x308), Ok(Outcome::RESUME));
    assert_eq!(world.general[&(0, 3)], 0x102);
    world.general.insert((0, 4), 4);
    assert_eq!(diagnose(&mut vm, &mut world, 0x308), Ok(Outcome::STOP));
    let (kind, reason) = (RebootKind::Warm, EndReason::None);
    assert_eq!(vm.lifecycle(), Lifecycle::Rebooting { kind, reason });
}

#[test]
fn what_a_user_may_not_is_a_privileged_operation() {
    let (mut vm, mut world) = booted();
    world.set(0, Register::PswMask, MASK | 1 << 48);
    let _ = execute(&mut vm, &mut world, 0xb202_1000_0000);
    assert_eq!(world.get::<4>(0x8c), [0, 4, 0, 2]);
    world.set(0, Register::PswMask, MASK | 1 << 48);
    assert_eq!(diagnose(&mut vm, &mut world, 0x44), Ok(Outcome::RESUME));
    assert_eq!(world.get::<4>(0x8c), [0, 4, 0, 2]);
}

#[test]
fn operands_are_translated_by_the_guests_tables() {
    let (mut vm, mut world) = booted();
    // Segment table at 0x8000, page table at 0xc000: virtual 0x30_3000 is 0x5000.
    for (at, value) in [
        (0x8000 + 3 * 8, 0xc000),
        (0xc000 + 3 * 8, 0x5000),
        (0xc000 + 4 * 8, 0x6200),
    ] {
        world.put_word(at, value);
    }
    world.put_word(0xc000 + 5 * 8, 0x400);
    world.set(0, Register::Control(1), 0x8000);
    let with_translation = MASK | 1 << 58;
    let mut store = |address: u64| {
        world.set(0, Register::PswMask, with_translation);
        world.general.insert((0, 1), address);
        let _ = execute(&mut vm, &mut world, 0xb202_1000_0000);
        let stored = world.register(0, Register::PswAddress) == PC + 4;
        (
            stored,
            world.get::<2>(0x8e),
            world.word(0xa8),
            world.word(0x158),
        )
    };
    assert!(store(0x30_3ff8).0);
    assert_eq!(store(0x30_4000), (false, [0, 4], 0x30_4004, PC + 4));
    assert_eq!(
        store(0x30_5000),
        (false, [0, 0x11], 0x30_5000, PC),
        "nullified"
    );
    assert_eq!(store(0x8000_0000), (false, [0, 0x38], 0x8000_0000, PC));
    assert_eq!(world.word(0x5ff8) >> 56, 0xff);
}

#[test]
fn an_absent_page_is_waited_for_before_anything_happens() {
    let (mut vm, mut world) = booted();
    world.answer.taken = Some(Interruption::ClockComparator);
    world.absent.insert(0);
    let outcome = exit(
        &mut vm,
        &mut world,
        0,
        ExitClass::Window,
        [PC, 1, 0, 0, 0, 0],
    );
    assert_eq!((outcome, world.acts.len()), (Err(Absent { address: 0 }), 0));
}

fn hostile() -> impl Strategy<Value = (u8, u64)> {
    let opcodes = prop_oneof![
        Just(0xb220_u64),
        Just(0xb27d),
        Just(0xb202),
        Just(0xb204),
        Just(0xb210),
        Just(0xb211),
        Just(0xb212),
        Just(0xb2b1),
        Just(0xb236),
        Just(0xae24),
        Just(0xb700),
        Just(0xeb0f),
        Just(0x8324),
        any::<u16>().prop_map(u64::from),
    ];
    let low = prop_oneof![any::<u32>(), Just(0x0024_0000), Just(0x1000_002f)];
    let class = prop_oneof![5 => Just(1_u8), 1 => 0..7_u8];
    (
        class,
        (opcodes, low).prop_map(|(opcode, low)| opcode << 32 | u64::from(low)),
    )
}

proptest! {
    #[test]
    fn no_instruction_text_and_no_block_is_fatal(
        exits in proptest::collection::vec((hostile(), 0..2_usize, any::<[u64; 4]>()), 1..20),
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        command in prop_oneof![
            Just(0x0002_0001_u64), Just(0x0078_0005), Just(0x0076_0005), Just(0x0077_0005), any::<u64>()
        ],
        masks in any::<[u64; 3]>(),
    ) {
        let (mut vm, mut world) = booted();
        world.input = bytes.clone();
        for ((class, bits), cpu, generals) in exits {
            world.put(BLOCK, &bytes);
            for (register, value) in (0..).zip(generals) {
                world.general.insert((cpu, register), value);
            }
            world.general.insert((cpu, 2), command);
            world.general.insert((cpu, 4), BLOCK);
            for (register, value) in [0, 1, 13].into_iter().zip(masks) {
                world.set(cpu, Register::Control(register), value % BYTES);
            }
            if bits & 1 == 1 {
                world.set(cpu, Register::PswMask, MASK | 1 << 58);
            }
            let class = ExitClass::from_number(class.into()).unwrap();
            let _ = exit(&mut vm, &mut world, cpu, class, [PC, bits, 0, 0, 0, 0]);
        }
    }
}
