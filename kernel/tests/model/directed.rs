//! Calls that reach what random ones seldom do.

use super::tally::Tally;
use abi::message::SENT_SLOTS;
use abi::{CallNumber, CallWord, ObjectKind, SlotAddress};
use kernel::fake::script::{message, with_words};
use kernel::fake::{FakeArch, Machine};
use std::sync::atomic::Ordering;

/// Makes a call of a thread and notes its answer, if there is one at once.
fn send(
    machine: &Machine,
    tally: &mut Tally,
    thread: u64,
    word: CallWord,
    arguments: &[u64],
) -> bool {
    let number = CallNumber::from_number(u64::from(word.number())).expect("a call");
    let answer = machine.send(thread, word, arguments);
    answer
        .inspect(|answer| tally.answered(number, answer.status()))
        .is_some()
}

/// Makes a call of the first process and notes its answer.
fn note(machine: &Machine, tally: &mut Tally, number: CallNumber, arguments: &[u64]) {
    let word = CallWord::new().with_number(number as u8);
    send(machine, tally, machine.init, word, arguments);
}

/// Copies a capability with fewer rights.
fn without(machine: &Machine, slot: u64, missing: u64) -> u64 {
    let weak = machine.slot();
    machine.must(CallNumber::Mint, &[slot, weak, 0x3ff & !missing, 0]);
    weak
}

const CONTROL: u64 = 1 << 8;
const GRANT: u64 = 1 << 9;

/// Reaches the errors of tables, deep trees, deep calls, funds and long messages.
pub fn reach_the_rest(tally: &mut Tally) {
    let machine = Machine::new(1);
    tables(&machine, tally);
    deep_tree(&machine, tally);
    deep_calls(&machine, tally);
    messages(&machine, tally);
    funds(&machine, tally);
    let arch = FakeArch::default();
    arch.without_guests.store(1, Ordering::Relaxed);
    let machine = Machine::with(1, arch);
    let vcpu = [
        machine.pool(),
        ObjectKind::Vcpu.number(),
        0,
        1,
        machine.slot(),
    ];
    note(&machine, tally, CallNumber::Retype, &vcpu);
}

/// Names slots through what is no table, and through a table without the right.
fn tables(machine: &Machine, tally: &mut Tally) {
    let table = machine.make(ObjectKind::CapTable, 64);
    let weak = without(machine, table, CONTROL);
    let within =
        |table: u64| SlotAddress::within(u32::try_from(table).expect("small"), 3).into_bits();
    for table in [within(2), within(weak)] {
        for number in CallNumber::ALL {
            let takes_address = !matches!(
                number,
                CallNumber::Call
                    | CallNumber::Receive
                    | CallNumber::Reply
                    | CallNumber::ReplyReceive
                    | CallNumber::SaveReply
                    | CallNumber::ReplyTo
                    | CallNumber::Signal
                    | CallNumber::Wait
                    | CallNumber::Yield
                    | CallNumber::Fence
            );
            if takes_address {
                note(machine, tally, *number, &[table, machine.slot(), 0, 0, 0]);
            }
        }
    }
}

/// Copies of copies, as deep as it goes.
#[expect(
    clippy::too_many_lines,
    reason = "a list of calls, one after the other"
)]
fn deep_tree(machine: &Machine, tally: &mut Tally) {
    let deepest = |kind, size| {
        let mut at = machine.make(kind, size);
        loop {
            let next = machine.slot();
            if machine
                .init_call(CallNumber::Copy, &[at, next])
                .status()
                .is_err()
            {
                return at;
            }
            at = next;
        }
    };
    let endpoint = deepest(ObjectKind::Endpoint, 0);
    let free = machine.slot();
    note(machine, tally, CallNumber::Copy, &[endpoint, free]);
    note(
        machine,
        tally,
        CallNumber::Mint,
        &[endpoint, free, 0x3ff, 0],
    );
    let thread = machine.make(ObjectKind::Thread, 0);
    let vcpu = machine.make(ObjectKind::Vcpu, 0);
    note(
        machine,
        tally,
        CallNumber::ThreadBind,
        &[thread, 3, endpoint],
    );
    note(
        machine,
        tally,
        CallNumber::VcpuExitRoute,
        &[vcpu, 0, endpoint],
    );
    note(
        machine,
        tally,
        CallNumber::VcpuDeviceRoute,
        &[vcpu, 0, endpoint],
    );
    note(
        machine,
        tally,
        CallNumber::VcpuDeviceRoute,
        &[vcpu, 99, endpoint],
    );
    let space = deepest(ObjectKind::GuestSpace, 0);
    note(machine, tally, CallNumber::VcpuBind, &[vcpu, 6, space]);
    let notification = deepest(ObjectKind::Notification, 0);
    let interrupt = machine.slot();
    machine.must(CallNumber::InterruptTake, &[5, 3, interrupt]);
    note(
        machine,
        tally,
        CallNumber::InterruptBind,
        &[interrupt, notification],
    );
    let mut control = 5;
    loop {
        let next = machine.slot();
        if machine
            .init_call(CallNumber::Copy, &[control, next])
            .status()
            .is_err()
        {
            break;
        }
        control = next;
    }
    note(
        machine,
        tally,
        CallNumber::InterruptTake,
        &[control, 4, free],
    );
    // Tables in tables, and memory in the table that is made of it.
    let (untyped, table) = (machine.make(ObjectKind::Untyped, 14), machine.slot());
    let kind = ObjectKind::CapTable.number();
    machine.must(CallNumber::Retype, &[untyped, kind, 64, 1, table]);
    let within =
        |table: u64| SlotAddress::within(u32::try_from(table).expect("small"), 3).into_bits();
    note(machine, tally, CallNumber::Move, &[untyped, within(table)]);
    let mut outer = table;
    for _ in 0..20 {
        let made = [machine.pool(), kind, 64, 1, within(outer)];
        note(machine, tally, CallNumber::Retype, &made);
        let copy = machine.slot();
        if machine
            .init_call(CallNumber::Copy, &[within(outer), copy])
            .status()
            .is_err()
        {
            break;
        }
        outer = copy;
    }
    machine.check();
}

/// Servers that call servers.
fn deep_calls(machine: &Machine, tally: &mut Tally) {
    let chain: Vec<(u64, u64)> = (0..18)
        .map(|_| {
            let (user, endpoint) = (machine.user(0), machine.make(ObjectKind::Endpoint, 0));
            machine.receive(user.id, endpoint);
            (user.id, endpoint)
        })
        .collect();
    let mut caller = machine.user(0).id;
    for (server, endpoint) in chain {
        let word = message(CallNumber::Call, 0, 0);
        if send(machine, tally, caller, word, &with_words(endpoint, &[])) {
            break;
        }
        machine.finish(server).expect("called");
        caller = server;
    }
}

/// Replies with capabilities and long words.
#[expect(
    clippy::too_many_lines,
    reason = "a list of calls, one after the other"
)]
fn messages(machine: &Machine, tally: &mut Tally) {
    let (endpoint, reply) = (
        machine.make(ObjectKind::Endpoint, 0),
        machine.make(ObjectKind::Reply, 0),
    );
    let (server, client) = (machine.user(0), machine.user(0));
    let (weak_reply, weak_endpoint) = (machine.slot(), without(machine, endpoint, GRANT));
    machine.call_endpoint(client.id, endpoint, &[]);
    machine.receive(server.id, endpoint);
    let mut all = |numbers: &[CallNumber], first: u64| {
        for number in numbers {
            for (index, sent) in [4000, weak_endpoint, machine.pool(), within_nothing()]
                .into_iter()
                .enumerate()
            {
                machine.set_page_word(server.id, SENT_SLOTS, sent);
                let word = message(*number, index % 2, 1);
                send(machine, tally, server.id, word, &with_words(first, &[]));
            }
            send(
                machine,
                tally,
                server.id,
                message(*number, 121, 0),
                &with_words(first, &[]),
            );
        }
    };
    all(&[CallNumber::Reply], 0);
    all(&[CallNumber::ReplyReceive], endpoint);
    machine.call(server.id, CallNumber::SaveReply, &[reply]);
    all(&[CallNumber::ReplyTo], reply);
    let _ = weak_reply;
    // Without a message page there is no long message.
    machine.must(CallNumber::Delete, &[server.page]);
    send(
        machine,
        tally,
        server.id,
        message(CallNumber::ReplyTo, 7, 0),
        &with_words(reply, &[]),
    );
    machine.must(CallNumber::Delete, &[reply]);
    machine.finish(client.id).expect("told");
    machine.call_endpoint(client.id, endpoint, &[]);
    machine.receive(server.id, endpoint);
    for number in [CallNumber::Reply, CallNumber::ReplyReceive] {
        send(
            machine,
            tally,
            server.id,
            message(number, 7, 0),
            &with_words(endpoint, &[]),
        );
    }
    send(
        machine,
        tally,
        server.id,
        message(CallNumber::Call, 7, 0),
        &with_words(endpoint, &[]),
    );
    machine.check();
}

/// Returns the address of a slot in what is no table.
fn within_nothing() -> u64 {
    SlotAddress::within(2, 1).into_bits()
}

/// Full and small funds, and rights of frames.
fn funds(machine: &Machine, tally: &mut Tally) {
    let [space, guest] =
        [ObjectKind::Space, ObjectKind::GuestSpace].map(|kind| machine.make(kind, 0));
    for _ in 0..9 {
        let fund = machine.make(ObjectKind::Untyped, 12);
        note(machine, tally, CallNumber::Fund, &[guest, fund]);
        note(machine, tally, CallNumber::Fund, &[space, fund]);
    }
    let small = machine.make(ObjectKind::Space, 0);
    let fund = machine.make(ObjectKind::Untyped, 13);
    machine.must(CallNumber::Fund, &[small, fund]);
    let frame = machine.make(ObjectKind::Frame, 21);
    machine.must(CallNumber::Map, &[frame, small, 3 << 30, 3]);
    note(machine, tally, CallNumber::Protect, &[frame, 0, 4096, 1]);
    let weak = without(machine, frame, 2);
    machine.must(CallNumber::Unmap, &[frame]);
    machine.must(CallNumber::Map, &[weak, small, 3 << 30, 1]);
    note(machine, tally, CallNumber::Protect, &[weak, 0, 4096, 3]);
    let pool = machine.pool();
    let moved = machine.slot();
    machine.check();
    let interrupt = machine.slot();
    machine.must(CallNumber::InterruptTake, &[5, 9, interrupt]);
    let _ = (pool, moved);
}
