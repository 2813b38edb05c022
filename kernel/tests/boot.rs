//! The first process, and the harness itself.
#![allow(
    clippy::indexing_slicing,
    reason = "a test fails where an index is wrong"
)]

use abi::boot::{BOOT_INFO, BootInfo, MAGIC, MESSAGE_PAGE};
use abi::{CallNumber, Error, ObjectKind, Rights};
use core::mem::offset_of;
use kernel::fake::{FakeArch, Machine};

#[test]
fn the_first_process_runs_and_the_kernel_is_sound() {
    let machine = Machine::new(2);
    machine.check();
    assert_eq!(machine.current(0), Some(machine.init));
    assert_eq!(machine.current(1), None);
    let answer = machine.init_call(CallNumber::Identify, &[0]);
    assert_eq!(answer.x[1..3], [abi::VERSION, 0]);
}

#[test]
fn the_first_process_sees_its_code_and_the_boot_information() {
    let machine = Machine::new(1);
    let read = Rights::new().with_read(true);
    let info = machine.touch(0, BOOT_INFO, read).expect("it is mapped");
    let visit = machine.visit(0);
    let words = visit.entry.words(info, 64).expect("it is memory");
    assert_eq!(words[0].load(core::sync::atomic::Ordering::Relaxed), MAGIC);
    drop(visit);
    assert!(
        machine
            .touch(0, MESSAGE_PAGE, read.with_write(true))
            .is_some()
    );
    assert!(
        machine
            .touch(0, 0x40_0000, read.with_execute(true))
            .is_some()
    );
    assert!(machine.touch(0, BOOT_INFO, read.with_write(true)).is_none());
    machine.check();
}

#[test]
fn cores_behind_one_that_did_not_come_up_are_not_counted() {
    let machine = Machine::with_online(4, FakeArch::default(), |core| core != 2);
    let read = Rights::new().with_read(true);
    let info = machine.touch(0, BOOT_INFO, read).expect("it is mapped");
    let visit = machine.visit(0);
    let words = visit.entry.words(info, 64).expect("it is memory");
    let cores = &words[offset_of!(BootInfo, cores) / 8];
    assert_eq!(cores.load(core::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn every_kind_of_object_can_be_made_and_its_memory_comes_back() {
    let machine = Machine::new(1);
    let pool = machine.pool();
    let before = machine.init_call(CallNumber::Identify, &[pool]).x[5];
    for &kind in ObjectKind::ALL {
        let size = match kind {
            ObjectKind::Untyped | ObjectKind::Frame => 12,
            ObjectKind::CapTable => 64,
            _ => 0,
        };
        let slot = machine.slot();
        let arguments = [pool, kind.number(), size, 1, slot];
        let made = machine.init_call(CallNumber::Retype, &arguments).status();
        if kind.is_retyped() {
            assert_eq!(made, Ok(()), "{kind:?}");
            assert_eq!(
                machine.init_call(CallNumber::Identify, &[slot]).x[1],
                kind.number()
            );
        } else {
            assert_eq!(made, Err(Error::BadArgument), "{kind:?}");
        }
        machine.check();
    }
    machine.must(CallNumber::Revoke, &[pool]);
    machine.check();
    assert_eq!(
        machine.init_call(CallNumber::Identify, &[pool]).x[5],
        before
    );
}

#[test]
fn threads_run_in_turn_on_every_core() {
    let machine = Machine::new(3);
    let users = [0, 0, 1, 2].map(|core| machine.user(core));
    for user in users {
        machine.call(user.id, CallNumber::Yield, &[]);
        let answer = machine.call(user.id, CallNumber::Identify, &[0]);
        assert_eq!(answer.x[2], machine.core_of(user.id) as u64);
    }
    machine.check();
}
