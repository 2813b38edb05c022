//! Pins, entries for devices, defects and registered sizes: what is granted, and what is refused.

mod world;

use mem::{Slot, Touch};
use mem_api::{Allocation, Entry, FolioState, Pages, Refusal, Reply, Request};
use world::{AREA, CLIENTS, LIMIT, PINS, World};

const fn pages(count: u32) -> Pages {
    Pages::new(count).unwrap()
}

fn allocate(world: &mut World, process: u16, count: u32, start_page: u64) -> Allocation {
    let request = Request::Allocate {
        pages: pages(count),
        start_page,
        node: 0,
    };
    allocated(world.ask(process, request))
}

fn allocated(answer: Result<(Reply, Vec<Slot>), Refusal>) -> Allocation {
    match answer {
        Ok((Reply::Allocated { allocation, .. }, _)) => allocation,
        other => panic!("{other:?}"),
    }
}

const fn pin(allocation: Allocation, page: u32, count: u32) -> Request {
    Request::Pin {
        allocation,
        page,
        pages: pages(count),
    }
}

const fn unpin(allocation: Allocation, page: u32, count: u32, wrote: bool) -> Request {
    Request::Unpin {
        allocation,
        page,
        pages: pages(count),
        wrote,
    }
}

const fn scatter(allocation: Allocation, offset: u64, length: u64, entries: u8) -> Request {
    Request::Scatter {
        allocation,
        offset,
        length,
        entries,
    }
}

const fn readable(allocation: Allocation, offset: u64, length: u64) -> Request {
    Request::Readable {
        allocation,
        offset,
        length,
    }
}

fn reply(world: &mut World, process: u16, request: Request) -> Reply {
    world.ask(process, request).expect("it is granted").0
}

fn entries(world: &mut World, process: u16, request: Request) -> Vec<Entry> {
    match reply(world, process, request) {
        Reply::Scatter(entries) => entries.into_iter().flatten().collect(),
        other => panic!("{other:?}"),
    }
}

fn inspected(world: &mut World, process: u16, allocation: Allocation, page: u32) -> FolioState {
    match reply(world, process, Request::Inspect { allocation, page }) {
        Reply::Inspected(state) => state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_pinned_does_not_move_and_the_rest_does() {
    let mut world = World::new();
    let [eager, _, plain] = CLIENTS;
    // What others leave is in the area, in part.
    let others = allocate(&mut world, plain, 700, 0);
    let allocation = allocate(&mut world, eager, 640, 0);
    let area = AREA.0..AREA.0 + AREA.1;
    let at = |world: &World, page| world.steward.kernel().at(0, page).unwrap();
    (0..640).for_each(|page| world.touch(0, page));
    let inside = (0..640).find(|page| area.contains(&at(&world, *page)));
    let inside = inside.expect("some is in the area");
    let page = u32::try_from(inside).unwrap();
    reply(&mut world, plain, Request::Release { allocation: others });
    reply(&mut world, eager, pin(allocation, page, 1));
    let whole = Request::Contiguous {
        pages: pages(u32::try_from(AREA.1).unwrap()),
        align: 0,
        area: 0,
    };
    assert_eq!(world.ask(plain, whole).map(drop), Err(Refusal::NoPlace));
    world.check();
    reply(&mut world, eager, unpin(allocation, page, 1, false));
    world.ask(plain, whole).unwrap();
    // What leaves is not pinned any more.
    let refused = world.ask(eager, pin(allocation, page, 1));
    assert_eq!(refused.map(drop), Err(Refusal::Busy { page }));
    while !world.emptying.is_empty() {
        world.step();
    }
    assert!(!area.contains(&at(&world, inside)));
    world.check();
}

#[test]
fn a_pin_counts_until_it_is_taken_back_and_what_was_written_is_dirty() {
    let mut world = World::new();
    let [eager, ..] = CLIENTS;
    let allocation = allocate(&mut world, eager, 64, 0);
    reply(&mut world, eager, pin(allocation, 0, 8));
    reply(&mut world, eager, pin(allocation, 4, 8));
    assert_eq!(inspected(&mut world, eager, allocation, 60).pins, 16);
    reply(&mut world, eager, unpin(allocation, 0, 8, false));
    let state = inspected(&mut world, eager, allocation, 0);
    assert_eq!((state.pins, state.is_dirty), (8, false));
    let again = world.ask(eager, unpin(allocation, 0, 8, false));
    assert_eq!(again.map(drop), Err(Refusal::NotPinned { page: 0 }));
    let release = Request::Release { allocation };
    let busy = Err(Refusal::Busy { page: 0 });
    assert_eq!(world.ask(eager, release).map(drop), busy);
    reply(&mut world, eager, unpin(allocation, 4, 8, true));
    let state = inspected(&mut world, eager, allocation, 63);
    assert_eq!((state.pins, state.is_dirty), (0, true));
    reply(&mut world, eager, release);
}

#[test]
fn an_entry_is_contiguous_and_a_hole_begins_another_one() {
    let mut world = World::new();
    let [eager, lazy, _] = CLIENTS;
    // Single frames come one behind the other: every second one is somebody else's.
    let singles: Vec<_> = (0..8)
        .map(|page| {
            allocate(&mut world, lazy, 1, page * 2);
            allocate(&mut world, eager, 1, 1000 + page * 2)
        })
        .collect();
    for allocation in singles {
        reply(&mut world, eager, Request::Release { allocation });
    }
    let allocation = allocate(&mut world, eager, 3, 3);
    reply(&mut world, eager, pin(allocation, 0, 3));
    let bytes = 3 * 4096 - 200;
    let all = entries(&mut world, eager, scatter(allocation, 100, bytes, 8));
    assert!(all.len() > 1, "{all:?}");
    for pair in all.windows(2) {
        let end = pair[0].address + pair[0].length;
        assert_ne!(end, pair[1].address, "what follows is no entry of its own");
    }
    let page = u32::try_from((100 + all[0].length) >> 12).unwrap();
    for (most, page) in [(1, page), (0, 0)] {
        let refused = world.ask(eager, scatter(allocation, 100, bytes, most));
        assert_eq!(refused.map(drop), Err(Refusal::NonContiguous { page }));
    }
    let one = entries(
        &mut world,
        eager,
        scatter(allocation, 100, all[0].length, 1),
    );
    assert_eq!(one, all[..1]);
}

#[test]
fn folios_that_follow_each_other_are_one_entry() {
    let mut world = World::new();
    let [_, _, plain] = CLIENTS;
    // Pages 1 to 255 are eight folios, the largest last.
    let allocation = allocate(&mut world, plain, 255, 1);
    reply(&mut world, plain, pin(allocation, 0, 255));
    let all = entries(&mut world, plain, scatter(allocation, 0, 255 << 12, 8));
    assert!(all.len() < 8, "{all:?}");
}

#[test]
fn what_follows_a_defect_cannot_be_read() {
    let mut world = World::new();
    let [_, _, plain] = CLIENTS;
    let allocation = allocate(&mut world, plain, 20, 0);
    let count = |world: &mut World, offset, length| match reply(
        world,
        plain,
        readable(allocation, offset, length),
    ) {
        Reply::Readable(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    assert_eq!(count(&mut world, 5, 20 * 4096 - 5), 20 * 4096 - 5);
    let page = 17;
    let report = Request::ReportDefect { allocation, page };
    reply(&mut world, plain, report);
    reply(&mut world, plain, report);
    assert!(inspected(&mut world, plain, allocation, page).is_damaged);
    assert_eq!(count(&mut world, 5, 20 * 4096 - 5), 17 * 4096 - 5);
    assert_eq!(count(&mut world, 17 * 4096, 1), 0);
    assert_eq!(count(&mut world, 18 * 4096 + 9, 4096), 4096);
    let refused = world.ask(plain, pin(allocation, 10, 10));
    assert_eq!(refused.map(drop), Err(Refusal::Defect { page }));
    let free = world.steward.folios().free();
    reply(&mut world, plain, Request::Release { allocation });
    assert_eq!(
        world.steward.folios().free(),
        free + 19,
        "nobody gets it again"
    );
}

#[test]
fn a_client_can_report_few_defects() {
    let mut world = World::new();
    let [_, _, plain] = CLIENTS;
    let allocation = allocate(&mut world, plain, 32, 0);
    let report = |page| Request::ReportDefect { allocation, page };
    for page in 0..16 {
        reply(&mut world, plain, report(page));
    }
    let refused = world.ask(plain, report(16));
    assert_eq!(refused.map(drop), Err(Refusal::TooManyDefects));
}

#[test]
fn a_registered_size_is_given_whole_or_not_at_all() {
    let mut world = World::new();
    let [eager, _, plain] = CLIENTS;
    let folio = |order, start_page| Request::AllocateFolio {
        order,
        start_page,
        node: 0,
    };
    let refused = world.ask(eager, folio(9, 0));
    assert_eq!(refused.map(drop), Err(Refusal::NoSuchSize));
    reply(&mut world, eager, Request::RegisterSize { order: 9 });
    let refused = world.ask(plain, folio(9, 0));
    assert_eq!(
        refused.map(drop),
        Err(Refusal::NoSuchSize),
        "each for himself"
    );
    let refused = world.ask(eager, folio(9, 256));
    assert_eq!(refused.map(drop), Err(Refusal::Misaligned));
    let allocation = allocated(world.ask(eager, folio(9, 512)));
    let state = inspected(&mut world, eager, allocation, 511);
    assert_eq!((state.folio.offset_pages, state.folio.order), (0, 21));
    assert!(state.is_mapped);
    assert_eq!(world.steward.touch(0, 512 << 12), Touch::Mapped);
    for request in [Request::RegisterSize { order: 19 }, folio(255, 0)] {
        let refused = world.ask(eager, request);
        assert_eq!(refused.map(drop), Err(Refusal::TooLarge { max_order: 18 }));
    }
}

#[test]
fn every_bad_request_about_devices_has_its_refusal() {
    let mut world = World::new();
    let [eager, _, plain] = CLIENTS;
    let theirs = allocate(&mut world, eager, 8, 0x100);
    let own = allocate(&mut world, plain, 400, 0);
    reply(&mut world, eager, pin(theirs, 0, 8));
    reply(&mut world, plain, pin(own, 0, 4));
    let free = Request::Free {
        allocation: own,
        page: 399,
        pages: pages(1),
    };
    reply(&mut world, plain, free);
    let left_bytes = (PINS - 4) << 12;
    const { assert!(PINS < 399 && LIMIT > 400) };
    let report = |allocation, page| Request::ReportDefect { allocation, page };
    let inspect = |allocation, page| Request::Inspect { allocation, page };
    for (request, refusal) in [
        (pin(theirs, 0, 1), Refusal::NoSuchAllocation),
        (pin(own, 399, 2), Refusal::Overflow),
        (pin(own, u32::MAX, u32::MAX), Refusal::Overflow),
        (pin(own, 0, 399), Refusal::PinQuota { left_bytes }),
        (unpin(theirs, 0, 8, false), Refusal::NoSuchAllocation),
        (unpin(own, 0, 3, true), Refusal::NotPinned { page: 0 }),
        (unpin(own, 1, 3, true), Refusal::NotPinned { page: 1 }),
        (
            unpin(own, u32::MAX, u32::MAX, true),
            Refusal::NotPinned { page: u32::MAX },
        ),
        (scatter(theirs, 0, 1, 1), Refusal::NoSuchAllocation),
        (scatter(own, 0, 0, 1), Refusal::ZeroLength),
        (scatter(own, 1, u64::MAX, 1), Refusal::Overflow),
        (scatter(own, 399 << 12, 4097, 1), Refusal::Overflow),
        (
            scatter(own, 4096, 4 * 4096, 1),
            Refusal::NotPinned { page: 1 },
        ),
        (scatter(own, 9 << 12, 1, 1), Refusal::NotPinned { page: 9 }),
        (readable(theirs, 0, 1), Refusal::NoSuchAllocation),
        (readable(own, 0, 0), Refusal::ZeroLength),
        (readable(own, u64::MAX, 1), Refusal::Overflow),
        (readable(own, u64::MAX, 2), Refusal::Overflow),
        (readable(own, 400 << 12, 1), Refusal::Overflow),
        (report(theirs, 0), Refusal::NoSuchAllocation),
        (report(own, 400), Refusal::Overflow),
        (inspect(theirs, 0), Refusal::NoSuchAllocation),
        (inspect(own, 400), Refusal::NotAllocated { page: 400 }),
    ] {
        let answer = world.ask(plain, request);
        assert_eq!(answer.map(|(reply, _)| reply), Err(refusal), "{request:?}");
    }
    for request in [
        pin(own, 399, 1),
        readable(own, 399 << 12, 1),
        report(own, 399),
    ] {
        let answer = world.ask(plain, request);
        let gone = Refusal::NotAllocated { page: 399 };
        assert_eq!(answer.map(drop), Err(gone), "{request:?}");
    }
}

#[test]
fn who_is_no_client_pins_nothing() {
    let request = pin(Allocation(0), 0, 1);
    let nobody = World::new().ask(99, request);
    assert_eq!(nobody.map(drop), Err(Refusal::NoClient));
}

#[test]
fn a_client_has_so_many_pins_and_no_more() {
    let mut world = World::new();
    let [_, _, plain] = CLIENTS;
    let own = allocate(&mut world, plain, 4, 0);
    for _ in 0..64 {
        reply(&mut world, plain, pin(own, 0, 1));
    }
    let refused = world.ask(plain, pin(own, 0, 1));
    assert_eq!(refused.map(drop), Err(Refusal::TooMany));
    world.unpin_all();
    reply(&mut world, plain, Request::Release { allocation: own });
}
