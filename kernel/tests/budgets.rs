//! Laws of priorities, budgets, faults and time.

use abi::call::{Binding, FOREVER, ThreadRegister};
use abi::fault::FaultKind;
use abi::{CallNumber, DeliveryKind, Error, ObjectKind};
use kernel::arch::Trap;
use kernel::fake::Machine;
use kernel::fake::script::User;
use kernel::object::execution::State;

/// Gives a stopped user a budget of `amount` ticks in `period`, and lets it run.
fn limited(machine: &Machine, core: u64, amount: u64, period: u64) -> User {
    let user = machine.stopped_user(core);
    machine.must(CallNumber::BudgetConfigure, &[user.budget, amount, period]);
    machine.must(CallNumber::ThreadResume, &[user.slot]);
    user
}

#[test]
fn the_highest_priority_runs_and_equals_take_turns() {
    let machine = Machine::new(2);
    let (low, high) = (machine.user(1), machine.user(1));
    machine.must(CallNumber::ThreadPriority, &[high.slot, 61]);
    assert_eq!(machine.current(1), Some(high.id));
    machine.must(CallNumber::ThreadPriority, &[high.slot, 59]);
    assert_eq!(machine.current(1), Some(low.id));
    machine.must(CallNumber::ThreadPriority, &[high.slot, 60]);
    machine.call(low.id, CallNumber::Yield, &[]);
    assert_eq!(machine.current(1), Some(high.id));
    let refused = machine.init_call(CallNumber::ThreadPriority, &[high.slot, 64]);
    assert_eq!(refused.status(), Err(Error::OutOfRange));
    machine.check();
}

#[test]
fn a_budget_ends_and_comes_back_with_its_period() {
    let machine = Machine::new(2);
    let (user, other) = (limited(&machine, 1, 10, 100), machine.user(1));
    machine.make_current(user.id);
    machine.advance(9);
    assert_eq!(machine.current(1), Some(user.id));
    machine.advance(1);
    assert_eq!(machine.state(user.id), State::Exhausted);
    assert_eq!(machine.current(1), Some(other.id));
    machine.check();
    machine.advance(89);
    assert_eq!(machine.state(user.id), State::Exhausted);
    machine.advance(1);
    assert_eq!(machine.state(user.id), State::Ready);
    machine.check();
    // A new budget ends the wait of an exhausted thread.
    machine.make_current(user.id);
    machine.advance(10);
    assert_eq!(machine.state(user.id), State::Exhausted);
    machine.must(CallNumber::BudgetConfigure, &[user.budget, 1, 1]);
    assert_eq!(machine.state(user.id), State::Ready);
    for (amount, period) in [(0, 10), (11, 10), (1, u64::MAX)] {
        let refused =
            machine.init_call(CallNumber::BudgetConfigure, &[user.budget, amount, period]);
        assert_eq!(refused.status(), Err(Error::BadArgument));
    }
    machine.check();
}

/// A server that runs on the budget of a client of 10 ticks in 1000, on core 1.
fn served() -> (Machine, User, User) {
    let machine = Machine::new(2);
    let endpoint = machine.make(ObjectKind::Endpoint, 1);
    let (client, server) = (limited(&machine, 1, 10, 1000), machine.user(1));
    machine.receive(server.id, endpoint);
    assert_eq!(machine.call_endpoint(client.id, endpoint, &[1]), None);
    machine.finish(server.id).expect("heard");
    machine.check();
    (machine, client, server)
}

#[test]
fn a_server_runs_on_its_clients_budget_and_then_on_a_grace() {
    let (machine, client, server) = served();
    machine.advance(10);
    assert_eq!(machine.state(server.id), State::Ready, "the grace");
    machine.advance(9);
    assert_eq!(machine.state(server.id), State::Ready);
    machine.advance(1);
    assert_eq!(
        machine.state(server.id),
        State::Exhausted,
        "it has no fault handler"
    );
    machine.check();
    machine.advance(980);
    assert_eq!(machine.state(server.id), State::Ready);
    machine.reply(server.id, &[]);
    assert!(machine.finish(client.id).is_some());
    machine.check();
}

#[test]
fn a_server_that_used_up_the_grace_too_is_reported() {
    let machine = Machine::new(2);
    let endpoints = [0, 1].map(|_| machine.make(ObjectKind::Endpoint, 1));
    let (client, handler) = (limited(&machine, 1, 10, 1000), machine.user(1));
    let server = machine.stopped_user(1);
    machine
        .bind(server.slot, Binding::FaultHandler, endpoints[1])
        .expect("bound");
    machine.must(CallNumber::ThreadResume, &[server.slot]);
    machine.receive(server.id, endpoints[0]);
    machine.receive(handler.id, endpoints[1]);
    machine.call_endpoint(client.id, endpoints[0], &[1]);
    machine.finish(server.id).expect("heard");
    machine.advance(20);
    let heard = machine
        .finish(handler.id)
        .expect("the handler runs on its own budget");
    assert_eq!(heard.info.kind(), DeliveryKind::Fault as u8);
    assert_eq!(u64::from(heard.info.label()), FaultKind::Timeout.number());
    machine.check();
    machine.advance(1000);
    machine.reply(handler.id, &[]);
    machine.reply(server.id, &[]);
    assert!(machine.finish(client.id).is_some());
    machine.check();
}

#[test]
fn a_server_whose_exhausted_client_goes_runs_on_its_own_budget() {
    for delete_budget in [false, true] {
        let (machine, client, server) = served();
        machine.advance(20);
        assert_eq!(machine.state(server.id), State::Exhausted);
        let victim = if delete_budget {
            client.budget
        } else {
            client.slot
        };
        machine.must(CallNumber::Delete, &[victim]);
        machine.check();
        assert_eq!(machine.state(server.id), State::Ready);
    }
}

#[test]
fn a_new_configuration_ends_the_wait_of_the_server_too() {
    let (machine, client, server) = served();
    machine.advance(20);
    assert_eq!(machine.state(server.id), State::Exhausted);
    machine.must(CallNumber::BudgetConfigure, &[client.budget, 1, 1]);
    assert_eq!(machine.state(server.id), State::Ready);
    machine.check();
}

#[test]
fn nobody_keeps_a_budget_that_was_deleted() {
    // The client's budget travels through two servers.
    let machine = Machine::new(1);
    let endpoints = [0, 1].map(|_| machine.make(ObjectKind::Endpoint, 0));
    let (client, front, back) = (machine.user(0), machine.user(0), machine.user(0));
    machine.receive(front.id, endpoints[0]);
    machine.receive(back.id, endpoints[1]);
    machine.call_endpoint(client.id, endpoints[0], &[]);
    machine.finish(front.id).expect("heard");
    machine.call_endpoint(front.id, endpoints[1], &[]);
    machine.finish(back.id).expect("heard");
    machine.must(CallNumber::Delete, &[client.budget]);
    machine.check();
    machine.reply(back.id, &[]);
    machine.finish(front.id).expect("answered");
    assert_eq!(machine.reply(front.id, &[]).status(), Err(Error::NoCaller));
    machine.check();
}

#[test]
fn a_server_that_dies_leaves_its_clients_budget() {
    let (machine, client, server) = served();
    machine.must(CallNumber::Delete, &[server.slot]);
    machine.check();
    assert_eq!(
        machine.finish(client.id).expect("told").status(),
        Err(Error::ServerGone)
    );
}

/// Lets the current thread of a core fault.
fn fault(machine: &Machine, thread: u64, kind: FaultKind, address: u64) {
    machine.make_current(thread);
    let trap = Trap::Fault {
        kind,
        address,
        cause: 13,
    };
    machine.trap(machine.core_of(thread), trap);
    machine.settle();
}

#[test]
fn a_fault_is_a_message_and_its_reply_resumes() {
    let machine = Machine::new(1);
    let endpoint = machine.make(ObjectKind::Endpoint, 0);
    let (handler, user) = (machine.user(0), machine.stopped_user(0));
    machine
        .bind(user.slot, Binding::FaultHandler, endpoint)
        .expect("bound");
    machine.must(CallNumber::ThreadStart, &[user.slot, 0x5000, 0, 0]);
    machine.must(CallNumber::ThreadResume, &[user.slot]);
    machine.receive(handler.id, endpoint);
    fault(&machine, user.id, FaultKind::Load, 0x1234_5000);
    let heard = machine.finish(handler.id).expect("heard");
    assert_eq!(heard.x[1..4], [0x5000, 0x1234_5000, 13]);
    assert_eq!(
        (heard.info.kind(), heard.info.label()),
        (DeliveryKind::Fault as u8, 0)
    );
    machine.check();
    let counter = ThreadRegister::ProgramCounter.number();
    assert_eq!(
        machine.must(CallNumber::ThreadRead, &[user.slot, counter]),
        0x5000
    );
    machine.must(CallNumber::ThreadWrite, &[user.slot, counter, 0x6000]);
    machine.reply(handler.id, &[]);
    assert_eq!(machine.state(user.id), State::Ready);
    let read = machine.init_call(CallNumber::ThreadRead, &[user.slot, counter]);
    assert_eq!(read.status(), Err(Error::WrongState));
    machine.check();
}

#[test]
fn a_fault_without_a_handler_stops_and_inside_the_recovery_range_jumps() {
    let machine = Machine::new(1);
    let user = machine.stopped_user(0);
    let counter = ThreadRegister::ProgramCounter.number();
    machine.must(
        CallNumber::ThreadRecovery,
        &[user.slot, 0x5000, 0x5010, 0x7000],
    );
    machine.must(CallNumber::ThreadStart, &[user.slot, 0x5008, 0, 0]);
    machine.must(CallNumber::ThreadResume, &[user.slot]);
    fault(&machine, user.id, FaultKind::Store, 0x1234_5000);
    assert_eq!(machine.state(user.id), State::Ready);
    fault(&machine, user.id, FaultKind::IllegalInstruction, 0);
    assert_eq!(machine.state(user.id), State::Stopped);
    assert_eq!(
        machine.must(CallNumber::ThreadRead, &[user.slot, counter]),
        0x7000
    );
    machine.must(CallNumber::ThreadResume, &[user.slot]);
    let read = machine.init_call(CallNumber::ThreadRead, &[user.slot, counter]);
    assert_eq!(read.status(), Err(Error::WrongState), "it runs");
    let refused = machine.init_call(CallNumber::ThreadRecovery, &[user.slot, 2, 1, 0]);
    assert_eq!(refused.status(), Err(Error::BadArgument));
    machine.check();
}

#[test]
fn the_timer_is_set_only_when_it_changes() {
    let machine = Machine::new(1);
    let user = machine.user(0);
    machine.make_current(user.id);
    let writes = || {
        machine.kernel.arch.cores[0]
            .timer_writes
            .load(core::sync::atomic::Ordering::Relaxed)
    };
    let before = writes();
    for _ in 0..10 {
        machine.call(user.id, CallNumber::Identify, &[0]);
    }
    assert_eq!(writes(), before);
    let _ = FOREVER;
}

/// Lets a stopped user run for ever, `turn` ticks in a row where equals wait.
fn turning(machine: &Machine, turn: u64) -> User {
    let user = machine.stopped_user(1);
    machine.must(CallNumber::BudgetConfigure, &[user.budget, 50, 50, turn]);
    machine.must(CallNumber::ThreadResume, &[user.slot]);
    user
}

#[test]
fn equals_with_turns_share_all_of_the_time() {
    let machine = Machine::new(2);
    let users = [turning(&machine, 10), turning(&machine, 30)];
    let mut ran = [0; 2];
    for _ in 0..400 {
        machine.advance(1);
        let current = machine.current(1);
        let place = users.iter().position(|user| current == Some(user.id));
        ran[place.expect("somebody runs")] += 1;
        machine.check();
    }
    assert_eq!(ran, [100, 300]);
    // Alone, one is not disturbed: nobody sets a timer.
    machine.must(CallNumber::ThreadStop, &[users[1].slot]);
    for _ in 0..10 {
        machine.advance(25);
        assert_eq!(machine.current(1), Some(users[0].id));
    }
    machine.check();
}

#[test]
fn a_turn_ends_for_equals_only() {
    let machine = Machine::new(2);
    let (turns, lower) = (turning(&machine, 10), machine.user(1));
    machine.must(CallNumber::ThreadPriority, &[lower.slot, 59]);
    machine.make_current(turns.id);
    machine.advance(25);
    assert_eq!(machine.current(1), Some(turns.id), "the other is lower");
    // Without a turn of its own, the other goes on until it gives way by itself.
    machine.must(CallNumber::ThreadPriority, &[lower.slot, 60]);
    machine.advance(10);
    assert_eq!(machine.current(1), Some(lower.id));
    machine.advance(1000);
    assert_eq!(machine.current(1), Some(lower.id));
    machine.call(lower.id, CallNumber::Yield, &[]);
    assert_eq!(machine.current(1), Some(turns.id));
    for (amount, turn) in [(49, 10), (50, u64::MAX)] {
        let arguments = [turns.budget, amount, 50, turn];
        let refused = machine.init_call(CallNumber::BudgetConfigure, &arguments);
        assert_eq!(refused.status(), Err(Error::BadArgument));
    }
    machine.check();
}

#[test]
fn a_server_that_has_a_turn_lent_does_not_give_way_for_it() {
    let machine = Machine::new(2);
    let (client, server, equal) = (turning(&machine, 10), machine.user(1), machine.user(1));
    for user in [&server, &equal] {
        machine.must(CallNumber::ThreadPriority, &[user.slot, 61]);
    }
    let endpoint = machine.make(ObjectKind::Endpoint, 1);
    machine.must(CallNumber::ThreadStop, &[equal.slot]);
    machine.receive(server.id, endpoint);
    machine.make_current(client.id);
    machine.call_endpoint(client.id, endpoint, &[1]);
    machine.finish(server.id).expect("heard");
    machine.must(CallNumber::ThreadResume, &[equal.slot]);
    machine.make_current(server.id);
    machine.advance(30);
    assert_eq!(machine.current(1), Some(server.id));
    machine.check();
}

#[test]
fn a_call_does_not_end_the_callers_turn_but_counts_in_it() {
    let machine = Machine::new(2);
    let (client, equal) = (turning(&machine, 10), turning(&machine, 10));
    let server = machine.user(1);
    machine.must(CallNumber::ThreadPriority, &[server.slot, 61]);
    let endpoint = machine.make(ObjectKind::Endpoint, 1);
    machine.receive(server.id, endpoint);
    machine.make_current(client.id);
    machine.advance(3);
    machine.call_endpoint(client.id, endpoint, &[1]);
    machine.finish(server.id).expect("heard");
    machine.advance(4);
    machine.reply(server.id, &[]);
    machine.finish(client.id).expect("answered");
    machine.receive(server.id, endpoint);
    assert_eq!(machine.current(1), Some(client.id), "its turn goes on");
    machine.advance(3);
    assert_eq!(
        machine.current(1),
        Some(equal.id),
        "for as long as was left"
    );
    machine.check();
}

#[test]
fn a_budget_is_charged_from_when_it_was_configured() {
    let machine = Machine::new(2);
    let notification = machine.make(ObjectKind::Notification, 1);
    let (waits, signals) = (machine.user(1), machine.user(1));
    let never = [notification, 0, 0, 0, 0, 0, 0, FOREVER];
    machine.must(CallNumber::ThreadPriority, &[waits.slot, 61]);
    for _ in 0..3 {
        machine.make_current(waits.id);
        assert_eq!(machine.try_call(waits.id, CallNumber::Wait, &never), None);
        machine.advance(5);
        machine.call(signals.id, CallNumber::Signal, &[notification]);
        assert_eq!(machine.current(1), Some(waits.id), "it is more urgent");
        machine.advance(5);
    }
    // Neither budget had an end until now.
    machine.must(CallNumber::BudgetConfigure, &[waits.budget, 10, 1000]);
    machine.advance(9);
    assert_eq!(machine.state(waits.id), State::Ready);
    machine.advance(1);
    assert_eq!(machine.state(waits.id), State::Exhausted);
    machine.check();
}
