//! Laws of untyped memory, mappings and translations.
#![allow(
    clippy::indexing_slicing,
    reason = "a test fails where an index is wrong"
)]

use abi::call::Binding;
use abi::fault::FaultKind;
use abi::{CallNumber, CallWord, Error, ObjectKind, Rights, SlotAddress};
use kernel::arch::Trap;
use kernel::fake::Machine;
use kernel::fake::script::User;
use kernel::object::execution::State;

const READ: u64 = 1;
const BOTH: u64 = 3;
const PAGE: u64 = 4096;
/// Where tests map: nothing else is in this gigabyte.
const HERE: u64 = 3 << 30;

fn read() -> Rights {
    Rights::new().with_read(true)
}

/// A machine with a second process on cores 0 and 1, whose space has a fund of `order`.
fn process(order: u64) -> (Machine, u64, [User; 2]) {
    let machine = Machine::new(2);
    let space = machine.make(ObjectKind::Space, 0);
    let fund = machine.make(ObjectKind::Untyped, order);
    machine.must(CallNumber::Fund, &[space, fund]);
    let users = [0, 1].map(|core| {
        let user = machine.stopped_user(core);
        machine.bind(user.slot, Binding::Space, 0).expect("cleared");
        machine
            .bind(user.slot, Binding::Space, space)
            .expect("bound");
        machine.must(CallNumber::ThreadResume, &[user.slot]);
        machine.make_current(user.id);
        user
    });
    machine.check();
    (machine, space, users)
}

fn status(machine: &Machine, number: CallNumber, arguments: &[u64]) -> Result<(), Error> {
    let status = machine.init_call(number, arguments).status();
    machine.check();
    status
}

#[test]
fn a_mapped_frame_is_seen_until_it_is_unmapped_on_every_core() {
    let (machine, space, users) = process(16);
    let frame = machine.make(ObjectKind::Frame, 12);
    assert_eq!(
        status(&machine, CallNumber::Map, &[frame, space, HERE, READ]),
        Ok(())
    );
    users.iter().for_each(|user| machine.make_current(user.id));
    let physical = machine.address(frame);
    users.iter().for_each(|user| machine.make_current(user.id));
    assert_eq!(machine.touch(0, HERE + 8, read()), Some(physical + 8));
    assert_eq!(machine.touch(1, HERE, read()), Some(physical));
    assert_eq!(machine.touch(1, HERE, read().with_write(true)), None);
    let again = status(
        &machine,
        CallNumber::Map,
        &[frame, space, HERE + PAGE, READ],
    );
    assert_eq!(again, Err(Error::AlreadyMapped));
    assert_eq!(status(&machine, CallNumber::Unmap, &[frame]), Ok(()));
    assert_eq!(machine.touch(1, HERE, read()), None);
    assert_eq!(
        status(&machine, CallNumber::Unmap, &[frame]),
        Err(Error::NotMapped)
    );
    for (arguments, error) in [
        ([frame, space, HERE + 1, READ], Error::Misaligned),
        ([frame, space, 1 << 38, READ], Error::OutOfRange),
        ([frame, space, HERE, 2], Error::BadArgument),
        ([frame, space, HERE, 4], Error::BadArgument),
        ([frame, space, HERE, 0], Error::BadArgument),
        ([frame, frame, HERE, READ], Error::WrongObject),
    ] {
        assert_eq!(status(&machine, CallNumber::Map, &arguments), Err(error));
    }
}

#[test]
fn deleting_a_frame_unmaps_it_and_every_copy() {
    let (machine, space, users) = process(16);
    let frame = machine.make(ObjectKind::Frame, 13);
    let copy = machine.slot();
    machine.must(CallNumber::Copy, &[frame, copy]);
    machine.must(CallNumber::Map, &[frame, space, HERE, BOTH]);
    machine.must(
        CallNumber::Map,
        &[copy, space, HERE + (1 << 30) - PAGE, BOTH],
    );
    users.iter().for_each(|user| machine.make_current(user.id));
    for address in [HERE, HERE + PAGE, HERE + (1 << 30) - PAGE, HERE + (1 << 30)] {
        assert!(machine.touch(0, address, read()).is_some());
        assert!(machine.touch(1, address, read()).is_some());
    }
    machine.check();
    assert_eq!(status(&machine, CallNumber::Delete, &[frame]), Ok(()));
    users.iter().for_each(|user| machine.make_current(user.id));
    assert_eq!(machine.touch(0, HERE + (1 << 30), read()), None);
}

#[test]
fn large_frames_use_large_leaves_and_protect_splits_them() {
    let (machine, space, users) = process(16);
    let frame = machine.make(ObjectKind::Frame, 21);
    machine.must(CallNumber::Map, &[frame, space, HERE, BOTH]);
    let giant = machine.slot();
    machine.must(
        CallNumber::Retype,
        &[machine.devices(), ObjectKind::Frame.number(), 30, 1, giant],
    );
    assert_eq!(
        status(&machine, CallNumber::Map, &[giant, space, 5 << 30, BOTH]),
        Ok(())
    );
    users.iter().for_each(|user| machine.make_current(user.id));
    let write = read().with_write(true);
    assert!(machine.touch(1, HERE + 3 * PAGE, write).is_some());
    assert!(machine.touch(1, (5 << 30) + 3 * PAGE, write).is_some());
    for frame in [frame, giant] {
        let base = if frame == giant { 5 << 30 } else { HERE };
        let range = |offset, length, rights| [frame, offset, length, rights];
        assert_eq!(
            status(&machine, CallNumber::Protect, &range(PAGE, 2 * PAGE, READ)),
            Ok(())
        );
        users.iter().for_each(|user| machine.make_current(user.id));
        assert!(machine.touch(1, base, write).is_some());
        assert!(machine.touch(1, base + PAGE, write).is_none());
        assert!(machine.touch(1, base + 2 * PAGE, read()).is_some());
        assert!(machine.touch(1, base + 3 * PAGE, write).is_some());
        assert_eq!(
            status(&machine, CallNumber::Protect, &range(0, 2 * PAGE, 0)),
            Ok(())
        );
        users.iter().for_each(|user| machine.make_current(user.id));
        assert!(machine.touch(1, base + PAGE, read()).is_none());
        assert_eq!(
            status(&machine, CallNumber::Protect, &range(0, PAGE, BOTH)),
            Ok(())
        );
        for (range, error) in [
            (range(1, PAGE, READ), Error::Misaligned),
            (range(0, 0, READ), Error::OutOfRange),
            (range(0, 1 << 31, READ), Error::OutOfRange),
            (range(0, PAGE, 2), Error::BadArgument),
            (range(0, PAGE, 4), Error::BadArgument),
        ] {
            assert_eq!(status(&machine, CallNumber::Protect, &range), Err(error));
        }
        assert_eq!(status(&machine, CallNumber::Unmap, &[frame]), Ok(()));
        let unmapped = status(&machine, CallNumber::Protect, &range(0, PAGE, READ));
        assert_eq!(unmapped, Err(Error::NotMapped));
    }
}

#[test]
fn an_inaccessible_range_is_still_taken() {
    let (machine, space, _) = process(16);
    let [left, right] = [21, 21].map(|order| machine.make(ObjectKind::Frame, order));
    machine.must(CallNumber::Map, &[left, space, HERE, BOTH]);
    machine.must(CallNumber::Protect, &[left, 0, 1 << 21, 0]);
    let taken = status(&machine, CallNumber::Map, &[right, space, HERE, BOTH]);
    assert_eq!(taken, Err(Error::AlreadyMapped));
    assert_eq!(status(&machine, CallNumber::Unmap, &[left]), Ok(()));
}

#[test]
fn device_memory_stays_device_memory_when_a_leaf_is_split() {
    let (machine, space, _) = process(16);
    let giant = machine.slot();
    let kind = ObjectKind::Frame.number();
    machine.must(CallNumber::Retype, &[machine.devices(), kind, 21, 1, giant]);
    machine.must(CallNumber::Map, &[giant, space, HERE, BOTH]);
    machine.must(CallNumber::Protect, &[giant, 0, PAGE, READ]);
    let root = machine.kernel.arch.cores[1].space[0].load(core::sync::atomic::Ordering::Relaxed);
    let walk = |table: u64, index: usize, bytes| {
        let visit = machine.visit(0);
        visit.entry.words(table, bytes).expect("a table")[index]
            .load(core::sync::atomic::Ordering::Relaxed)
    };
    // The top byte names the level.
    let next = |bits: u64| bits << 8 >> 18 << 12;
    let middle = next(walk(root, 3, 4096));
    let last = next(walk(middle, 0, 4096));
    for index in [0, 1, 511] {
        assert_eq!(
            walk(last, index, 4096) >> 9 & 1,
            1,
            "entry {index} is device memory"
        );
    }
}

#[test]
fn a_fault_at_a_page_that_was_mapped_on_another_core_is_none() {
    let (machine, space, [_, user]) = process(16);
    let user = user.id;
    let fault = |kind, address| {
        machine.make_current(user);
        let trap = Trap::Fault {
            kind,
            address,
            cause: 0,
        };
        machine.trap(machine.core_of(user), trap);
        machine.state(user)
    };
    for page in [HERE, HERE + PAGE] {
        let frame = machine.make(ObjectKind::Frame, 12);
        machine.must(CallNumber::Map, &[frame, space, page, READ]);
        assert_eq!(fault(FaultKind::Load, page), State::Ready);
    }
    let frame = machine.make(ObjectKind::Frame, 12);
    machine.must(CallNumber::Map, &[frame, space, HERE + 2 * PAGE, READ]);
    assert_eq!(fault(FaultKind::Store, HERE), State::Stopped);
    machine.check();
}

#[test]
fn a_map_that_lacks_memory_takes_none() {
    // Root and one table: a mapping needs two.
    let (machine, space, _) = process(13);
    let frame = machine.make(ObjectKind::Frame, 12);
    for place in [HERE, 4 << 30, 5 << 30] {
        let lacks = status(&machine, CallNumber::Map, &[frame, space, place, READ]);
        assert_eq!(lacks, Err(Error::NeedsMemory));
    }
    let large = machine.make(ObjectKind::Frame, 21);
    assert_eq!(
        status(&machine, CallNumber::Map, &[large, space, HERE, READ]),
        Ok(())
    );
    let more = machine.make(ObjectKind::Untyped, 13);
    assert_eq!(status(&machine, CallNumber::Fund, &[space, more]), Ok(()));
    assert_eq!(
        status(&machine, CallNumber::Map, &[frame, space, 4 << 30, READ]),
        Ok(())
    );
}

#[test]
fn funds_are_eight_whole_and_of_ordinary_memory() {
    let (machine, space, _) = process(13);
    let unfunded = machine.make(ObjectKind::Space, 0);
    let frame = machine.make(ObjectKind::Frame, 12);
    let lacks = status(&machine, CallNumber::Map, &[frame, unfunded, HERE, READ]);
    assert_eq!(lacks, Err(Error::NeedsMemory));
    for _ in 0..7 {
        let fund = machine.make(ObjectKind::Untyped, 12);
        assert_eq!(status(&machine, CallNumber::Fund, &[space, fund]), Ok(()));
        assert_eq!(
            status(&machine, CallNumber::Fund, &[unfunded, fund]),
            Err(Error::HasChildren)
        );
    }
    let fund = machine.make(ObjectKind::Untyped, 12);
    assert_eq!(
        status(&machine, CallNumber::Fund, &[space, fund]),
        Err(Error::TableFull)
    );
    let devices = machine.devices();
    assert_eq!(
        status(&machine, CallNumber::Fund, &[unfunded, devices]),
        Err(Error::BadArgument)
    );
}

#[test]
fn a_fund_that_goes_takes_the_tables_and_stops_who_needs_them() {
    for victim_is_space in [false, true] {
        let machine = Machine::new(2);
        let space = machine.make(ObjectKind::Space, 0);
        let fund = machine.make(ObjectKind::Untyped, 16);
        machine.must(CallNumber::Fund, &[space, fund]);
        let user = machine.stopped_user(1);
        machine.bind(user.slot, Binding::Space, 0).expect("cleared");
        machine
            .bind(user.slot, Binding::Space, space)
            .expect("bound");
        machine.must(CallNumber::ThreadResume, &[user.slot]);
        let frame = machine.make(ObjectKind::Frame, 12);
        machine.must(CallNumber::Map, &[frame, space, HERE, READ]);
        machine.make_current(user.id);
        assert!(machine.touch(1, HERE, read()).is_some());
        let victim = if victim_is_space { space } else { fund };
        assert_eq!(status(&machine, CallNumber::Delete, &[victim]), Ok(()));
        assert_eq!(machine.current(1), None);
        assert_eq!(
            status(&machine, CallNumber::Unmap, &[frame]),
            Err(Error::NotMapped)
        );
        assert_eq!(machine.touch(1, HERE, read()), None);
    }
}

#[test]
fn frames_are_split_in_halves() {
    let (machine, space, _) = process(16);
    let (frame, upper, copy) = (
        machine.make(ObjectKind::Frame, 13),
        machine.slot(),
        machine.slot(),
    );
    let base = machine.address(frame);
    machine.must(CallNumber::Copy, &[frame, copy]);
    let split = [frame, upper];
    assert_eq!(
        status(&machine, CallNumber::Split, &split),
        Err(Error::HasChildren)
    );
    machine.must(CallNumber::Delete, &[copy]);
    machine.must(CallNumber::Map, &[frame, space, HERE, READ]);
    assert_eq!(
        status(&machine, CallNumber::Split, &split),
        Err(Error::AlreadyMapped)
    );
    machine.must(CallNumber::Unmap, &[frame]);
    assert_eq!(status(&machine, CallNumber::Split, &split), Ok(()));
    assert_eq!(
        [frame, upper].map(|slot| machine.address(slot)),
        [base, base + PAGE]
    );
    assert_eq!(
        status(&machine, CallNumber::Split, &split),
        Err(Error::BadArgument)
    );
}

#[test]
fn a_frame_of_many_split_leaves_is_unmapped_and_deleted_in_steps() {
    for delete in [false, true] {
        let (machine, space, users) = process(20);
        let frame = machine.slot();
        let kind = ObjectKind::Frame.number();
        machine.must(CallNumber::Retype, &[machine.devices(), kind, 25, 1, frame]);
        machine.must(CallNumber::Map, &[frame, space, HERE, BOTH]);
        for index in 0..16 {
            machine.must(CallNumber::Protect, &[frame, index << 21, PAGE, READ]);
        }
        users.iter().for_each(|user| machine.make_current(user.id));
        for index in 0..16 {
            machine.touch(0, HERE + (index << 21), read());
            machine.touch(1, HERE + (index << 21), read());
        }
        let number = if delete {
            CallNumber::Delete
        } else {
            CallNumber::Unmap
        };
        assert_eq!(status(&machine, number, &[frame]), Ok(()));
    }
}

#[test]
fn a_place_is_taken_until_its_frame_is_unmapped_whole() {
    let (machine, space, users) = process(20);
    let (large, small) = (machine.slot(), machine.make(ObjectKind::Frame, 12));
    let kind = ObjectKind::Frame.number();
    machine.must(CallNumber::Retype, &[machine.devices(), kind, 25, 1, large]);
    machine.must(CallNumber::Map, &[large, space, HERE, BOTH]);
    for index in 0..16 {
        machine.must(CallNumber::Protect, &[large, index << 21, PAGE, READ]);
    }
    let map = [small, space, HERE, READ];
    let word = CallWord::new().with_number(CallNumber::Unmap as u8);
    machine.start(users[0].id, word, &[large]);
    assert_eq!(machine.answer(users[0].id), None, "there is more to do");
    assert_eq!(
        status(&machine, CallNumber::Map, &map),
        Err(Error::AlreadyMapped)
    );
    let done = machine.finish(users[0].id).expect("it does not wait");
    assert_eq!(done.status(), Ok(()));
    assert_eq!(status(&machine, CallNumber::Map, &map), Ok(()));
}

#[test]
fn retype_checks_everything_first() {
    let machine = Machine::new(2);
    let (pool, slot) = (machine.pool(), machine.slots(4));
    let [frame, endpoint, table, budget] = [
        ObjectKind::Frame,
        ObjectKind::Endpoint,
        ObjectKind::CapTable,
        ObjectKind::Budget,
    ]
    .map(ObjectKind::number);
    for (arguments, error) in [
        ([pool, 99, 12, 1, slot], Error::BadArgument),
        ([pool, frame, 11, 1, slot], Error::BadArgument),
        ([pool, frame, 12, 0, slot], Error::BadArgument),
        ([pool, frame, 12, 257, slot], Error::BadArgument),
        ([pool, table, 65, 1, slot], Error::BadArgument),
        ([pool, endpoint, 2, 1, slot], Error::OutOfRange),
        ([pool, endpoint, 64, 1, slot], Error::OutOfRange),
        ([pool, frame, 12, 2, 4095], Error::OutOfRange),
        ([pool, frame, 12, 1, 0], Error::OutOfRange),
        ([pool, frame, 12, 1, 1], Error::SlotOccupied),
        ([pool, frame, 30, 1, slot], Error::OutOfMemory),
        ([machine.devices(), budget, 0, 1, slot], Error::BadArgument),
        ([1, frame, 12, 1, slot], Error::WrongObject),
        ([slot, frame, 12, 1, slot], Error::NoCapability),
    ] {
        assert_eq!(
            status(&machine, CallNumber::Retype, &arguments),
            Err(error),
            "{arguments:?}"
        );
    }
    // A large table is zeroed in steps, and is there in one piece.
    assert_eq!(
        status(&machine, CallNumber::Retype, &[pool, table, 16384, 1, slot]),
        Ok(())
    );
    assert_eq!(machine.init_call(CallNumber::Identify, &[slot]).x[5], 16384);
    let inner = SlotAddress::within(u32::try_from(slot).expect("small"), 16383).into_bits();
    assert_eq!(
        status(&machine, CallNumber::Retype, &[pool, frame, 12, 1, inner]),
        Ok(())
    );
    assert_eq!(status(&machine, CallNumber::Delete, &[slot]), Ok(()));
}

#[test]
fn space_tags_are_a_limited_thing_and_come_back() {
    let arch = kernel::fake::FakeArch::default();
    arch.tags.store(5, core::sync::atomic::Ordering::Relaxed);
    let machine = Machine::with(1, arch);
    for _ in 0..3 {
        // Tag 0 is the kernel's, tag 1 the first process's.
        let slots = machine.slots(4);
        let kind = ObjectKind::Space.number();
        let all = status(
            &machine,
            CallNumber::Retype,
            &[machine.pool(), kind, 0, 4, slots],
        );
        assert_eq!(all, Err(Error::OutOfMemory));
        assert_eq!(
            status(
                &machine,
                CallNumber::Retype,
                &[machine.pool(), kind, 0, 3, slots]
            ),
            Ok(())
        );
        for slot in slots..slots + 3 {
            machine.must(CallNumber::Delete, &[slot]);
        }
    }
}

/// The slot `index` of the table in slot `table`.
fn within(table: u64, index: u32) -> u64 {
    SlotAddress::within(u32::try_from(table).expect("small"), index).into_bits()
}

#[test]
fn memory_cannot_hold_what_it_was_made_of() {
    let machine = Machine::new(1);
    let untyped = machine.make(ObjectKind::Untyped, 16);
    let table = machine.slot();
    let kind = ObjectKind::CapTable.number();
    machine.must(CallNumber::Retype, &[untyped, kind, 64, 1, table]);
    let moved = status(&machine, CallNumber::Move, &[untyped, within(table, 5)]);
    assert_eq!(moved, Err(Error::TreeTooDeep));
    let moved = status(&machine, CallNumber::Move, &[table, within(table, 5)]);
    assert_eq!(moved, Err(Error::TreeTooDeep));
    machine.must(CallNumber::Delete, &[untyped]);
    machine.check();
}

#[test]
fn tables_in_tables_are_deleted_from_the_inside_and_are_limited() {
    let machine = Machine::new(1);
    let pool = machine.pool();
    let kind = ObjectKind::CapTable.number();
    let outer = machine.slot();
    machine.must(CallNumber::Retype, &[pool, kind, 64, 1, outer]);
    let (mut at, mut depth) = (outer, 0);
    loop {
        let made = status(
            &machine,
            CallNumber::Retype,
            &[pool, kind, 64, 1, within(at, 7)],
        );
        if let Err(error) = made {
            assert_eq!(error, Error::TreeTooDeep);
            break;
        }
        depth += 1;
        // A copy, to name the inner table by.
        let copy = machine.slot();
        machine.must(CallNumber::Copy, &[within(at, 7), copy]);
        let filler = ObjectKind::Untyped.number();
        machine.must(CallNumber::Retype, &[pool, filler, 12, 2, within(at, 20)]);
        at = copy;
    }
    assert!((10..20).contains(&depth), "{depth}");
    assert_eq!(status(&machine, CallNumber::Delete, &[outer]), Ok(()));
    machine.must(CallNumber::Revoke, &[pool]);
    machine.check();
}

#[test]
fn a_free_untyped_capability_can_be_moved_into_a_table() {
    let machine = Machine::new(1);
    let table = machine.make(ObjectKind::CapTable, 64);
    let untyped = machine.make(ObjectKind::Untyped, 13);
    assert_eq!(
        status(&machine, CallNumber::Move, &[untyped, within(table, 3)]),
        Ok(())
    );
    let kind = ObjectKind::CapTable.number();
    let inner = [within(table, 3), kind, 64, 1, within(table, 4)];
    assert_eq!(status(&machine, CallNumber::Retype, &inner), Ok(()));
    // Out again is always possible.
    let back = machine.slot();
    assert_eq!(
        status(&machine, CallNumber::Move, &[within(table, 3), back]),
        Ok(())
    );
    assert_eq!(status(&machine, CallNumber::Delete, &[table]), Ok(()));
}

#[test]
fn tables_of_a_guest_space_come_back_to_their_fund() {
    let machine = Machine::new(1);
    let space = machine.make(ObjectKind::GuestSpace, 0);
    // A root of 16 KiB, and room for 12 small tables: too few if none came back.
    let fund = machine.make(ObjectKind::Untyped, 16);
    machine.must(CallNumber::Fund, &[space, fund]);
    let frame = machine.make(ObjectKind::Frame, 12);
    for round in 0..200 {
        let address = (round % 3) * (1 << 30) + round * (1 << 21);
        machine.must(CallNumber::Map, &[frame, space, address, READ]);
        machine.must(CallNumber::Unmap, &[frame]);
    }
    machine.check();
}
