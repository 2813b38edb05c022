//! Requests of clients, good and bad ones: what is refused changes nothing, memory that moves is the
//! same for who has it, and every frame is one client's.

mod world;

use mem::{Decision, FrameNumber, Made, Slot, Touch};
use mem_api::{Allocation, Pages, Refusal, Reply, Request};
use proptest::prelude::*;
use world::{AREA, CLIENTS, LATER, LIMIT, ROOTS, World, steward};

#[derive(Clone, Debug)]
enum Step {
    Ask(usize, Request),
    Touch(u16, u64),
    Move,
}

fn pages() -> impl Strategy<Value = Pages> {
    prop_oneof![1_u32..20, 1_u32..400, Just(1 << 20)].prop_map(|pages| Pages::new(pages).unwrap())
}

fn few_pages() -> impl Strategy<Value = Pages> {
    prop_oneof![Just(4), Just(16), 1_u32..400].prop_map(|pages| Pages::new(pages).unwrap())
}

fn few() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 1 => 0_u32..20]
}

fn request() -> impl Strategy<Value = Request> {
    let allocation = || (0_u32..6).prop_map(Allocation);
    let start = prop_oneof![
        (0_u64..8).prop_map(|block| block << 6),
        0_u64..500,
        Just(1 << 52),
        any::<u64>()
    ];
    prop_oneof![
        4 => (pages(), start, 0_u8..3).prop_map(|(pages, start_page, node)| Request::Allocate {
            pages, start_page, node,
        }),
        2 => (allocation(), 0_u32..9)
            .prop_map(|(allocation, first)| Request::Collect { allocation, first }),
        2 => (allocation(), 0_u32..500)
            .prop_map(|(allocation, page)| Request::Find { allocation, page }),
        2 => allocation().prop_map(|allocation| Request::Release { allocation }),
        3 => (allocation(), 0_u32..400, pages())
            .prop_map(|(allocation, page, pages)| Request::Free { allocation, page, pages }),
        3 => (pages(), 0_u8..24, 0_u8..2)
            .prop_map(|(pages, align, area)| Request::Contiguous { pages, align, area: area / 2 }),
        2 => (0_u8..12).prop_map(|order| Request::RegisterSize { order }),
        2 => (0_u8..12, 0_u64..8, 0_u8..3)
            .prop_map(|(order, block, node)| Request::AllocateFolio {
                order, start_page: block << 6, node,
            }),
        3 => (allocation(), few(), few_pages())
            .prop_map(|(allocation, page, pages)| Request::Pin { allocation, page, pages }),
        // The same pages again, often.
        3 => (allocation(), few(), few_pages(), any::<bool>())
            .prop_map(|(allocation, page, pages, wrote)| Request::Unpin {
                allocation, page, pages, wrote,
            }),
        2 => (allocation(), 0_u64..80_000, 0_u64..80_000, 0_u8..12)
            .prop_map(|(allocation, offset, length, entries)| Request::Scatter {
                allocation, offset, length, entries,
            }),
        1 => (allocation(), 0_u64..80_000, 0_u64..80_000)
            .prop_map(|(allocation, offset, length)| Request::Readable {
                allocation, offset, length,
            }),
        1 => (allocation(), 0_u32..20)
            .prop_map(|(allocation, page)| Request::ReportDefect { allocation, page }),
        1 => (allocation(), 0_u32..20)
            .prop_map(|(allocation, page)| Request::Inspect { allocation, page }),
        1 => Just(Request::Metrics),
        1 => (0_u16..5).prop_map(|client| Request::Account { client }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_usize..3, request()).prop_map(|(client, request)| Step::Ask(client, request)),
        5 => (0_u16..2, 0_u64..500).prop_map(|(guest, page)| Step::Touch(guest, page)),
        4 => Just(Step::Move),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_is_refused_changes_nothing_and_what_moves_is_not_lost(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Ask(client, request) => {
                    let answer = world.ask(CLIENTS[client], request);
                    if matches!(answer, Ok((Reply::Released | Reply::Freed, _))) {
                        world.forget();
                    }
                }
                Step::Touch(guest, page) => world.touch(guest, page),
                Step::Move => world.step(),
            }
            world.check();
        }
        // With nobody left, everything is free and whole.
        while !world.emptying.is_empty() {
            world.step();
        }
        world.unpin_all();
        for process in CLIENTS {
            for allocation in (0..70).map(Allocation) {
                let _ = world.ask(process, Request::Release { allocation });
            }
        }
        let all: u64 = ROOTS.iter().map(|(_, order)| 1 << order).sum();
        let map = world.steward.folios().map();
        let frames = ROOTS.iter().flat_map(|(base, order)| *base..*base + (1 << order));
        let defects = frames.filter(|frame| map.get(FrameNumber::new(*frame).unwrap()).poisoned());
        let all = all - defects.count() as u64;
        prop_assert_eq!(world.steward.folios().free(), all);
        let frames = world.steward.kernel().slots.values();
        prop_assert!(frames.filter(|object| object.made == Made::Frame).count() == 0);
    }
}

fn allocate(pages: u32, start_page: u64) -> Request {
    let pages = Pages::new(pages).unwrap();
    Request::Allocate {
        pages,
        start_page,
        node: 0,
    }
}

fn allocation_of(answer: Result<(Reply, Vec<Slot>), Refusal>) -> Allocation {
    match answer {
        Ok((Reply::Allocated { allocation, .. }, _)) => allocation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_bad_request_has_its_refusal() {
    let mut world = World::new();
    let [eager, _, plain] = CLIENTS;
    let theirs = allocation_of(world.ask(eager, allocate(8, 0x100)));
    let own = allocation_of(world.ask(plain, allocate(8, 0)));
    let pages = |count| Pages::new(count).unwrap();
    let free = |allocation, page, count| Request::Free {
        allocation,
        page,
        pages: pages(count),
    };
    let contiguous = |count, align, area| Request::Contiguous {
        pages: pages(count),
        align,
        area,
    };
    world.ask(plain, free(own, 2, 1)).unwrap();
    let left_bytes = (LIMIT - 8) << 12;
    for (process, request, refusal) in [
        (99, allocate(1, 0), Refusal::NoClient),
        (eager, allocate(4, 0x106), Refusal::Overlap { page: 0x106 }),
        (eager, allocate(4, u64::MAX - 1), Refusal::Overflow),
        (eager, allocate(4, (1 << 52) - 2), Refusal::Overflow),
        (eager, allocate(1000, 0x200), Refusal::Quota { left_bytes }),
        (
            plain,
            Request::Release { allocation: theirs },
            Refusal::NoSuchAllocation,
        ),
        (plain, free(theirs, 0, 1), Refusal::NoSuchAllocation),
        (plain, free(own, 7, 2), Refusal::Overflow),
        (plain, free(own, u32::MAX, u32::MAX), Refusal::Overflow),
        (plain, free(own, 1, 3), Refusal::NotAllocated { page: 2 }),
        (plain, free(own, 2, 1), Refusal::NotAllocated { page: 2 }),
        (eager, free(theirs, 4, 1), Refusal::Mapped { page: 4 }),
        (plain, contiguous(4, 2, 7), Refusal::NoSuchArea),
        (
            plain,
            contiguous(4, 60, 0),
            Refusal::TooLarge { max_order: 18 },
        ),
        (plain, contiguous(0x101, 0, 0), Refusal::NoPlace),
        (
            plain,
            contiguous(1 << 19, 0, 0),
            Refusal::TooLarge { max_order: 18 },
        ),
    ] {
        let answer = world.ask(process, request);
        assert_eq!(answer.map(|(reply, _)| reply), Err(refusal), "{request:?}");
    }
}

const fn allocate_on(node: u8, pages: u32, start_page: u64) -> Request {
    Request::Allocate {
        pages: Pages::new(pages).unwrap(),
        start_page,
        node,
    }
}

#[test]
fn a_node_that_is_not_there_is_refused() {
    let mut world = World::new();
    let plain = CLIENTS[2];
    world
        .ask(plain, Request::RegisterSize { order: 2 })
        .unwrap();
    for node in [2, 3, u8::MAX] {
        let folio = Request::AllocateFolio {
            order: 2,
            start_page: 0,
            node,
        };
        for request in [allocate_on(node, 1, 0), folio] {
            // `ask` looks whether anything changed.
            let answer = world.ask(plain, request);
            assert_eq!(answer.map(drop), Err(Refusal::NoSuchNode), "{request:?}");
        }
    }
}

#[test]
fn a_node_is_preferred_as_long_as_it_has_memory() {
    let mut world = World::new();
    let plain = CLIENTS[2];
    let (first, order) = ROOTS[1];
    let is_near = |base: u64| (first..first + (1 << order)).contains(&base);
    let near_frames = |world: &World| {
        let slots = world.steward.kernel().slots.values();
        let frames = slots.filter(|object| object.made == Made::Frame);
        let near = frames.filter(|object| is_near(object.base));
        near.map(|object| 1_u64 << object.order).sum::<u64>()
    };
    let given = allocation_of(world.ask(plain, allocate_on(1, 500, 0)));
    assert_eq!(near_frames(&world), 500);
    // It has no 64 frames in a row any more: the other node serves.
    allocation_of(world.ask(plain, allocate_on(1, 64, 0)));
    assert_eq!(near_frames(&world), 500);
    let allocation = given;
    world.ask(plain, Request::Release { allocation }).unwrap();
    let left = near_frames(&world);
    allocation_of(world.ask(plain, allocate_on(0, 64, 0)));
    assert_eq!(near_frames(&world), left, "the other node has memory");
}

#[test]
fn what_is_too_much_or_nobodys_is_refused_at_every_entrance() {
    let mut world = World::new();
    let [eager, _, plain] = CLIENTS;
    let theirs = allocation_of(world.ask(eager, allocate(8, 0x100)));
    let own = allocation_of(world.ask(plain, allocate(600, 0)));
    let one = Pages::new(1).unwrap();
    let (allocation, page, pages) = (own, 0, one);
    let pin = Request::Pin {
        allocation,
        page,
        pages,
    };
    world.ask(plain, pin).unwrap();
    let folio = |start_page| Request::AllocateFolio {
        order: 7,
        start_page,
        node: 0,
    };
    for process in [eager, plain] {
        world
            .ask(process, Request::RegisterSize { order: 7 })
            .unwrap();
    }
    let collect = |allocation, first| Request::Collect { allocation, first };
    let find = |allocation, page| Request::Find { allocation, page };
    let free = |page| Request::Free {
        allocation: own,
        page,
        pages: one,
    };
    let contiguous = |count| Request::Contiguous {
        pages: Pages::new(count).unwrap(),
        align: 0,
        area: 0,
    };
    let left_bytes = (LIMIT - 600) << 12;
    for (process, request, refusal) in [
        (plain, collect(theirs, 0), Refusal::NoSuchAllocation),
        (plain, collect(own, 4096), Refusal::NoSuchAllocation),
        (plain, collect(own, u32::MAX), Refusal::NoSuchAllocation),
        (plain, find(theirs, 0), Refusal::NoSuchAllocation),
        (plain, find(own, 600), Refusal::NotAllocated { page: 600 }),
        (
            plain,
            Request::Release { allocation: own },
            Refusal::Busy { page: 0 },
        ),
        (plain, free(0), Refusal::Busy { page: 0 }),
        (plain, folio(0), Refusal::Quota { left_bytes }),
        (plain, contiguous(128), Refusal::Quota { left_bytes }),
        (eager, folio(0x100), Refusal::Overlap { page: 0x100 }),
        (eager, folio(1 << 52), Refusal::Overflow),
        (eager, folio(u64::MAX - 127), Refusal::Overflow),
    ] {
        let answer = world.ask(process, request);
        assert_eq!(answer.map(|(reply, _)| reply), Err(refusal), "{request:?}");
    }
}

#[test]
fn what_nobody_has_left_is_refused() {
    let mut world = World::new();
    let [eager, lazy, plain] = CLIENTS;
    allocation_of(world.ask(plain, allocate(600, 0)));
    allocation_of(world.ask(lazy, allocate(700, 0)));
    let free_bytes = (1024 + 512 - 600 - 700) << 12;
    let answer = world.ask(eager, allocate(400, 0x1000));
    assert_eq!(answer.map(drop), Err(Refusal::TooLittle { free_bytes }));
}

#[test]
fn a_client_has_one_contiguous_request_at_a_time() {
    let mut world = World::new();
    let request = Request::Contiguous {
        pages: Pages::new(1).unwrap(),
        align: 0,
        area: 0,
    };
    world.ask(CLIENTS[0], request).unwrap();
    let answer = world.ask(CLIENTS[0], request);
    assert_eq!(answer.map(drop), Err(Refusal::TooMany));
}

#[test]
fn an_area_outside_memory_or_over_another_is_refused() {
    let mut steward = steward();
    let before = steward.picture();
    for (base, frames, refusal) in [
        (0x900, 1, "OutsideMemory"),
        (0x7ff, 2, "OutsideMemory"),
        (0x7fe, 3, "OutsideMemory"),
        (0x4ff, 2, "Overlap"),
        (0x500, 0, "ZeroLength"),
        ((1 << 52) - 1, 2, "Overflow"),
    ] {
        let base = FrameNumber::new(base).unwrap();
        let declared = steward.declare_area(base, frames);
        assert!(format!("{declared:?}").contains(refusal), "{declared:?}");
        assert_eq!(steward.picture(), before);
    }
}

#[test]
fn areas_behind_one_that_is_refused_keep_their_numbers() {
    let mut steward = steward();
    let outside = FrameNumber::new(0x900).unwrap();
    assert!(steward.declare_area(outside, 1).is_err());
    steward.skip_area();
    let third = FrameNumber::new(0x600).unwrap();
    steward.declare_area(third, 0x40).unwrap();
    let mut request = |area| {
        let pages = Pages::new(1).unwrap();
        let align = 0;
        steward.decide(CLIENTS[2], Request::Contiguous { pages, align, area })
    };
    assert_eq!(request(1), Err(Refusal::NoSuchArea));
    assert!(request(2).is_ok());
}

#[test]
fn a_full_area_is_emptied_for_a_request_while_the_guest_goes_on() {
    let mut world = World::new();
    let [eager, lazy, plain] = CLIENTS;
    for (process, guest) in [(eager, 0), (lazy, 1)] {
        allocation_of(world.ask(process, allocate(640, 0)));
        (0..640).for_each(|page| world.touch(guest, page));
    }
    let request = Request::Contiguous {
        pages: Pages::new(128).unwrap(),
        align: 7,
        area: 0,
    };
    world.ask(plain, request).unwrap();
    let mut page = 0;
    while !world.emptying.is_empty() {
        world.step();
        for guest in [0, 1] {
            (0..50).for_each(|step| world.touch(guest, (page + step) % 640));
        }
        page += 50;
    }
    world.check();
    let Ok((Reply::Metrics(metrics), _)) = world.ask(plain, Request::Metrics) else {
        panic!("no metrics");
    };
    assert!(metrics.moved_pages > 0);
    let allocation = Allocation(2);
    let answer = world.ask(
        plain,
        Request::Collect {
            allocation,
            first: 0,
        },
    );
    let Ok((Reply::Folios([Some(folio), None, ..]), frames)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!((folio.offset_pages, folio.order), (0, 19));
    let frame = world.steward.kernel().slots[&frames[0]];
    assert!(frame.base >= AREA.0 && frame.frames().end <= AREA.0 + AREA.1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn bytes_of_anybody_harm_nobody(
        // Small numbers, of which most requests are made.
        data in prop::collection::vec(prop_oneof![3 => 0_u8..10, 1 => any::<u8>()], 0..1500),
    ) {
        world::run(&data);
    }
}

#[test]
fn the_corpus_of_the_fuzz_target_harms_nobody() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/fuzz/corpus/mem");
    let mut count = 0;
    for row in std::fs::read_dir(folder).expect("the corpus is there") {
        world::run(&std::fs::read(row.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn what_is_being_cleared_is_not_moved() {
    let mut steward = steward();
    let [eager, _, plain] = CLIENTS;
    // All that is not the area, and a part of it.
    let Ok(Decision::Fill(fill)) = steward.decide(eager, allocate(700, 0)) else {
        panic!("not granted");
    };
    let Ok(Decision::Fill(rest)) = steward.decide(plain, allocate(700, 0)) else {
        panic!("not granted");
    };
    let whole = Request::Contiguous {
        pages: Pages::new(1).unwrap(),
        align: 8,
        area: 0,
    };
    for fill in [fill, rest] {
        assert_eq!(steward.decide(CLIENTS[1], whole), Err(Refusal::NoPlace));
        steward.filled(&fill).unwrap();
    }
    let emptying = steward.decide(CLIENTS[1], whole);
    assert!(matches!(emptying, Ok(Decision::Empty(_))), "{emptying:?}");
}

#[test]
fn who_asks_for_what_is_just_moved_waits() {
    let mut world = World::new();
    let [eager, lazy, plain] = CLIENTS;
    allocation_of(world.ask(lazy, allocate(640, 0)));
    let allocation = allocation_of(world.ask(eager, allocate(640, 0)));
    let request = Request::Contiguous {
        pages: Pages::new(128).unwrap(),
        align: 7,
        area: 0,
    };
    world.ask(plain, request).unwrap();
    world.step();
    let gone: Vec<u32> = (0..640)
        .filter(|page| world.steward.kernel().at(0, u64::from(*page)).is_none())
        .collect();
    assert!(!gone.is_empty(), "something is being copied");
    for page in gone.clone() {
        let address = u64::from(page) << 12;
        assert_eq!(world.steward.touch(0, address), Touch::Later);
        let find = Request::Find { allocation, page };
        assert_eq!(world.ask(eager, find).map(drop), Err(LATER));
        let release = Request::Release { allocation };
        let refused = world.ask(eager, release).map(drop);
        assert!(matches!(refused, Err(Refusal::Busy { .. })), "{refused:?}");
    }
    world.step();
    for page in gone {
        let address = u64::from(page) << 12;
        assert_eq!(world.steward.touch(0, address), Touch::Mapped);
        let find = Request::Find { allocation, page };
        assert!(world.ask(eager, find).is_ok());
    }
    world.check();
}
