//! Exits that are given up, and answers that let the guest wait.

use super::*;

#[test]
fn a_pending_exit_can_be_given_up() {
    let guest = Guest::new(2, 1);
    let call = |number, arguments: &[u64]| guest.machine.init_call(number, arguments).status();
    let read = |id| guest.machine.must(CallNumber::VcpuRead, &[guest.vcpu, id]);
    let give_up = |value| {
        call(
            CallNumber::VcpuWrite,
            &[guest.vcpu, register::PENDING_EXIT, value],
        )
    };
    guest.resume();
    assert_eq!(give_up(0), Err(Error::WrongState), "it runs");
    assert_eq!(read(register::PENDING_EXIT), 0);
    guest.exit(load(0x1000_0008));
    let heard = guest.machine.finish(guest.device.id).expect("heard");
    let number = heard.x[8];
    assert_eq!(read(register::PENDING_EXIT), number);
    assert_eq!(read(register::SEQUENCE), number);
    assert_eq!(give_up(0), Err(Error::WrongState), "it is being answered");
    guest.machine.must(CallNumber::VcpuStop, &[guest.vcpu]);
    assert_eq!(give_up(number), Err(Error::BadRegisterValue));
    assert_eq!(read(register::PENDING_EXIT), number, "nothing changed");
    assert_eq!(give_up(0), Ok(()));
    assert_eq!(read(register::PENDING_EXIT), 0);
    // It goes on where it is told to, and nothing of the access comes to it.
    let pc = [guest.vcpu, PROGRAM_COUNTER, 0x2000];
    guest.machine.must(CallNumber::VcpuWrite, &pc);
    guest.resume();
    let late = guest.machine.reply(guest.device.id, &[0x77]);
    assert_eq!(late.status(), Err(Error::NoCaller));
    guest.machine.receive(guest.device.id, guest.devices);
    guest.run_low();
    guest.exit(Exit::Hypercall);
    let next = guest.machine.finish(guest.server.id).expect("heard");
    assert_eq!(
        (next.x[1], next.x[8]),
        (0x2000, number + 1),
        "the numbers go on"
    );
    guest.machine.check();
}

#[test]
fn an_exit_without_a_route_can_be_given_up() {
    let guest = Guest::new(2, 1);
    guest.resume();
    guest.machine.must(CallNumber::Delete, &[guest.exits]);
    guest.run_low();
    guest.exit(Exit::Hypercall);
    assert_eq!(guest.machine.state(guest.id), State::Unrouted);
    let arguments = [guest.vcpu, register::PENDING_EXIT, 0];
    guest.machine.must(CallNumber::VcpuWrite, &arguments);
    assert_eq!(guest.machine.state(guest.id), State::Stopped);
    guest.machine.check();
    guest.resume();
    assert!(guest.machine.in_guest(1));
}

#[test]
fn a_server_can_let_the_guest_wait_for_an_interrupt() {
    let guest = Guest::new(2, 1);
    let is_idle = || {
        let arguments = [guest.vcpu, register::IS_IDLE];
        guest.machine.must(CallNumber::VcpuRead, &arguments)
    };
    guest.resume();
    guest.exit(Exit::Hypercall);
    guest.machine.finish(guest.server.id).expect("heard");
    guest.answer(guest.server, ExitReply::Idle, &[]);
    assert_eq!(guest.machine.state(guest.id), State::Idle);
    assert_eq!(is_idle(), 1);
    guest.machine.check();
    guest.machine.must(CallNumber::Inject, &[guest.vcpu, 2, 0]);
    assert_eq!(guest.machine.state(guest.id), State::Ready);
    assert_eq!(is_idle(), 0);
    // Where something is pending already, it goes on at once.
    guest.machine.receive(guest.server.id, guest.exits);
    guest.exit(Exit::Hypercall);
    guest.machine.finish(guest.server.id).expect("heard");
    guest.answer(guest.server, ExitReply::Idle, &[]);
    assert_eq!(guest.machine.state(guest.id), State::Ready);
    assert_eq!(
        guest
            .machine
            .must(CallNumber::VcpuRead, &[guest.vcpu, register::COUNT_IDLE]),
        0,
        "the kernel handled no exit by itself"
    );
    guest.machine.check();
}
