//! Laws of calls, replies, transfers and notifications.
#![allow(
    clippy::indexing_slicing,
    reason = "a test fails where an index is wrong"
)]

use abi::call::{Binding, FOREVER};
use abi::message::{RECEIVE_SLOTS, SENT_SLOTS};
use abi::{CallNumber, DeliveryKind, Error, ObjectKind, Rights};
use kernel::fake::Machine;
use kernel::fake::script::{User, message, with_words};
use kernel::object::execution::State;

/// A machine with an endpoint on core 0, a server and a client there.
fn pair() -> (Machine, u64, User, User) {
    let machine = Machine::new(2);
    let endpoint = machine.make(ObjectKind::Endpoint, 0);
    let (server, client) = (machine.user(0), machine.user(0));
    (machine, endpoint, server, client)
}

#[test]
fn a_call_meets_a_waiting_server_and_gets_its_reply() {
    let (machine, endpoint, server, client) = pair();
    assert_eq!(machine.receive(server.id, endpoint), None);
    assert_eq!(machine.call_endpoint(client.id, endpoint, &[1, 2, 3]), None);
    let heard = machine.finish(server.id).expect("the message arrived");
    assert_eq!(heard.x[..8], [0, 1, 2, 3, 0, 0, 0, 0]);
    assert_eq!(
        (heard.info.words(), heard.info.kind()),
        (3, DeliveryKind::Call as u8)
    );
    machine.check();
    assert_eq!(machine.reply(server.id, &[9, 8]).status(), Ok(()));
    let answer = machine.finish(client.id).expect("the reply arrived");
    assert_eq!(answer.x[..4], [0, 9, 8, 0]);
    machine.check();
}

#[test]
fn a_call_that_comes_first_waits_for_its_server() {
    let (machine, endpoint, server, client) = pair();
    assert_eq!(machine.call_endpoint(client.id, endpoint, &[7]), None);
    machine.check();
    let heard = machine.receive(server.id, endpoint).expect("it is there");
    assert_eq!(heard.x[1], 7);
    machine.check();
    // A second receive while the first caller is unanswered is refused.
    let again = machine.receive(server.id, endpoint).expect("refused");
    assert_eq!(again.status(), Err(Error::WrongState));
    machine.reply(server.id, &[]);
    assert_eq!(
        machine.finish(client.id).map(|it| it.status()),
        Some(Ok(()))
    );
    assert_eq!(machine.reply(server.id, &[]).status(), Err(Error::NoCaller));
}

#[test]
fn callers_are_served_by_priority_and_in_order_within_one() {
    let (machine, endpoint, server, first) = pair();
    let (second, third) = (machine.user(0), machine.user(0));
    for (client, word) in [(first, 1), (second, 2), (third, 3)] {
        assert_eq!(machine.call_endpoint(client.id, endpoint, &[word]), None);
    }
    // The third becomes more urgent while it waits.
    machine.must(CallNumber::ThreadPriority, &[third.slot, 61]);
    machine.check();
    for expected in [3, 1, 2] {
        let heard = machine
            .receive(server.id, endpoint)
            .expect("a caller waits");
        assert_eq!(heard.x[1], expected);
        machine.must(CallNumber::ThreadPriority, &[third.slot, 60]);
        machine.reply(server.id, &[]);
    }
    machine.check();
}

#[test]
fn saved_callers_are_answered_in_any_order() {
    let (machine, endpoint, server, first) = pair();
    let second = machine.user(0);
    let replies = [0, 1].map(|_| machine.make(ObjectKind::Reply, 0));
    for (client, reply, word) in [(first, replies[0], 1), (second, replies[1], 2)] {
        machine.call_endpoint(client.id, endpoint, &[word]);
        machine
            .receive(server.id, endpoint)
            .expect("a caller waits");
        machine
            .call(server.id, CallNumber::SaveReply, &[reply])
            .value();
        machine.check();
    }
    let taken = machine.call(server.id, CallNumber::SaveReply, &[replies[0]]);
    assert_eq!(taken.status(), Err(Error::WrongState));
    for (client, reply, word) in [(second, replies[1], 22), (first, replies[0], 11)] {
        let call = message(CallNumber::ReplyTo, 1, 0);
        let sent = machine.send(server.id, call, &with_words(reply, &[word]));
        assert_eq!(sent.expect("done").status(), Ok(()));
        assert_eq!(machine.finish(client.id).expect("answered").x[1], word);
        let again = machine.send(server.id, call, &with_words(reply, &[word]));
        assert_eq!(again.expect("done").status(), Err(Error::NoCaller));
    }
    let none = machine.call(server.id, CallNumber::SaveReply, &[replies[0]]);
    assert_eq!(none.status(), Err(Error::NoCaller));
    machine.check();
}

#[test]
fn reply_and_receive_are_one_call() {
    let (machine, endpoint, server, client) = pair();
    machine.receive(server.id, endpoint);
    for round in 0..3 {
        machine.call_endpoint(client.id, endpoint, &[round]);
        assert_eq!(machine.finish(server.id).expect("heard").x[1], round);
        let call = message(CallNumber::ReplyReceive, 1, 0);
        let sent = machine.send(server.id, call, &with_words(endpoint, &[round + 10]));
        assert_eq!(sent, None);
        assert_eq!(
            machine.finish(client.id).expect("answered").x[1],
            round + 10
        );
    }
    machine.check();
}

#[test]
fn long_messages_need_a_page_and_are_cut_where_there_is_none() {
    let (machine, endpoint, server, client) = pair();
    machine.set_page_word(client.id, 119, 77);
    machine.receive(server.id, endpoint);
    let call = message(CallNumber::Call, 120, 0);
    assert_eq!(
        machine.send(client.id, call, &with_words(endpoint, &[5])),
        None
    );
    assert_eq!(machine.finish(server.id).expect("heard").info.words(), 120);
    assert_eq!(machine.page_word(server.id, 119), 77);
    machine.reply(server.id, &[]);
    machine.finish(client.id);
    for words in [121, 127] {
        let call = message(CallNumber::Call, words, 0);
        let refused = machine.send(client.id, call, &with_words(endpoint, &[]));
        assert_eq!(refused.expect("refused").status(), Err(Error::BadArgument));
    }
    machine.must(CallNumber::ThreadStop, &[server.slot]);
    assert_eq!(machine.bind(server.slot, Binding::MessagePage, 0), Ok(()));
    machine.must(CallNumber::ThreadResume, &[server.slot]);
    machine.receive(server.id, endpoint);
    machine.send(client.id, call, &with_words(endpoint, &[6]));
    let cut = machine.finish(server.id).expect("heard");
    assert_eq!((cut.info.words(), cut.x[1]), (6, 6));
    let reply = message(CallNumber::Reply, 7, 0);
    let refused = machine.send(server.id, reply, &[]).expect("refused");
    assert_eq!(refused.status(), Err(Error::NotConfigured));
    machine.check();
}

#[test]
fn capabilities_travel_as_children_and_stay_behind_where_there_is_no_place() {
    let (machine, endpoint, server, client) = pair();
    let gift = machine.make(ObjectKind::Notification, 0);
    let place = machine.slots(2);
    machine.set_page_word(client.id, SENT_SLOTS, gift);
    machine.set_page_word(client.id, SENT_SLOTS + 1, gift);
    machine.set_page_word(server.id, RECEIVE_SLOTS, place);
    machine.set_page_word(server.id, RECEIVE_SLOTS + 1, place);
    machine.receive(server.id, endpoint);
    machine.send(
        client.id,
        message(CallNumber::Call, 0, 2),
        &with_words(endpoint, &[]),
    );
    let heard = machine.finish(server.id).expect("heard");
    assert_eq!(
        heard.info.caps(),
        1,
        "the second place is taken by the first"
    );
    let is = machine.init_call(CallNumber::Identify, &[place]);
    assert_eq!(is.x[1], ObjectKind::Notification.number());
    machine.check();
    // An untyped capability cannot travel, nor one without the right.
    machine.set_page_word(server.id, SENT_SLOTS, machine.pool());
    let refused = machine.send(server.id, message(CallNumber::Reply, 0, 1), &[]);
    assert_eq!(refused.expect("refused").status(), Err(Error::NotCopyable));
    machine.set_page_word(server.id, SENT_SLOTS, 4000);
    let refused = machine.send(server.id, message(CallNumber::Reply, 0, 1), &[]);
    assert_eq!(refused.expect("refused").status(), Err(Error::NoCapability));
    machine.reply(server.id, &[]);
    machine.must(CallNumber::Delete, &[gift]);
    let is = machine.init_call(CallNumber::Identify, &[place]);
    assert_eq!(
        is.status(),
        Err(Error::NoCapability),
        "the child went with it"
    );
    machine.check();
}

#[test]
fn calls_are_limited_in_depth() {
    let machine = Machine::new(1);
    let mut users: Vec<User> = Vec::new();
    let mut endpoints = Vec::new();
    for _ in 0..18 {
        endpoints.push(machine.make(ObjectKind::Endpoint, 0));
        let user = machine.user(0);
        machine.receive(user.id, *endpoints.last().expect("pushed"));
        users.push(user);
    }
    let first = machine.user(0);
    machine.call_endpoint(first.id, endpoints[0], &[]);
    let mut reached = 1;
    for depth in 0..17 {
        machine.finish(users[depth].id).expect("called");
        let answer = machine.call_endpoint(users[depth].id, endpoints[depth + 1], &[]);
        machine.check();
        if let Some(answer) = answer {
            assert_eq!(answer.status(), Err(Error::CallTooDeep));
            break;
        }
        reached += 1;
    }
    assert_eq!(reached, 16);
    // The whole chain is answered, and everyone runs on its own budget again.
    for depth in (0..reached).rev() {
        assert_eq!(machine.reply(users[depth].id, &[]).status(), Ok(()));
        machine.check();
    }
    assert!(machine.finish(first.id).is_some());
}

#[test]
fn a_receive_gives_up_at_its_deadline() {
    let (machine, endpoint, server, client) = pair();
    let poll = machine.try_call(server.id, CallNumber::Receive, &[endpoint]);
    assert_eq!(poll.expect("polled").status(), Err(Error::TimedOut));
    let arguments = [endpoint, 0, 0, 0, 0, 0, 0, 100];
    assert_eq!(
        machine.try_call(server.id, CallNumber::Receive, &arguments),
        None
    );
    let notification = machine.make(ObjectKind::Notification, 0);
    let arguments = [notification, 0, 0, 0, 0, 0, 0, 50];
    assert_eq!(
        machine.try_call(client.id, CallNumber::Wait, &arguments),
        None
    );
    machine.check();
    machine.advance(49);
    assert!(machine.waits(client.id) && machine.waits(server.id));
    machine.advance(1);
    assert_eq!(
        machine.finish(client.id).expect("late").status(),
        Err(Error::TimedOut)
    );
    assert!(machine.waits(server.id));
    machine.advance(1000);
    assert_eq!(
        machine.finish(server.id).expect("late").status(),
        Err(Error::TimedOut)
    );
    machine.check();
}

#[test]
fn signals_add_up_and_wake_across_cores() {
    let machine = Machine::new(3);
    let notification = machine.make(ObjectKind::Notification, 1);
    let badged = machine.slots(2);
    for (slot, badge) in [(badged, 4), (badged + 1, 8)] {
        let all = u64::from(Rights::ALL.into_bits());
        machine.must(CallNumber::Mint, &[notification, slot, all, badge]);
    }
    let (waiter, other) = (machine.user(1), machine.user(2));
    let wait = [notification, 0, 0, 0, 0, 0, 0, FOREVER];
    assert_eq!(machine.try_call(waiter.id, CallNumber::Wait, &wait), None);
    machine.must(CallNumber::Signal, &[badged]);
    assert_eq!(machine.finish(waiter.id).expect("woken").x[1], 4);
    machine.must(CallNumber::Signal, &[badged]);
    machine
        .call(other.id, CallNumber::Signal, &[badged + 1])
        .value();
    machine
        .call(other.id, CallNumber::Signal, &[notification])
        .value();
    machine.check();
    let bits = machine.try_call(waiter.id, CallNumber::Wait, &wait);
    assert_eq!(bits.expect("they are there").x[1], 13);
    let wrong = machine
        .try_call(other.id, CallNumber::Wait, &wait)
        .expect("refused");
    assert_eq!(wrong.status(), Err(Error::WrongCore));
    machine.check();
}

#[test]
fn bits_of_a_bound_notification_arrive_with_messages() {
    let (machine, endpoint, server, client) = pair();
    let notification = machine.make(ObjectKind::Notification, 0);
    machine.must(CallNumber::ThreadStop, &[server.slot]);
    machine
        .bind(server.slot, Binding::Notification, notification)
        .expect("bound");
    machine.must(CallNumber::ThreadResume, &[server.slot]);
    machine.receive(server.id, endpoint);
    machine
        .call(client.id, CallNumber::Signal, &[notification])
        .value();
    let heard = machine.finish(server.id).expect("woken");
    assert_eq!(
        (heard.x[1], heard.info.kind()),
        (1, DeliveryKind::Notification as u8)
    );
    machine
        .call(client.id, CallNumber::Signal, &[notification])
        .value();
    machine.call_endpoint(client.id, endpoint, &[5]);
    let first = machine.receive(server.id, endpoint).expect("bits first");
    assert_eq!(first.info.kind(), DeliveryKind::Notification as u8);
    let second = machine.receive(server.id, endpoint).expect("then the call");
    assert_eq!(
        (second.x[1], second.info.kind()),
        (5, DeliveryKind::Call as u8)
    );
    let wait = [notification, 0, 0, 0, 0, 0, 0, FOREVER];
    let refused = machine
        .try_call(server.id, CallNumber::Wait, &wait)
        .expect("refused");
    assert_eq!(refused.status(), Err(Error::WrongState));
    machine.check();
}

#[test]
fn callers_of_the_dead_hear_of_it() {
    for kill_endpoint in [true, false] {
        let (machine, endpoint, server, client) = pair();
        let (queued, receiver) = (machine.user(0), machine.user(0));
        machine.receive(server.id, endpoint);
        machine.call_endpoint(client.id, endpoint, &[1]);
        machine.finish(server.id).expect("heard");
        machine.call_endpoint(queued.id, endpoint, &[2]);
        let other = machine.make(ObjectKind::Endpoint, 0);
        machine.receive(receiver.id, other);
        machine.must(
            CallNumber::Delete,
            &[if kill_endpoint { endpoint } else { server.slot }],
        );
        machine.check();
        let told = if kill_endpoint { queued } else { client };
        let answer = machine.finish(told.id).expect("told");
        assert_eq!(answer.status(), Err(Error::ServerGone));
        machine.must(CallNumber::Delete, &[other]);
        assert_eq!(
            machine.finish(receiver.id).expect("told").status(),
            Err(Error::NoCapability)
        );
        if kill_endpoint {
            assert_eq!(machine.state(client.id), State::AwaitingReply);
            machine.reply(server.id, &[]);
            assert_eq!(
                machine.finish(client.id).expect("answered").status(),
                Ok(())
            );
        }
        machine.check();
    }
}

#[test]
fn a_stopped_thread_gives_up_what_it_waited_for() {
    let (machine, endpoint, server, client) = pair();
    machine.call_endpoint(client.id, endpoint, &[1]);
    machine.must(CallNumber::ThreadStop, &[client.slot]);
    machine.check();
    machine.must(CallNumber::ThreadResume, &[client.slot]);
    assert_eq!(
        machine.finish(client.id).expect("told").status(),
        Err(Error::ServerGone)
    );
    machine.receive(server.id, endpoint);
    machine.must(CallNumber::ThreadStop, &[server.slot]);
    machine.must(CallNumber::ThreadResume, &[server.slot]);
    assert_eq!(
        machine.finish(server.id).expect("told").status(),
        Err(Error::TimedOut)
    );
    // The server is stopped with a caller, which is stopped then.
    machine.receive(server.id, endpoint);
    machine.call_endpoint(client.id, endpoint, &[1]);
    machine.finish(server.id).expect("heard");
    machine.must(CallNumber::ThreadStop, &[server.slot]);
    machine.must(CallNumber::ThreadStop, &[client.slot]);
    machine.check();
    machine.must(CallNumber::ThreadResume, &[server.slot]);
    assert_eq!(machine.reply(server.id, &[]).status(), Err(Error::NoCaller));
    machine.check();
}

#[test]
fn a_firmware_call_sees_the_message_page_of_its_caller() {
    let machine = Machine::new(1);
    let firmware = u64::from(abi::boot::SLOT_FIRMWARE);
    machine.set_page_word(machine.init, 0, 5);
    let answer = machine.must(CallNumber::FirmwareCall, &[firmware, 7, 9]);
    assert_eq!((answer, machine.page_word(machine.init, 0)), (5, 9));
}

#[test]
fn a_port_is_read_and_written_in_the_range_of_its_capability_only() {
    let machine = Machine::new(1);
    let all = u64::from(abi::boot::SLOT_IO_PORTS);
    let write = |slot, port, value| {
        let answer = machine.call(machine.init, CallNumber::PortWrite, &[slot, port, 1, value]);
        answer.status()
    };
    assert_eq!(write(all, 9, 5), Ok(()));
    let few = machine.slot();
    let range = abi::PortRange::new().with_first(8).with_count(2);
    let every_right = u64::from(abi::Rights::ALL.into_bits());
    machine.must(
        CallNumber::Mint,
        &[all, few, every_right, range.into_bits()],
    );
    assert_eq!(machine.must(CallNumber::PortRead, &[few, 9, 1]), 5);
    assert_eq!(write(few, 8, 7), Ok(()));
    for port in [7, 10] {
        assert_eq!(write(few, port, 1), Err(Error::OutOfRange));
    }
    let wider = machine.call(
        machine.init,
        CallNumber::Mint,
        &[few, machine.slot(), every_right, 1],
    );
    assert_eq!(wider.status(), Err(Error::BadArgument));
    machine.must(CallNumber::Revoke, &[all]);
    assert_eq!(write(few, 8, 7), Err(Error::NoCapability));
    machine.check();
}
