//! Laws of fast paths: they are taken, and what they do is what the general path does, to the last
//! word of the kernel's memory.
#![allow(
    clippy::indexing_slicing,
    reason = "a test fails where an index is wrong"
)]

mod guest;
mod memory;
mod vcpu;

use abi::call::{Binding, FOREVER};
use abi::message::MAX_WORDS;
use abi::{CallNumber, DeliveryKind, ObjectKind};
use kernel::fake::Machine;
use kernel::fake::script::{User, message, with_words};
use proptest::prelude::*;

/// A machine on which calls can be made: servers at an endpoint, clients, and a notification.
struct Stage {
    machine: Machine,
    endpoint: u64,
    notification: u64,
    users: [User; 4],
}

impl Stage {
    /// Makes the stage; the first user receives.
    fn new(takes_fast_paths: bool) -> Self {
        let machine = Machine::new(2);
        if !takes_fast_paths {
            machine.leave_all_to_the_general_path();
        }
        let endpoint = machine.make(ObjectKind::Endpoint, 0);
        let notification = machine.make(ObjectKind::Notification, 0);
        let bound = machine.make(ObjectKind::Notification, 0);
        let server = machine.stopped_user(0);
        machine
            .bind(server.slot, Binding::Notification, bound)
            .expect("it can be bound");
        machine.must(CallNumber::ThreadResume, &[server.slot]);
        let users = [server, machine.user(0), machine.user(0), machine.user(0)];
        machine.receive(server.id, endpoint);
        // The first process and the last users are equals; the others are above it from here on.
        for (user, priority) in users.iter().zip([62, 61]) {
            machine.must(CallNumber::ThreadPriority, &[user.slot, priority]);
        }
        Self {
            machine,
            endpoint,
            notification,
            users,
        }
    }

    /// Lets whoever runs make a call; returns everything that there is then.
    fn step(&self, step: &Step) -> Vec<u64> {
        let machine = &self.machine;
        if let Some(user) = machine.current(0)
            && !machine.is_calling(user)
        {
            for index in 6..step.words.min(MAX_WORDS) {
                machine.set_page_word(user, index, (index * 3 + step.words) as u64);
            }
            let words: Vec<u64> = (0..6).map(|index| index + step.words as u64).collect();
            let mut arguments = with_words(self.endpoint, &words);
            match step.number {
                CallNumber::Signal | CallNumber::Wait => arguments[0] = self.notification,
                CallNumber::Identify => arguments[0] = 0,
                _ => {}
            }
            arguments[7] = if step.polls { 0 } else { FOREVER };
            machine.start(user, message(step.number, step.words, 0), &arguments);
        }
        let all = self.users.iter().map(|user| user.id);
        for user in all.chain([machine.init]) {
            machine.finish_if_done(user);
        }
        machine.check();
        machine.image()
    }
}

/// One call.
#[derive(Clone, Debug)]
struct Step {
    number: CallNumber,
    words: usize,
    polls: bool,
}

/// Draws a step.
fn step() -> impl Strategy<Value = Step> {
    let number = prop_oneof![
        4 => Just(CallNumber::Call),
        4 => Just(CallNumber::ReplyReceive),
        1 => Just(CallNumber::Receive),
        1 => Just(CallNumber::Reply),
        1 => Just(CallNumber::Signal),
        1 => Just(CallNumber::Wait),
        1 => Just(CallNumber::Identify),
    ];
    let words = prop_oneof![6 => 0..=6_usize, 2 => 7..=MAX_WORDS, 1 => Just(MAX_WORDS + 1)];
    (number, words, prop::bool::weighted(0.1)).prop_map(|(number, words, polls)| Step {
        number,
        words,
        polls,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_fast_path_leaves_what_the_general_path_leaves(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (fast, general) = (Stage::new(true), Stage::new(false));
        for step in &steps {
            prop_assert_eq!(fast.step(step), general.step(step), "{:?}", step);
        }
        prop_assert_eq!(general.machine.fast_paths_taken(), 0);
    }
}

#[test]
fn calls_replies_signals_and_the_version_take_fast_paths() {
    let stage = Stage::new(true);
    let (machine, [server, client, ..]) = (&stage.machine, &stage.users);
    let mut taken = machine.fast_paths_taken();
    let mut takes_one = |what: &str| {
        let before = std::mem::replace(&mut taken, machine.fast_paths_taken());
        assert_eq!(taken, before + 1, "{what}");
    };
    for words in [0, 1, 6, 7, 8, MAX_WORDS] {
        for index in 6..words {
            machine.set_page_word(client.id, index, index as u64);
            machine.set_page_word(server.id, index, 0);
        }
        let arguments = with_words(stage.endpoint, &[1, 2, 3, 4, 5, 6]);
        machine.make_current(client.id);
        machine.send(client.id, message(CallNumber::Call, words, 0), &arguments);
        takes_one("a call of a server that waits");
        let heard = machine.finish(server.id).expect("the message arrived");
        assert!((1..=6).all(|index| heard.x[index] == index as u64));
        assert!((6..words).all(|index| machine.page_word(server.id, index) == index as u64));
        machine.send(
            server.id,
            message(CallNumber::ReplyReceive, words, 0),
            &arguments,
        );
        takes_one("a reply to a caller");
        assert_eq!(
            machine.finish(client.id).expect("answered").info.words(),
            words
        );
    }
    machine.make_current(client.id);
    machine.call(client.id, CallNumber::Signal, &[stage.notification]);
    takes_one("a signal that nobody waits for");
    assert_eq!(
        machine.call(client.id, CallNumber::Identify, &[0]).value(),
        abi::VERSION
    );
    takes_one("the version");
    machine.check();
}

#[test]
fn a_server_hears_a_notification_that_was_bound_after_its_slots_were_noted() {
    let machine = Machine::new(2);
    let endpoint = machine.make(ObjectKind::Endpoint, 0);
    let notification = machine.make(ObjectKind::Notification, 0);
    let wakes = machine.make(ObjectKind::Notification, 0);
    let [manager, server, client] = [0; 3].map(|core| machine.user(core));
    let for_ever = [wakes, 0, 0, 0, 0, 0, 0, FOREVER];
    machine.try_call(manager.id, CallNumber::Wait, &for_ever);
    machine.receive(server.id, endpoint);
    for (user, priority) in [(&manager, 63), (&server, 62), (&client, 61)] {
        machine.must(CallNumber::ThreadPriority, &[user.slot, priority]);
    }
    let arguments = with_words(endpoint, &[1]);
    let replies = || {
        machine.make_current(server.id);
        let before = machine.fast_paths_taken();
        let word = message(CallNumber::ReplyReceive, 1, 0);
        let heard = machine.send(server.id, word, &arguments);
        machine.finish(client.id).expect("it was answered");
        (heard, machine.fast_paths_taken() - before)
    };
    let calls = || {
        machine.make_current(client.id);
        machine.send(client.id, message(CallNumber::Call, 1, 0), &arguments);
        machine.finish(server.id).expect("it was heard");
    };
    calls();
    assert!(matches!(replies(), (None, 1)), "nothing else waits: noted");
    calls();
    machine.call(server.id, CallNumber::Signal, &[wakes]);
    machine.finish(manager.id).expect("it was woken");
    let bind = [server.slot, Binding::Notification.number(), notification];
    for (number, arguments) in [
        (CallNumber::ThreadStop, &[server.slot][..]),
        (CallNumber::ThreadBind, &bind),
        (CallNumber::ThreadResume, &[server.slot]),
        (CallNumber::Signal, &[notification]),
    ] {
        let answer = machine.call(manager.id, number, arguments);
        answer.status().expect("a manager can");
    }
    machine.try_call(manager.id, CallNumber::Wait, &for_ever);
    let (heard, _) = replies();
    let heard = heard.expect("the signal came before");
    assert_eq!(heard.info.kind(), DeliveryKind::Notification as u8);
    machine.check();
}
