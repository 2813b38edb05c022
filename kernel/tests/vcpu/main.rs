//! Laws of vCPUs: exits, accesses, interrupts, fences, idling.
#![allow(
    clippy::indexing_slicing,
    reason = "a test fails where an index is wrong"
)]

mod guest;
mod pending;
mod spaces;

use abi::call::Binding;
use abi::exit::{AccessInfo, ExitClass, ExitReply, RouteKey};
use abi::{CallNumber, DeliveryKind, Error, ObjectKind, Rights, register};
use guest::{Guest, load};
use kernel::arch::{Access, Exit};
use kernel::fake::Machine;
use kernel::fake::guest::{BYTE, GENERAL, NOTED, PROGRAM_COUNTER};
use kernel::fake::script::User;
use kernel::object::execution::State;

const PAGE: u64 = 4096;

#[test]
fn an_exit_is_a_call_with_a_sequence_number() {
    let guest = Guest::new(2, 1);
    guest.resume();
    guest.run_low();
    for sequence in 1..4 {
        guest.exit(Exit::Hypercall);
        let heard = guest.machine.finish(guest.server.id).expect("heard");
        assert_eq!(
            (heard.info.kind(), heard.info.label()),
            (DeliveryKind::Exit as u8, 0)
        );
        assert_eq!(
            (heard.x[1], heard.x[7], heard.x[8]),
            (0x1000, 0x100, sequence)
        );
        assert_eq!(guest.machine.state(guest.id), State::AwaitingReply);
        guest.answer(guest.server, ExitReply::Resume, &[]);
        guest.machine.receive(guest.server.id, guest.exits);
        guest.run_low();
    }
    let count = register::COUNT_CLASS + ExitClass::Hypercall.number();
    assert_eq!(
        guest
            .machine
            .must(CallNumber::VcpuRead, &[guest.vcpu, count]),
        3
    );
}

#[test]
fn classes_follow_the_routes() {
    let guest = Guest::new(2, 1);
    guest.resume();
    let memory = |address| {
        Exit::Access(Access {
            key: RouteKey::Device,
            address,
            virtual_address: 7,
            cause: 23,
            description: 0,
        })
    };
    for (exit, class) in [
        (Exit::Instruction { bits: 9 }, ExitClass::Instruction),
        (memory(0x1000_0010), ExitClass::Device),
        (memory(0x8000_0010), ExitClass::Memory),
        (memory(0x2000_0000), ExitClass::Unclaimed),
        (load(0x2000_0000), ExitClass::Unclaimed),
        (Exit::Other { details: [1, 2, 3] }, ExitClass::Other),
    ] {
        guest.run_low();
        guest.exit(exit);
        let heard = guest.machine.finish(guest.server.id).expect("heard");
        assert_eq!(u64::from(heard.info.label()), class.number(), "{exit:?}");
        assert_eq!(heard.x[7], 0x100 + class.number());
        guest.answer(guest.server, ExitReply::Resume, &[]);
        guest.machine.receive(guest.server.id, guest.exits);
    }
    // A server that declines hands the exit to the class of what nobody claims, with what a decoder
    // asks for: who maps memory was not told that.
    let noted = [guest.vcpu, GENERAL + NOTED as u64, 0];
    guest.machine.must(CallNumber::VcpuStop, &[guest.vcpu]);
    guest.machine.must(CallNumber::VcpuWrite, &noted);
    guest.resume();
    guest.run_low();
    guest.exit(memory(0x8000_0010));
    guest.machine.finish(guest.server.id).expect("heard");
    assert_eq!(guest.machine.must(CallNumber::VcpuRead, &noted[..2]), 0);
    guest.answer(guest.server, ExitReply::Decline, &[]);
    assert_ne!(guest.machine.must(CallNumber::VcpuRead, &noted[..2]), 0);
    let again = guest
        .machine
        .receive(guest.server.id, guest.exits)
        .expect("it comes back");
    assert_eq!(u64::from(again.info.label()), ExitClass::Unclaimed.number());
    assert_eq!(again.x[2], 0x8000_0010);
    guest.answer(guest.server, ExitReply::Stop, &[]);
    assert_eq!(guest.machine.state(guest.id), State::Stopped);
}

#[test]
fn what_hardware_says_of_an_access_is_not_asked_for_where_memory_is_missing() {
    let guest = Guest::new(2, 1);
    let value = [guest.vcpu, GENERAL + 5, 0x99];
    guest.machine.must(CallNumber::VcpuWrite, &value);
    guest.resume();
    let store = AccessInfo::new().with_write(true).with_register(5);
    let described = |address| {
        Exit::Access(Access {
            key: RouteKey::Device,
            address,
            virtual_address: 0,
            cause: 23,
            description: store.into_bits(),
        })
    };
    let info = store.with_key(RouteKey::Device as u8).into_bits();
    for (address, class, info) in [
        (0x8000_0010, ExitClass::Memory, 0),
        (0x2000_0000, ExitClass::Unclaimed, info),
    ] {
        guest.run_low();
        guest.exit(described(address));
        let heard = guest.machine.finish(guest.server.id).expect("heard");
        assert_eq!(u64::from(heard.info.label()), class.number());
        assert_eq!((heard.x[2], heard.x[6]), (address, info), "{class:?}");
        guest.answer(guest.server, ExitReply::Resume, &[]);
        guest.machine.receive(guest.server.id, guest.exits);
    }
    // A device hears of a store what was to be stored.
    guest.run_low();
    guest.exit(described(0x1000_0008));
    let heard = guest.machine.finish(guest.device.id).expect("heard");
    assert_eq!((heard.x[1], heard.x[3]), (0x1000_0008, 0x99));
}

#[test]
fn accesses_go_to_the_device_and_are_completed_by_the_kernel() {
    let guest = Guest::new(2, 1);
    guest.resume();
    guest.exit(load(0x1000_0008));
    let heard = guest.machine.finish(guest.device.id).expect("heard");
    assert_eq!(
        (heard.info.kind(), heard.x[1]),
        (DeliveryKind::Access as u8, 0x1000_0008)
    );
    assert_eq!(AccessInfo::from_bits(heard.x[2]).route(), 3);
    guest.answer(guest.device, ExitReply::Stop, &[0x77]);
    guest.machine.must(CallNumber::VcpuStop, &[guest.vcpu]);
    let read = |id| guest.machine.must(CallNumber::VcpuRead, &[guest.vcpu, id]);
    assert_eq!(read(GENERAL + 5), 0x77);
    assert_eq!(read(PROGRAM_COUNTER), 0x1004);
    assert_eq!(read(register::COUNT_ACCESS), 1);
    // A forwarded access takes the same way.
    guest.machine.receive(guest.device.id, guest.devices);
    guest.resume();
    guest.exit(Exit::Instruction { bits: 0 });
    guest.machine.finish(guest.server.id).expect("heard");
    let info = AccessInfo::new()
        .with_register(6)
        .with_instruction_length(2)
        .into_bits();
    guest.answer(guest.server, ExitReply::Forward, &[0x1000_0000, info, 0]);
    guest.machine.finish(guest.device.id).expect("forwarded");
    guest.answer(guest.device, ExitReply::Resume, &[5]);
    guest.machine.must(CallNumber::VcpuStop, &[guest.vcpu]);
    assert_eq!(
        guest
            .machine
            .must(CallNumber::VcpuRead, &[guest.vcpu, GENERAL + 6]),
        5
    );
    assert_eq!(
        guest
            .machine
            .must(CallNumber::VcpuRead, &[guest.vcpu, PROGRAM_COUNTER]),
        0x1006
    );
}

#[test]
fn an_exit_outlives_its_server_and_keeps_its_number() {
    let guest = Guest::new(2, 1);
    guest.resume();
    guest.exit(Exit::Hypercall);
    let first = guest.machine.finish(guest.server.id).expect("heard");
    guest.machine.must(CallNumber::Delete, &[guest.server.slot]);
    guest.machine.check();
    assert_eq!(guest.machine.state(guest.id), State::Calling);
    let other = guest.machine.user(1);
    let second = guest
        .machine
        .receive(other.id, guest.exits)
        .expect("the same exit");
    assert_eq!(first.x, second.x);
    // Stopping the vCPU takes the exit back, resuming offers it again.
    guest.machine.must(CallNumber::VcpuStop, &[guest.vcpu]);
    guest.machine.check();
    guest.resume();
    assert_eq!(
        guest.machine.reply(other.id, &[]).status(),
        Err(Error::NoCaller)
    );
    let third = guest
        .machine
        .receive(other.id, guest.exits)
        .expect("the same exit");
    assert_eq!(first.x, third.x);
    // Without an endpoint it waits for a route.
    guest.machine.must(CallNumber::Delete, &[other.slot]);
    guest.machine.must(CallNumber::Delete, &[guest.exits]);
    guest.machine.check();
    assert_eq!(guest.machine.state(guest.id), State::Unrouted);
    let exits = guest.machine.make(ObjectKind::Endpoint, 1);
    let route = [guest.vcpu, ExitClass::Hypercall.number(), exits];
    guest.machine.must(CallNumber::VcpuExitRoute, &route);
    guest.machine.check();
    let last = guest.machine.user(1);
    let fourth = guest
        .machine
        .receive(last.id, exits)
        .expect("the same exit");
    assert_eq!((first.x[1], first.x[8]), (fourth.x[1], fourth.x[8]));
}

#[test]
fn lines_are_injected_from_everywhere_and_coalesce() {
    let guest = Guest::new(3, 1);
    let (near, far) = (guest.machine.user(1), guest.machine.user(2));
    guest.machine.must(CallNumber::ThreadStop, &[near.slot]);
    let lines = || {
        guest
            .machine
            .with_vcpu(guest.id, |vcpu| vcpu.guest.lines())
            .expect("alive")
    };
    guest.resume();
    let inject = |user: &User, raise, lower| {
        let arguments = [guest.vcpu, raise, lower];
        guest
            .machine
            .call(user.id, CallNumber::Inject, &arguments)
            .value()
    };
    assert_eq!(inject(&far, 0b101, 0), 0b101);
    assert_eq!(lines(), 0b101);
    assert_eq!(inject(&far, 0b111, 0), 0b010, "two were pending already");
    assert_eq!(inject(&far, 0, 0b011), 0);
    assert_eq!(lines(), 0b100);
    // What the guest cleared itself is not pending any more.
    guest
        .machine
        .with_vcpu(guest.id, |vcpu| vcpu.guest.clear(0b100));
    guest.machine.kernel.arch.cores[1]
        .ipi
        .store(1, core::sync::atomic::Ordering::SeqCst);
    guest.machine.settle();
    assert_eq!(inject(&far, 0b100, 0), 0b100);
    for (raise, lower) in [(1 << 8, 0), (0, 1 << 40), (1, 1)] {
        let refused = guest
            .machine
            .call(far.id, CallNumber::Inject, &[guest.vcpu, raise, lower]);
        assert_eq!(refused.status(), Err(Error::BadArgument));
    }
    guest.machine.check();
}

#[test]
fn an_idle_vcpu_wakes_by_a_line_or_by_its_timer() {
    let guest = Guest::new(2, 1);
    guest.resume();
    guest.exit(Exit::Idle);
    assert_eq!(guest.machine.state(guest.id), State::Idle);
    assert_eq!(
        guest.machine.must(CallNumber::Inject, &[guest.vcpu, 2, 0]),
        2
    );
    assert_eq!(guest.machine.state(guest.id), State::Ready);
    guest.machine.check();
    guest.exit(Exit::Idle);
    assert_eq!(
        guest.machine.state(guest.id),
        State::Ready,
        "the line is still up"
    );
    guest.machine.must(CallNumber::Inject, &[guest.vcpu, 0, 2]);
    guest.machine.must(CallNumber::VcpuStop, &[guest.vcpu]);
    let timer = [guest.vcpu, register::TIMER_DEADLINE, 500];
    guest.machine.must(CallNumber::VcpuWrite, &timer);
    guest.resume();
    guest.exit(Exit::Idle);
    assert_eq!(guest.machine.state(guest.id), State::Idle);
    guest.machine.advance(499);
    assert_eq!(guest.machine.state(guest.id), State::Idle);
    guest.machine.advance(1);
    assert_eq!(guest.machine.state(guest.id), State::Ready);
    let lines = guest.machine.with_vcpu(guest.id, |vcpu| vcpu.guest.lines());
    assert_eq!(lines, Some(1 << 7));
    assert_eq!(
        guest
            .machine
            .must(CallNumber::VcpuRead, &[guest.vcpu, register::COUNT_IDLE]),
        3
    );
    assert!(
        guest.machine.must(
            CallNumber::VcpuRead,
            &[guest.vcpu, register::COUNT_INTERRUPTS]
        ) > 0
    );
    guest.machine.check();
}

#[test]
fn a_fence_returns_when_the_guest_forgot_its_translations() {
    let guest = Guest::new(2, 1);
    let frame = guest.machine.make(ObjectKind::Frame, 12);
    guest
        .machine
        .must(CallNumber::Map, &[frame, guest.space, 0x8000_0000, 3]);
    guest.resume();
    let read = Rights::new().with_read(true);
    assert!(guest.machine.touch_guest(1, 0x8000_0000, read).is_some());
    let flushes = || {
        guest
            .machine
            .with_vcpu(guest.id, |vcpu| vcpu.guest.flushes(0))
            .expect("alive")
    };
    let before = flushes();
    guest.machine.must(CallNumber::Fence, &[guest.vcpu, 1, 0]);
    assert_eq!(flushes(), before + 1);
    guest.machine.must(CallNumber::VcpuStop, &[guest.vcpu]);
    guest.machine.must(CallNumber::Fence, &[guest.vcpu, 1, 0]);
    assert_eq!(
        flushes(),
        before + 1,
        "a stopped one flushes before it runs"
    );
    guest.resume();
    assert_eq!(flushes(), before + 2);
    for (mask, kind) in [(0, 0), (1, 64)] {
        let refused = guest
            .machine
            .init_call(CallNumber::Fence, &[guest.vcpu, mask, kind]);
        assert_eq!(refused.status(), Err(Error::BadArgument));
    }
    let refused = guest
        .machine
        .init_call(CallNumber::Fence, &[guest.page, 1, 0]);
    assert_eq!(refused.status(), Err(Error::WrongObject));
    // Guest memory is taken away under the running guest.
    assert!(guest.machine.touch_guest(1, 0x8000_0000, read).is_some());
    guest.machine.must(CallNumber::Unmap, &[frame]);
    guest.machine.check();
    assert!(guest.machine.touch_guest(1, 0x8000_0000, read).is_none());
}

#[test]
fn what_a_running_vcpu_needs_can_be_taken_away() {
    for victim in 0..5 {
        let guest = Guest::new(2, 1);
        guest.resume();
        let slot = [guest.vcpu, guest.space, guest.fund, guest.page, guest.exits][victim];
        guest.machine.must(CallNumber::Delete, &[slot]);
        guest.machine.check();
        match victim {
            1..4 => assert_eq!(guest.machine.state(guest.id), State::Stopped),
            4 => {
                guest.run_low();
                guest.exit(Exit::Hypercall);
                assert_eq!(guest.machine.state(guest.id), State::Unrouted);
            }
            _ => {}
        }
        if (1..4).contains(&victim) {
            let refused = guest
                .machine
                .init_call(CallNumber::VcpuResume, &[guest.vcpu]);
            assert_eq!(refused.status(), Err(Error::NotConfigured));
        }
    }
}

#[test]
fn a_guest_space_with_new_tables_is_loaded_anew() {
    let guest = Guest::new(2, 1);
    guest.resume();
    guest.machine.must(CallNumber::Delete, &[guest.fund]);
    guest.machine.check();
    let fund = guest.machine.make(ObjectKind::Untyped, 16);
    guest.machine.must(CallNumber::Fund, &[guest.space, fund]);
    guest.resume();
    assert!(guest.machine.in_guest(1));
    guest.machine.check();
}

#[test]
fn registers_of_a_vcpu_are_checked() {
    let guest = Guest::new(2, 1);
    let call = |number, arguments: &[u64]| guest.machine.init_call(number, arguments).status();
    let vcpu = guest.vcpu;
    assert_eq!(call(CallNumber::VcpuWrite, &[vcpu, BYTE, 255]), Ok(()));
    assert_eq!(
        call(CallNumber::VcpuWrite, &[vcpu, BYTE, 256]),
        Err(Error::BadRegisterValue)
    );
    assert_eq!(
        call(CallNumber::VcpuWrite, &[vcpu, 99, 0]),
        Err(Error::NoSuchRegister)
    );
    assert_eq!(
        call(CallNumber::VcpuRead, &[vcpu, 99]),
        Err(Error::NoSuchRegister)
    );
    guest.resume();
    assert_eq!(
        call(CallNumber::VcpuRead, &[vcpu, BYTE]),
        Err(Error::WrongState)
    );
    assert_eq!(
        call(CallNumber::VcpuWrite, &[vcpu, BYTE, 1]),
        Err(Error::WrongState)
    );
    assert_eq!(
        call(CallNumber::VcpuResume, &[vcpu]),
        Err(Error::WrongState)
    );
    assert_eq!(
        call(CallNumber::VcpuBind, &[vcpu, 4, 0]),
        Err(Error::WrongState)
    );
    let space = guest.space;
    for (arguments, error) in [
        ([space, 32, 0, 0, 1], Error::OutOfRange),
        ([space, 1, 9, 0, 1], Error::BadArgument),
        ([space, 1, 0, 0, 0], Error::BadArgument),
        ([space, 1, 0, u64::MAX, 2], Error::OutOfRange),
        ([space, 3, 0, 0, 1], Error::SlotOccupied),
        ([space, 1, 0, 0x1000_0ff0, PAGE], Error::AlreadyMapped),
    ] {
        assert_eq!(
            call(CallNumber::AddRoute, &arguments),
            Err(error),
            "{arguments:?}"
        );
    }
    assert_eq!(
        call(CallNumber::VcpuExitRoute, &[vcpu, 7, guest.exits]),
        Err(Error::OutOfRange)
    );
    let far = guest.machine.make(ObjectKind::Endpoint, 0);
    assert_eq!(
        call(CallNumber::VcpuDeviceRoute, &[vcpu, 5, far]),
        Err(Error::WrongCore)
    );
    guest.machine.check();
}

#[test]
fn what_is_bound_to_a_vcpu_is_not_its_neighbours() {
    let machine = Machine::new(1);
    let (vcpus, untyped) = (machine.slots(4), machine.make(ObjectKind::Untyped, 16));
    let kind = ObjectKind::Vcpu.number();
    machine.must(CallNumber::Retype, &[untyped, kind, 0, 4, vcpus]);
    let bind = |vcpu, slot| {
        let arguments = [vcpu, Binding::Budget.number(), slot];
        machine.must(CallNumber::VcpuBind, &arguments);
    };
    for vcpu in vcpus..vcpus + 4 {
        let budget = machine.make(ObjectKind::Budget, 0);
        bind(vcpu, budget);
        bind(vcpu, 0);
        // It is free again only where its owner was found.
        bind(vcpu, budget);
        machine.check();
    }
}
