//! Laws of calls that another core serves, and of rounds.

use abi::call::{Binding, FOREVER, ThreadRegister};
use abi::{CallNumber, Error, ObjectKind};
use core::sync::atomic::Ordering::SeqCst;
use kernel::fake::Machine;
use kernel::object::execution::State;

#[test]
fn threads_of_other_cores_are_started_read_and_stopped() {
    let machine = Machine::new(3);
    for seed in 1..20 {
        machine.seed(seed);
        let user = machine.stopped_user(2);
        machine.must(CallNumber::ThreadStart, &[user.slot, 0x1000, 0x2000, 7]);
        let pointer = ThreadRegister::StackPointer.number();
        assert_eq!(
            machine.must(CallNumber::ThreadRead, &[user.slot, pointer]),
            0x2000
        );
        let none = machine.init_call(CallNumber::ThreadRead, &[user.slot, 1000]);
        assert_eq!(none.status(), Err(Error::NoSuchRegister));
        machine.must(CallNumber::ThreadResume, &[user.slot]);
        let again = machine.init_call(CallNumber::ThreadResume, &[user.slot]);
        assert_eq!(again.status(), Err(Error::WrongState));
        assert_eq!(machine.state(user.id), State::Ready);
        machine.must(CallNumber::ThreadStop, &[user.slot]);
        assert_eq!(machine.state(user.id), State::Stopped);
        machine.check();
        machine.must(CallNumber::Delete, &[user.slot]);
        machine.check();
    }
}

#[test]
fn a_binding_is_cleared_from_another_core() {
    let machine = Machine::new(2);
    let user = machine.stopped_user(1);
    for seed in 1..10 {
        machine.seed(seed);
        machine
            .bind(user.slot, Binding::MessagePage, 0)
            .expect("cleared");
        machine.check();
        machine
            .bind(user.slot, Binding::MessagePage, user.page)
            .expect("bound");
        machine.check();
    }
    assert_eq!(machine.core_of(machine.init), 0);
}

#[test]
fn what_is_deleted_while_in_use_leaves_nothing_behind() {
    let machine = Machine::new(3);
    for seed in 1..30 {
        machine.seed(seed);
        for core in 0..3 {
            let endpoint = machine.make(ObjectKind::Endpoint, core);
            let notification = machine.make(ObjectKind::Notification, core);
            let (server, client, waiter) =
                (machine.user(core), machine.user(core), machine.user(core));
            machine.receive(server.id, endpoint);
            machine.call_endpoint(client.id, endpoint, &[1]);
            machine.finish(server.id);
            let wait = [notification, 0, 0, 0, 0, 0, 0, FOREVER];
            machine.try_call(waiter.id, CallNumber::Wait, &wait);
            let mut victims = [
                server.slot,
                client.slot,
                waiter.slot,
                endpoint,
                notification,
                server.budget,
                client.budget,
                server.page,
                client.page,
                waiter.budget,
                waiter.page,
            ];
            for index in (1..victims.len()).rev() {
                victims.swap(index, machine.random(index + 1));
            }
            for victim in victims {
                machine.must(CallNumber::Delete, &[victim]);
                machine.check();
            }
        }
    }
}

#[test]
fn two_who_stop_each_other_both_stop() {
    let machine = Machine::new(3);
    let (left, right) = (machine.user(1), machine.user(2));
    // Both traps happen before either core looks at its inbox.
    for (user, other) in [(left, right), (right, left)] {
        let word = abi::CallWord::new().with_number(CallNumber::ThreadStop as u8);
        machine.with_thread(user.id, |it| {
            it.frame.set_call(word.into_bits(), &[other.slot])
        });
        machine.trap(machine.core_of(user.id), kernel::arch::Trap::Call);
    }
    machine.settle();
    assert_eq!(machine.state(left.id), State::Stopped);
    assert_eq!(machine.state(right.id), State::Stopped);
    machine.check();
}

#[test]
fn a_thread_can_delete_itself_and_everything_it_has() {
    let machine = Machine::new(2);
    let user = machine.user(1);
    assert_eq!(
        machine.try_call(user.id, CallNumber::Delete, &[user.slot]),
        None
    );
    // It dies at once: without its space or its table it could not go on.
    assert!(machine.look(user.slot).is_none());
    machine.check();
    let pool = machine.pool();
    let user = machine.user(1);
    assert_eq!(machine.try_call(user.id, CallNumber::Revoke, &[pool]), None);
    machine.check();
    // The first process takes away its own table.
    assert_eq!(
        machine.try_call(machine.init, CallNumber::Delete, &[1]),
        None
    );
    machine.check();
    assert_eq!(machine.current(0), None);
}

#[test]
fn waiters_for_the_lock_get_it_when_a_round_is_over() {
    let machine = Machine::new(2);
    let (left, right) = (machine.user(0), machine.user(1));
    for seed in 1..10 {
        machine.seed(seed);
        let notification = machine.make(ObjectKind::Notification, 0);
        let (copy, third) = (machine.slot(), machine.slot());
        for (user, number, arguments) in [
            (left, CallNumber::Delete, [notification, 0]),
            (right, CallNumber::Copy, [machine.pool(), copy]),
        ] {
            machine.make_current(user.id);
            let word = abi::CallWord::new().with_number(number as u8);
            machine.with_thread(user.id, |it| {
                it.frame.set_call(word.into_bits(), &arguments)
            });
        }
        machine.trap(0, kernel::arch::Trap::Call);
        machine.trap(1, kernel::arch::Trap::Call);
        machine.settle();
        // The copy made its call again when the lock was free, and was refused.
        machine.make_current(right.id);
        machine.trap(1, kernel::arch::Trap::Call);
        machine.settle();
        machine.check();
        machine.must(CallNumber::Copy, &[1, third]);
    }
}

#[test]
fn a_line_that_was_masked_on_another_core_is_dropped_there() {
    let machine = Machine::new(2);
    let other = machine.stopped_user(1);
    machine.must(CallNumber::ThreadResume, &[other.slot]);
    let interrupt = machine.slot();
    let control = u64::from(abi::boot::SLOT_INTERRUPT_CONTROL);
    machine.must(CallNumber::InterruptTake, &[control, 3, interrupt]);
    let bell = machine.make(ObjectKind::Notification, 0);
    machine.must(CallNumber::InterruptBind, &[interrupt, bell]);
    // Core 1 has the line unmasked too, as after an acknowledgement there.
    machine.kernel.arch.cores[1].unmasked.store(1 << 3, SeqCst);
    machine.must(CallNumber::InterruptBind, &[interrupt, 0]);
    machine.kernel.arch.raise_line(1, 3);
    machine.settle();
    assert!(!machine.kernel.arch.has_external(1), "it was claimed");
    machine.must(CallNumber::InterruptBind, &[interrupt, bell]);
    let arguments = [bell, 0, 0, 0, 0, 0, 0, FOREVER];
    let waits = machine.try_call(machine.init, CallNumber::Wait, &arguments);
    assert!(waits.is_none(), "nothing was signalled: {waits:?}");
    machine.check();
}
