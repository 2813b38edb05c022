//! Firmware calls as the guest sees them.
#![allow(missing_docs)]

mod fake;

use abi::register::TIMER_DEADLINE;
use fake::{BASE, BYTES, PC, World, booted, call, ecall, id};
use proptest::prelude::*;
use riscv_regs::Register;
use riscv_regs::one_reg::CsrRegister;
use vcpu::machine::riscv::Riscv;
use vcpu::machine::riscv::hart::Hart;
use vcpu::machine::riscv::sbi::{Extension, IMPLEMENTATION, SPECIFICATION};
use vcpu::machine::{Boot, Machine};
use vcpu::{Absent, EndReason, Event, Failure, FenceKind, Lifecycle, Outcome, RebootKind};

const NOT_SUPPORTED: (i64, u64) = (-2, 0);
const INVALID_PARAMETER: (i64, u64) = (-3, 0);
const INVALID_ADDRESS: (i64, u64) = (-5, 0);
const ALREADY_AVAILABLE: (i64, u64) = (-6, 0);
const OK: (i64, u64) = (0, 0);

const BASE_ID: u64 = 0x10;
const TIME: u64 = 0x5449_4d45;
const IPI: u64 = 0x73_5049;
const RFENCE: u64 = 0x5246_4e43;
const HSM: u64 = 0x48_534d;
const SRST: u64 = 0x5352_5354;
const DBCN: u64 = 0x4442_434e;

#[test]
fn base_says_what_there_is() {
    let (mut vm, mut world) = booted(2);
    let mut base = |function, argument| call(&mut vm, &mut world, (BASE_ID, function), &[argument]);
    assert_eq!(base(0, 0), (0, SPECIFICATION));
    assert_eq!(base(1, 0), (0, IMPLEMENTATION));
    for present in [BASE_ID, TIME, IPI, RFENCE, HSM, SRST, DBCN] {
        assert_eq!(base(3, present), (0, 1));
    }
    for absent in [0, 1, 8, 0x50_4d55, 1 << 32 | TIME] {
        assert_eq!(base(3, absent), (0, 0));
    }
    assert_eq!(
        [base(4, 0), base(5, 0), base(6, 0)],
        [(0, 1), (0, 2), (0, 3)]
    );
}

#[test]
fn unknown_extensions_and_functions_are_not_supported() {
    let (mut vm, mut world) = booted(2);
    for extension in [0, 1, 2, 8, 0x50_4d55, u64::MAX] {
        assert_eq!(
            call(&mut vm, &mut world, (extension, 0), &[]),
            NOT_SUPPORTED
        );
    }
    for extension in Extension::ALL {
        for function in [7, 100, u64::MAX] {
            let number = extension as u64;
            assert_eq!(
                call(&mut vm, &mut world, (number, function), &[]),
                NOT_SUPPORTED
            );
        }
    }
    assert_eq!(vm.metrics().calls.unknown, 6);
    for function in 3..=6 {
        assert_eq!(
            call(&mut vm, &mut world, (RFENCE, function), &[1, 0]),
            NOT_SUPPORTED
        );
    }
}

#[test]
fn the_timer_is_set_for_the_calling_hart() {
    let (mut vm, mut world) = booted(2);
    world.timers.extend([0, 1]);
    assert_eq!(call(&mut vm, &mut world, (TIME, 0), &[12345]), OK);
    assert_eq!(world.registers[&(0, TIMER_DEADLINE)], 12345);
    assert_eq!(world.timers.iter().copied().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_call_that_only_answers_writes_no_more_than_its_answer() {
    let (mut vm, mut world) = booted(1);
    let before = world.writes;
    assert_eq!(
        call(&mut vm, &mut world, (BASE_ID, 0), &[]),
        (0, SPECIFICATION)
    );
    assert_eq!(world.writes, before + 2, "a0 and a1, and no register id");
}

/// Starts hart `hart` of a booted VM.
fn start(vm: &mut Riscv, world: &mut World, hart: u64) {
    assert_eq!(call(vm, world, (HSM, 0), &[hart, PC, 77]), OK);
}

#[test]
fn interrupts_go_to_running_harts_of_the_mask() {
    let (mut vm, mut world) = booted(4);
    start(&mut vm, &mut world, 2);
    assert_eq!(call(&mut vm, &mut world, (IPI, 0), &[0b110, 0]), OK);
    assert_eq!(world.lines.iter().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(call(&mut vm, &mut world, (IPI, 0), &[0, u64::MAX]), OK);
    assert_eq!(world.lines.iter().copied().collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn masks_that_name_harts_that_do_not_exist_are_invalid() {
    let (mut vm, mut world) = booted(4);
    for (mask, base) in [
        (0b10000, 0),
        (1, 4),
        (1 << 63, 3),
        (0b1000, 1),
        (1, u64::MAX - 1),
        (0, 64),
    ] {
        for call_number in [(IPI, 0), (RFENCE, 0), (RFENCE, 1)] {
            let result = call(&mut vm, &mut world, call_number, &[mask, base, 0, 0]);
            assert_eq!(result, INVALID_PARAMETER, "{mask:#x} {base:#x}");
        }
    }
    assert!(world.lines.is_empty() && world.fences.is_empty());
}

#[test]
fn fences_reach_running_harts_and_check_their_range() {
    let (mut vm, mut world) = booted(2);
    let all = [0, u64::MAX];
    assert_eq!(call(&mut vm, &mut world, (RFENCE, 0), &all), OK);
    assert_eq!(
        call(&mut vm, &mut world, (RFENCE, 1), &[1, 0, 0x1000, 0x1000]),
        OK
    );
    assert_eq!(
        call(&mut vm, &mut world, (RFENCE, 2), &[1, 0, 0, u64::MAX, 5]),
        OK
    );
    let wrapping = [1, 0, u64::MAX - 1, 2];
    assert_eq!(
        call(&mut vm, &mut world, (RFENCE, 1), &wrapping),
        INVALID_ADDRESS
    );
    let expected = [
        (1, FenceKind::Instructions),
        (1, FenceKind::All),
        (1, FenceKind::All),
    ];
    assert_eq!(world.fences, expected);
}

#[test]
fn a_hart_starts_with_the_registers_that_the_specification_gives() {
    let (mut vm, mut world) = booted(2);
    world
        .registers
        .insert((1, Register::Csr(CsrRegister::Satp).id()), 8 << 60);
    assert_eq!(call(&mut vm, &mut world, (HSM, 2), &[1]), (0, 1));
    assert_eq!(
        call(&mut vm, &mut world, (HSM, 0), &[1, BASE + 0x2000, 99]),
        OK
    );
    assert_eq!(world.register(1, Register::ProgramCounter), BASE + 0x2000);
    assert_eq!(world.register(1, Register::Mode), 1);
    assert_eq!(world.csr(1, CsrRegister::Satp), 0);
    assert_eq!(
        world.csr(1, CsrRegister::Sstatus),
        2 << 32,
        "no interrupts, 64-bit user mode"
    );
    assert_eq!((world.general[&(1, 10)], world.general[&(1, 11)]), (1, 99));
    assert_eq!(world.started, [1]);
    assert_eq!(call(&mut vm, &mut world, (HSM, 2), &[1]), (0, 0));
    assert_eq!(
        call(&mut vm, &mut world, (HSM, 0), &[1, PC, 0]),
        ALREADY_AVAILABLE
    );
}

#[test]
fn a_start_that_is_put_off_is_pending() {
    let (mut vm, mut world) = booted(2);
    world.start_later = true;
    start(&mut vm, &mut world, 1);
    assert_eq!(call(&mut vm, &mut world, (HSM, 2), &[1]), (0, 2));
    vm.started(id(1));
    assert_eq!(call(&mut vm, &mut world, (HSM, 2), &[1]), (0, 0));
}

#[test]
fn a_hart_that_stops_is_pending_until_it_is_parked_and_can_start_again() {
    let (mut vm, mut world) = booted(2);
    start(&mut vm, &mut world, 1);
    assert_eq!(
        ecall(&mut vm, &mut world, 1, (HSM, 1), &[]),
        Ok(Outcome::STOP)
    );
    assert_eq!(call(&mut vm, &mut world, (HSM, 2), &[1]), (0, 3));
    assert_eq!(
        call(&mut vm, &mut world, (HSM, 0), &[1, PC, 0]),
        ALREADY_AVAILABLE
    );
    vm.parked(id(1));
    assert_eq!(call(&mut vm, &mut world, (HSM, 2), &[1]), (0, 1));
    start(&mut vm, &mut world, 1);
    assert_eq!(vm.hart(1), Some(Hart::Started));
}

#[test]
fn malformed_hart_calls_get_their_errors() {
    let (mut vm, mut world) = booted(2);
    let mut hsm =
        |function, arguments: &[u64]| call(&mut vm, &mut world, (HSM, function), arguments);
    assert_eq!(hsm(0, &[2, PC, 0]), INVALID_PARAMETER);
    assert_eq!(hsm(0, &[u64::MAX, PC, 0]), INVALID_PARAMETER);
    for address in [0, BASE - 2, BASE + BYTES, PC + 1, u64::MAX - 1] {
        assert_eq!(hsm(0, &[1, address, 0]), INVALID_ADDRESS);
    }
    assert_eq!(hsm(2, &[2]), INVALID_PARAMETER);
    for address in [0, BASE - 2, PC + 1] {
        assert_eq!(hsm(3, &[0x8000_0000, address, 0]), INVALID_ADDRESS);
    }
    for kind in [1, 0x1000_0000, 0x8000_0001, 0x9000_0000] {
        assert_eq!(hsm(3, &[kind]), INVALID_PARAMETER);
    }
}

#[test]
fn a_suspended_hart_waits_with_its_result_and_is_seen_waiting() {
    let (mut vm, mut world) = booted(2);
    start(&mut vm, &mut world, 1);
    // The type has 32 bits.
    for kind in [0, 1 << 63] {
        let registers = world.registers.clone();
        let outcome = ecall(&mut vm, &mut world, 1, (HSM, 3), &[kind, 5, 6]);
        assert_eq!(outcome, Ok(Outcome::IDLE));
        assert_eq!((world.general[&(1, 10)], world.general[&(1, 11)]), (0, 0));
        let sie = Register::Csr(CsrRegister::Sie).id();
        assert_eq!(world.registers.get(&(1, sie)), registers.get(&(1, sie)));
        world.idle.insert(1);
        assert_eq!(call(&mut vm, &mut world, (HSM, 2), &[1]), (0, 4));
        assert_eq!(
            call(&mut vm, &mut world, (HSM, 0), &[1, PC, 0]),
            ALREADY_AVAILABLE
        );
        assert_eq!(call(&mut vm, &mut world, (IPI, 0), &[2, 0]), OK);
        assert!(world.lines.contains(&1), "an interrupt wakes it");
        world.idle.clear();
        assert_eq!(call(&mut vm, &mut world, (HSM, 2), &[1]), (0, 0));
    }
}

#[test]
fn a_hart_that_retains_nothing_goes_on_where_it_said() {
    let (mut vm, mut world) = booted(1);
    let (sie, satp) = (CsrRegister::Sie, CsrRegister::Satp);
    for (csr, value) in [(sie, 0x22), (satp, 8 << 60), (CsrRegister::Sstatus, 2)] {
        let id = Register::Csr(csr).id();
        world.registers.insert((0, id), value);
    }
    world.registers.insert((0, TIMER_DEADLINE), 77);
    let arguments = [0x8000_0000, PC + 0x100, 0x1234];
    let outcome = ecall(&mut vm, &mut world, 0, (HSM, 3), &arguments);
    assert_eq!(outcome, Ok(Outcome::IDLE));
    assert_eq!(world.register(0, Register::ProgramCounter), PC + 0x100);
    assert_eq!(world.csr(0, satp), 0);
    assert_eq!(world.csr(0, CsrRegister::Sstatus) & 2, 0);
    assert_eq!(world.general[&(0, 11)], 0x1234);
    // What wakes it stays.
    assert_eq!(world.csr(0, sie), 0x22);
    assert_eq!(world.registers[&(0, TIMER_DEADLINE)], 77);
}

#[test]
fn power_off_stops_every_other_hart_and_says_why() {
    let (mut vm, mut world) = booted(3);
    start(&mut vm, &mut world, 2);
    assert_eq!(
        ecall(&mut vm, &mut world, 0, (SRST, 0), &[0, 1]),
        Ok(Outcome::STOP)
    );
    let off = Lifecycle::PoweredOff {
        reason: EndReason::SystemFailure,
    };
    assert_eq!(vm.lifecycle(), off);
    assert_eq!(world.stopped, [2]);
    assert_eq!(world.events, [Event::Lifecycle(off)]);
    assert!(vm.running().is_empty());
    assert_eq!(
        ecall(&mut vm, &mut world, 2, (BASE_ID, 0), &[]),
        Ok(Outcome::STOP)
    );
}

#[test]
fn a_reboot_starts_again_from_the_first_hart() {
    let (mut vm, mut world) = booted(2);
    start(&mut vm, &mut world, 1);
    assert_eq!(
        ecall(&mut vm, &mut world, 1, (SRST, 0), &[1, 0]),
        Ok(Outcome::STOP)
    );
    let (kind, reason) = (RebootKind::Cold, EndReason::None);
    assert_eq!(vm.lifecycle(), Lifecycle::Rebooting { kind, reason });
    assert_eq!(world.stopped, [0]);
    let boot = Boot {
        entry: PC,
        device_tree: BASE,
    };
    let first = vm.boot(boot, &mut world).unwrap();
    vm.started(first);
    assert_eq!(vm.lifecycle(), Lifecycle::Running);
    assert_eq!(
        (vm.hart(0), vm.hart(1)),
        (Some(Hart::Started), Some(Hart::Stopped))
    );
    start(&mut vm, &mut world, 1);
}

#[test]
fn the_second_boot_is_as_the_first() {
    let (mut vm, mut world) = booted(2);
    let boot = Boot {
        entry: PC,
        device_tree: BASE + 0x8000,
    };
    let fresh = (world.registers.clone(), world.general.clone());
    start(&mut vm, &mut world, 1);
    for value in world.registers.values_mut() {
        *value = 0x5a5a;
    }
    for hart in 0..2 {
        for register in 1..32 {
            world.general.insert((hart, register), 0x5a5a);
        }
    }
    world.lines.extend([0, 1]);
    world.timers.extend([0, 1]);
    world.fences.clear();
    let outcome = ecall(&mut vm, &mut world, 0, (SRST, 0), &[2, 0]);
    assert_eq!(outcome, Ok(Outcome::STOP));
    vm.boot(boot, &mut world).unwrap();
    // The first hart's program counter, mode and status are set; the other's when it starts.
    let of = |registers: &std::collections::BTreeMap<(usize, u64), u64>, hart: usize| {
        let mode = Register::Mode.id();
        let pc = Register::ProgramCounter.id();
        let mut registers: Vec<_> = registers
            .iter()
            .filter(|((of, id), _)| *of == hart && (hart == 0 || (*id != mode && *id != pc)))
            .map(|((_, id), value)| (*id, *value))
            .collect();
        registers.sort_unstable();
        registers
    };
    for hart in 0..2 {
        assert_eq!(of(&world.registers, hart), of(&fresh.0, hart));
    }
    assert_eq!(world.general, fresh.1);
    assert!(world.lines.is_empty() && world.timers.is_empty());
    assert_eq!(world.fences, [(0b11, FenceKind::All)]);
}

#[test]
fn reserved_resets_are_invalid() {
    let (mut vm, mut world) = booted(2);
    for (kind, reason) in [
        (3, 0),
        (0xf000_0000, 0),
        (0, 2),
        (0, 0xe000_0000),
        (0, 0xf000_0000),
    ] {
        assert_eq!(
            call(&mut vm, &mut world, (SRST, 0), &[kind, reason]),
            INVALID_PARAMETER
        );
    }
    assert_eq!(vm.lifecycle(), Lifecycle::Running);
}

#[test]
fn the_console_prints_from_guest_memory() {
    let (mut vm, mut world) = booted(1);
    let text: Vec<u8> = (0..1000).map(|i| b'a' + (i % 26) as u8).collect();
    world.put(BASE + 0x3000, &text);
    assert_eq!(
        call(&mut vm, &mut world, (DBCN, 0), &[1000, BASE + 0x3000, 0]),
        (0, 1000)
    );
    assert_eq!(world.printed, text);
    assert_eq!(call(&mut vm, &mut world, (DBCN, 2), &[0x141]), OK);
    assert_eq!(world.printed.last(), Some(&0x41));
    assert_eq!(call(&mut vm, &mut world, (DBCN, 0), &[0, BASE, 0]), OK);
}

#[test]
fn a_full_console_takes_part_and_says_how_much() {
    let (mut vm, mut world) = booted(1);
    world.room = Some(300);
    assert_eq!(
        call(&mut vm, &mut world, (DBCN, 0), &[1000, BASE, 0]),
        (0, 300)
    );
    assert_eq!(call(&mut vm, &mut world, (DBCN, 2), &[1]), (-1, 0));
}

#[test]
fn the_console_reads_into_guest_memory() {
    let (mut vm, mut world) = booted(1);
    world.input = b"hello".to_vec();
    assert_eq!(
        call(&mut vm, &mut world, (DBCN, 1), &[100, BASE + 0x4000, 0]),
        (0, 5)
    );
    assert_eq!(&world.memory[0x4000..0x4005], b"hello");
    assert_eq!(
        call(&mut vm, &mut world, (DBCN, 1), &[100, BASE + 0x4000, 0]),
        OK
    );
}

#[test]
fn console_ranges_outside_memory_are_invalid() {
    let (mut vm, mut world) = booted(1);
    let ranges = [
        (1, 0, 0),
        (1, BASE, 1),
        (BYTES + 1, BASE, 0),
        (2, BASE + BYTES - 1, 0),
        (u64::MAX, BASE, 0),
    ];
    for (bytes, low, high) in ranges {
        for function in [0, 1] {
            let result = call(&mut vm, &mut world, (DBCN, function), &[bytes, low, high]);
            assert_eq!(result, INVALID_PARAMETER, "{bytes:#x} {low:#x} {high:#x}");
        }
    }
    assert!(world.printed.is_empty());
}

#[test]
fn a_call_that_meets_an_absent_page_waits_and_has_done_nothing() {
    let (mut vm, mut world) = booted(1);
    world.input = b"kept".to_vec();
    world.absent.insert(3);
    for function in [0, 1] {
        let arguments = [10, BASE + 0x3000, 0];
        let outcome = ecall(&mut vm, &mut world, 0, (DBCN, function), &arguments);
        assert_eq!(
            outcome,
            Err(Absent {
                address: BASE + 0x3000
            })
        );
    }
    assert_eq!((world.printed.len(), world.input.len()), (0, 4));
    assert_eq!(
        world.general[&(0, 10)],
        10,
        "the arguments are as they were"
    );
    let spanning = [0x200, BASE + 0x2f00, 0];
    assert_eq!(call(&mut vm, &mut world, (DBCN, 0), &spanning), (0, 0x100));
}

#[test]
fn a_register_that_the_kernel_refuses_fails_the_vm() {
    let (mut vm, mut world) = booted(2);
    world.refuse.insert(TIMER_DEADLINE);
    assert_eq!(
        ecall(&mut vm, &mut world, 0, (TIME, 0), &[]),
        Ok(Outcome::STOP)
    );
    let failure = Failure::Register {
        vcpu: id(0),
        id: TIMER_DEADLINE,
    };
    assert_eq!(vm.lifecycle(), Lifecycle::Failed(failure));
}

proptest! {
    #[test]
    fn any_call_is_answered_or_stops_the_hart(
        extension in prop_oneof![
            proptest::sample::select(Extension::ALL.map(|extension| extension as u64).to_vec()),
            any::<u64>(),
        ],
        function in prop_oneof![0u64..8, any::<u64>()],
        arguments in proptest::collection::vec(prop_oneof![0u64..8, any::<u64>(), Just(PC)], 6),
    ) {
        let (mut vm, mut world) = booted(3);
        match ecall(&mut vm, &mut world, 0, (extension, function), &arguments) {
            Ok(Outcome::RESUME) => {
                prop_assert_eq!(world.register(0, Register::ProgramCounter), PC + 4);
                prop_assert!((-6..=0).contains(&(world.general[&(0, 10)] as i64)));
            }
            Ok(Outcome::STOP) => prop_assert!(extension == HSM || extension == SRST),
            Ok(Outcome::IDLE) => prop_assert!((extension, function) == (HSM, 3)),
            other => prop_assert!(false, "{other:?}"),
        }
        prop_assert!(world.lines.iter().all(|&hart| vm.hart(hart as u64) == Some(Hart::Started)));
    }
}
