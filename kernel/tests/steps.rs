//! Laws of calls that are made in steps: wherever one is interrupted, it ends as if it had not been,
//! and sees what others changed meanwhile.
#![allow(
    clippy::indexing_slicing,
    reason = "a test fails where an index is wrong"
)]

use abi::call::Binding;
use abi::{CallNumber, CallWord, Error, ObjectKind, Rights};
use kernel::fake::Machine;
use kernel::fake::machine::Answer;
use kernel::fake::script::User;
use std::sync::atomic::Ordering;

const PAGE: u64 = 4096;
const BOTH: u64 = 3;
/// Where tests map: nothing else is in this gigabyte, and a frame of 16 pages lies in two tables.
const HERE: u64 = (3 << 30) + (2 << 20) - 8 * PAGE;
/// So much work is one step, whatever the call.
const WHOLE: u64 = u64::MAX;

/// A process with a thread that makes the calls, and the objects that they are about.
struct Bench {
    machine: Machine,
    space: u64,
    frame: u64,
    /// Root table of the space.
    root: u64,
    /// Threads in the space, one on each core.
    others: [User; 2],
    /// The thread, on core 1, so that what others do on core 0 comes in between.
    user: User,
}

/// Makes a machine whose calls are made in steps of so much work.
fn bench(step: u64) -> Bench {
    let machine = Machine::new(2);
    let space = machine.make(ObjectKind::Space, 0);
    let fund = machine.make(ObjectKind::Untyped, 16);
    machine.must(CallNumber::Fund, &[space, fund]);
    let frame = machine.make(ObjectKind::Frame, 16);
    let others = [0, 1].map(|core| {
        let other = machine.stopped_user(core);
        machine
            .bind(other.slot, Binding::Space, 0)
            .expect("cleared");
        machine
            .bind(other.slot, Binding::Space, space)
            .expect("bound");
        machine.must(CallNumber::ThreadResume, &[other.slot]);
        machine.make_current(other.id);
        other
    });
    let root = machine.kernel.arch.cores[1].space[0].load(Ordering::Relaxed);
    let user = machine.user(1);
    machine.kernel.arch.step.store(step, Ordering::Relaxed);
    machine.check();
    Bench {
        machine,
        space,
        frame,
        root,
        others,
        user,
    }
}

/// A call that takes several steps: what is done before it, and the call itself.
struct Case {
    name: &'static str,
    before: fn(&Bench),
    call: fn(&Bench) -> (CallNumber, Vec<u64>),
}

fn mapped(bench: &Bench) {
    let map = [bench.frame, bench.space, HERE, BOTH];
    bench.machine.must(CallNumber::Map, &map);
}

fn split(bench: &Bench) {
    mapped(bench);
    let part = [bench.frame, 3 * PAGE, 5 * PAGE, 0];
    bench.machine.must(CallNumber::Protect, &part);
}

/// Untyped memory with a table of its own that has a thread, a chain of copies and a mapped frame.
fn furnished(bench: &Bench) {
    let machine = &bench.machine;
    mapped(bench);
    let mut copy = bench.frame;
    for index in 0..20 {
        let next = machine.slot();
        machine.must(CallNumber::Copy, &[copy, next]);
        copy = next;
        if index % 5 == 0 {
            let map = [copy, bench.space, HERE + (index + 1) * (4 << 20), 1];
            machine.must(CallNumber::Map, &map);
        }
    }
}

const CASES: &[Case] = &[
    Case {
        name: "Map",
        before: |_| {},
        call: |it| (CallNumber::Map, vec![it.frame, it.space, HERE, BOTH]),
    },
    Case {
        name: "Unmap",
        before: split,
        call: |it| (CallNumber::Unmap, vec![it.frame]),
    },
    Case {
        name: "Protect",
        before: split,
        call: |it| (CallNumber::Protect, vec![it.frame, PAGE, 14 * PAGE, 1]),
    },
    Case {
        name: "Retype of small objects",
        before: |_| {},
        call: |it| retype(it, ObjectKind::Notification, 0, 70),
    },
    Case {
        name: "Retype of tables",
        before: |_| {},
        call: |it| retype(it, ObjectKind::CapTable, 256, 3),
    },
    Case {
        name: "Retype of memory",
        before: |_| {},
        call: |it| retype(it, ObjectKind::Frame, 12, 5),
    },
    Case {
        name: "Revoke",
        before: furnished,
        call: |it| (CallNumber::Revoke, vec![it.frame]),
    },
    Case {
        name: "Delete",
        before: furnished,
        call: |it| (CallNumber::Delete, vec![it.frame]),
    },
];

fn retype(bench: &Bench, kind: ObjectKind, size: u64, count: u64) -> (CallNumber, Vec<u64>) {
    let machine = &bench.machine;
    let first = machine.slots(count);
    let call = vec![machine.pool(), kind.number(), size, count, first];
    (CallNumber::Retype, call)
}

/// Begins a call and lets the thread make so many steps of it, at most.
fn steps(bench: &Bench, call: &(CallNumber, Vec<u64>), count: usize) -> Option<Answer> {
    let (machine, thread) = (&bench.machine, bench.user.id);
    let number = u8::try_from(call.0.number()).expect("small");
    machine.start(thread, CallWord::new().with_number(number), &call.1);
    for _ in 1..count {
        if machine.is_calling(thread) {
            machine.make_current(thread);
            machine.trap(1, kernel::arch::Trap::Call);
            machine.settle();
        }
    }
    machine.answer(thread)
}

/// Returns how many steps a call takes.
fn count(case: &Case) -> usize {
    let bench = bench(1);
    (case.before)(&bench);
    let call = (case.call)(&bench);
    let answer = steps(&bench, &call, 1);
    assert_eq!(answer, None, "{} takes more than a step", case.name);
    let mut count = 1;
    while bench.machine.is_calling(bench.user.id) {
        bench.machine.make_current(bench.user.id);
        bench.machine.trap(1, kernel::arch::Trap::Call);
        bench.machine.settle();
        count += 1;
    }
    count
}

/// Returns every translation of the first gigabytes, and what the slots of init's table hold.
fn state(bench: &Bench) -> (Vec<Option<u64>>, Vec<String>) {
    let machine = &bench.machine;
    let pages = (0..40).map(|page| HERE + (page % 20) * PAGE + page / 20 * (4 << 20));
    let translate = |address| {
        let found = machine.translate(kernel::arch::Stage::User, bench.root, address);
        found.map(|found| found.physical | u64::from(found.access.into_bits()))
    };
    let slots = (1..700).map(|slot| format!("{:?}", machine.look(slot)));
    (pages.map(translate).collect(), slots.collect())
}

#[test]
fn a_call_in_steps_ends_as_one_in_a_single_step() {
    for case in CASES {
        let [whole, stepped] = [WHOLE, 1].map(|step| {
            let bench = bench(step);
            (case.before)(&bench);
            let call = (case.call)(&bench);
            let begun = steps(&bench, &call, 1);
            let answer = begun.or_else(|| bench.machine.finish(bench.user.id));
            bench.machine.check();
            (answer.map(|it| it.status()), state(&bench))
        });
        assert_eq!(whole.0, Some(Ok(())), "{}", case.name);
        assert_eq!(whole, stepped, "{}", case.name);
    }
}

#[test]
fn invariants_hold_between_any_two_steps() {
    for case in CASES {
        for stop in 1..count(case).min(40) {
            let bench = bench(1);
            (case.before)(&bench);
            let call = (case.call)(&bench);
            assert_eq!(steps(&bench, &call, stop), None, "{}", case.name);
            bench.machine.check();
        }
    }
}

#[test]
fn what_a_call_is_about_can_die_between_any_two_steps() {
    for case in CASES {
        for stop in 1..count(case).min(40) {
            for victim in 0..3 {
                let bench = bench(1);
                (case.before)(&bench);
                let call = (case.call)(&bench);
                assert_eq!(steps(&bench, &call, stop), None, "{}", case.name);
                let slot = [bench.frame, bench.space, bench.user.slot][victim];
                bench.machine.must(CallNumber::Delete, &[slot]);
                bench.machine.check();
                if victim < 2 {
                    bench.machine.finish(bench.user.id).expect("it ends");
                    bench.machine.check();
                }
            }
        }
    }
}

#[test]
fn a_map_that_meets_another_mapping_leaves_nothing_behind() {
    for stop in 1..16 {
        let bench = bench(1);
        let machine = &bench.machine;
        let other = machine.make(ObjectKind::Frame, 12);
        let call = (CASES[0].call)(&bench);
        assert_eq!(steps(&bench, &call, stop), None);
        let taken = [other, bench.space, HERE + 15 * PAGE, BOTH];
        machine.must(CallNumber::Map, &taken);
        let answer = machine.finish(bench.user.id).expect("it ends");
        assert_eq!(answer.status(), Err(Error::AlreadyMapped));
        machine.check();
        let read = Rights::new().with_read(true);
        machine.make_current(bench.others[1].id);
        assert_eq!(machine.touch(1, HERE, read), None);
        assert!(machine.touch(1, HERE + 15 * PAGE, read).is_some());
        let again = [bench.frame, bench.space, HERE, BOTH];
        let again = machine.init_call(CallNumber::Map, &again).status();
        assert_eq!(again, Err(Error::AlreadyMapped));
        let moved = [bench.frame, bench.space, HERE + 16 * PAGE, BOTH];
        machine.must(CallNumber::Map, &moved);
    }
}

#[test]
fn a_map_without_memory_for_its_second_table_gives_the_first_back() {
    let machine = Machine::new(1);
    let space = machine.make(ObjectKind::Space, 0);
    let fund = machine.make(ObjectKind::Untyped, 13);
    machine.must(CallNumber::Fund, &[space, fund]);
    machine.kernel.arch.step.store(1, Ordering::Relaxed);
    let frame = machine.make(ObjectKind::Frame, 16);
    let map = |machine: &Machine| machine.init_call(CallNumber::Map, &[frame, space, HERE, BOTH]);
    assert_eq!(map(&machine).status(), Err(Error::NeedsMemory));
    machine.check();
    let more = machine.make(ObjectKind::Untyped, 14);
    machine.must(CallNumber::Fund, &[space, more]);
    assert_eq!(map(&machine).status(), Ok(()));
    machine.check();
}

#[test]
fn an_unmap_in_between_lets_a_map_begin_anew_and_stops_a_protect() {
    for (case, end) in [(&CASES[0], Ok(())), (&CASES[2], Err(Error::NotMapped))] {
        let bench = bench(1);
        (case.before)(&bench);
        let call = (case.call)(&bench);
        assert_eq!(steps(&bench, &call, 3), None);
        bench.machine.must(CallNumber::Unmap, &[bench.frame]);
        bench.machine.check();
        let answer = bench.machine.finish(bench.user.id).expect("it ends");
        assert_eq!(answer.status(), end, "{}", case.name);
        bench.machine.check();
    }
}

#[test]
fn a_map_does_not_go_on_with_a_mapping_that_another_call_takes_away() {
    let bench = bench(1);
    mapped(&bench);
    let call = (CASES[1].call)(&bench);
    assert_eq!(steps(&bench, &call, 4), None);
    let map = [bench.frame, bench.space, HERE, BOTH];
    let refused = bench.machine.init_call(CallNumber::Map, &map).status();
    assert_eq!(refused, Err(Error::AlreadyMapped));
    bench.machine.finish(bench.user.id).expect("it ends");
    bench.machine.must(CallNumber::Map, &map);
    bench.machine.check();
}

#[test]
fn what_a_retype_made_stays_where_another_takes_the_next_slot() {
    let bench = bench(1);
    let machine = &bench.machine;
    let call = retype(&bench, ObjectKind::Endpoint, 0, 6);
    assert_eq!(steps(&bench, &call, 10), None);
    let first = call.1[4];
    machine.must(CallNumber::Copy, &[bench.frame, first + 5]);
    let answer = machine.finish(bench.user.id).expect("it ends");
    assert_eq!(answer.status(), Err(Error::SlotOccupied));
    machine.check();
    for slot in first..first + 5 {
        let kind = machine.init_call(CallNumber::Identify, &[slot]).value();
        assert_eq!(kind, ObjectKind::Endpoint.number());
    }
}

#[test]
fn words_that_a_retype_leaves_in_registers_are_believed_by_nobody() {
    let machine = Machine::new(1);
    machine.kernel.arch.step.store(1, Ordering::Relaxed);
    let (slot, kind) = (machine.slots(3), ObjectKind::Endpoint.number());
    machine.must(CallNumber::Retype, &[machine.pool(), kind, 0, 1, slot + 1]);
    // "All three were looked at", but one is taken.
    let forged = [machine.pool(), kind, 0, 3 | 3 << 32, slot];
    let answer = machine.init_call(CallNumber::Retype, &forged);
    assert_eq!(answer.status(), Err(Error::SlotOccupied));
    machine.check();
    let forged = [machine.pool(), kind, 0, 3 | 4 << 32, slot];
    let answer = machine.init_call(CallNumber::Retype, &forged);
    assert_eq!(answer.status(), Err(Error::BadArgument));
}
