//! Bad input to every entrance of the allocator: each has its refusal, and nothing is changed by it.

use mem::{
    Account, Area, ClaimId, Cover, Descriptor, Entry, Extent, Folios, FrameNumber, Geometry,
    Gigantic, Memory, Owner, Refusal, ScatterList, Want,
};

/// Memory lies here, with a hole in it: donations of node 0, of node 1, and of node 0 again, whose
/// descriptors do not follow those of the first one.
const DONATIONS: [(u64, u64, u8); 3] = [(0x1200, 0x200, 0), (0x1000, 0x100, 1), (0x1400, 0x40, 0)];
/// What is looked at.
const SEEN: core::ops::Range<u64> = 0xf00..0x1500;
/// The area, in the first donation.
const AREA: (u64, u64) = (0x1300, 0x40);
/// The largest order: that of a section.
const LARGEST: u8 = 6;
/// Frames that the second owner may have.
const LIMIT: u64 = 0x20;

fn frame(number: u64) -> FrameNumber {
    FrameNumber::new(number).unwrap()
}

const fn last() -> u64 {
    (1 << 52) - 1
}

fn memory(first: u64, frames: u64) -> Memory {
    let first = frame(first);
    let node = 0;
    Memory {
        first,
        frames,
        node,
    }
}

const fn want(order: u8) -> Want {
    Want {
        order,
        node: None,
        movable: true,
    }
}

const fn cover(start: u64, frames: u64) -> Cover {
    Cover {
        start,
        frames,
        node: None,
        max_order: 18,
    }
}

/// An allocator, and folios of each kind that may not be treated in some way.
struct World {
    folios: Folios,
    owner: Owner,
    other: Owner,
    /// An owner that the allocator does not have.
    stranger: Owner,
    area: Area,
    /// Areas that it does not have: one has the number of ordinary memory.
    strange_areas: [Area; 2],
    /// A request that ended.
    ended: ClaimId,
    own: Extent,
    theirs: Extent,
    mapped: Extent,
    pinned: Extent,
    /// What is just being moved, or prepared.
    still: Extent,
    /// What was freed.
    free: Extent,
}

fn allocator(donations: &[(u64, u64, u8)]) -> Folios {
    let mut folios = Folios::new(Geometry {
        section_shift: LARGEST,
        vmemmap: false,
        gigantic: Gigantic::OneGib,
    });
    for &(first, frames, node) in donations {
        let memory = Memory {
            node,
            ..memory(first, frames)
        };
        folios.donate(memory, 0).unwrap();
    }
    folios
}

/// The area of an allocator that has so many donations before it.
fn strange_area(donations: usize) -> Area {
    let donations: Vec<_> = (0..donations as u64)
        .map(|index| (0x1000 * (index + 1), 0x40, 0))
        .collect();
    let mut folios = allocator(&donations);
    folios.declare_area(frame(0x1000), 0x10).unwrap()
}

impl World {
    fn new() -> Self {
        let mut folios = allocator(&DONATIONS);
        let (base, frames) = AREA;
        let area = folios.declare_area(frame(base), frames).unwrap();
        let owner = folios.add_owner(0x300).unwrap();
        let other = folios.add_owner(LIMIT).unwrap();
        let mut of = |owner| folios.allocate(owner, want(3)).unwrap();
        let [own, theirs, mapped] = [of(owner), of(other), of(owner)];
        let [pinned, still, free] = [of(owner), of(owner), of(owner)];
        folios.note_mapped(owner, mapped.base()).unwrap();
        folios.pin(owner, pinned).unwrap();
        folios.keep_still(owner, still.base(), true).unwrap();
        folios.free_frames(owner, free.base(), 8).unwrap();
        let ended = folios.claim(owner, area, 1, 0).unwrap();
        folios.abandon(ended).unwrap();
        let mut strangers = allocator(&[]);
        let strangers = [(); 3].map(|()| strangers.add_owner(1 << 20).unwrap());
        Self {
            folios,
            owner,
            other,
            stranger: strangers[2],
            area,
            strange_areas: [strange_area(1), strange_area(7)],
            ended,
            own,
            theirs,
            mapped,
            pinned,
            still,
            free,
        }
    }

    /// All that can be seen of it.
    fn seen(&mut self) -> (Vec<(Descriptor, bool)>, [Account; 2], mem::Metrics) {
        let frames = SEEN.map(|number| {
            let at = frame(number);
            (self.folios.map().get(at), self.folios.is_free(at))
        });
        let frames = frames.collect();
        let accounts = [self.owner, self.other].map(|owner| self.folios.account(owner).unwrap());
        (frames, accounts, self.folios.metrics())
    }

    /// Checks that a request is refused, and that nothing is changed by it.
    #[track_caller]
    fn refuses<T: core::fmt::Debug>(
        &mut self,
        refusal: Refusal,
        request: impl FnOnce(&mut Folios) -> Result<T, Refusal>,
    ) {
        let before = self.seen();
        let answer = request(&mut self.folios);
        assert_eq!(answer.map(drop), Err(refusal));
        assert!(self.seen() == before, "{refusal:?}: something was changed");
    }
}

const TOO_LARGE: Refusal = Refusal::TooLarge { max_order: LARGEST };

#[test]
fn bad_memory_is_not_taken_over() {
    let mut world = World::new();
    for (first, frames, order, refusal) in [
        (0x2000, 0, 0, Refusal::ZeroLength),
        (last(), 2, 0, Refusal::Overflow),
        (0x2000, u64::MAX, 0, Refusal::Overflow),
        (0x2000, 0x80, 7, TOO_LARGE),
        (0x2000, 0x80, u8::MAX, TOO_LARGE),
        (0x2001, 8, 3, Refusal::Misaligned),
        (0x2000, 7, 3, Refusal::Misaligned),
        (0x13f0, 0x20, 0, Refusal::Overlap { at: frame(0x13f0) }),
        (0x11f0, 0x20, 0, Refusal::Overlap { at: frame(0x1200) }),
        (0x1080, 1, 0, Refusal::Overlap { at: frame(0x1080) }),
    ] {
        world.refuses(refusal, |folios| {
            folios.donate(memory(first, frames), order)
        });
    }
}

#[test]
fn bad_orders_and_sizes_are_not_allocated() {
    let mut world = World::new();
    let World {
        owner,
        other,
        stranger,
        ..
    } = world;
    let far = Want {
        node: Some(9),
        ..want(0)
    };
    let left = LIMIT - 8;
    for (owner, want, refusal) in [
        (owner, want(7), TOO_LARGE),
        (owner, want(u8::MAX), TOO_LARGE),
        (owner, far, Refusal::Unknown),
        (stranger, want(0), Refusal::Unknown),
        (other, want(5), Refusal::Limit { left }),
    ] {
        world.refuses(refusal, |folios| folios.allocate(owner, want));
    }
    let far = Cover {
        node: Some(9),
        ..cover(0, 4)
    };
    for (owner, cover, refusal) in [
        (owner, cover(0, 0), Refusal::ZeroLength),
        (owner, cover(u64::MAX, 2), Refusal::Overflow),
        (owner, far, Refusal::Unknown),
        (stranger, cover(0, 1), Refusal::Unknown),
        (other, cover(0, left + 1), Refusal::Limit { left }),
    ] {
        world.refuses(refusal, |folios| folios.cover(owner, cover));
    }
    for (owner, order, refusal) in [
        (owner, 7, TOO_LARGE),
        (owner, u8::MAX, TOO_LARGE),
        (stranger, 0, Refusal::Unknown),
    ] {
        world.refuses(refusal, |folios| folios.register_size(owner, order));
    }
}

#[test]
fn memory_that_is_used_up_is_not_given() {
    let mut world = World::new();
    let rich = world.folios.add_owner(1 << 20).unwrap();
    while world.folios.allocate(rich, want(0)).is_ok() {}
    for order in 0..=LARGEST {
        world.refuses(Refusal::OutOfMemory, |folios| {
            folios.allocate(rich, want(order))
        });
    }
    world.refuses(Refusal::OutOfMemory, |folios| {
        folios.cover(rich, cover(0, 1))
    });
    let area = world.area;
    world.refuses(Refusal::OutOfMemory, |folios| {
        folios.claim(rich, area, 1, 0)
    });
}

#[test]
fn what_may_not_be_freed_stays() {
    let mut world = World::new();
    let World {
        owner,
        stranger,
        own,
        theirs,
        mapped,
        pinned,
        still,
        free,
        ..
    } = world;
    let at = |extent: Extent| extent.base();
    let inside = |extent: Extent| extent.frame(3).unwrap();
    for (owner, base, frames, refusal) in [
        (owner, at(own), 0, Refusal::ZeroLength),
        (owner, frame(last()), 2, Refusal::Overflow),
        (owner, at(own), u64::MAX, Refusal::Overflow),
        (owner, at(theirs), 8, Refusal::Foreign { at: at(theirs) }),
        (
            owner,
            inside(theirs),
            1,
            Refusal::Foreign { at: at(theirs) },
        ),
        (owner, at(mapped), 8, Refusal::Mapped { at: at(mapped) }),
        (owner, inside(mapped), 1, Refusal::Mapped { at: at(mapped) }),
        (owner, at(pinned), 8, Refusal::Busy { at: at(pinned) }),
        (owner, inside(pinned), 1, Refusal::Busy { at: at(pinned) }),
        (owner, at(still), 8, Refusal::Busy { at: at(still) }),
        (owner, inside(still), 2, Refusal::Busy { at: at(still) }),
        (owner, at(free), 8, Refusal::NotAllocated { at: at(free) }),
        (
            owner,
            inside(free),
            1,
            Refusal::NotAllocated { at: inside(free) },
        ),
        (
            owner,
            frame(0x1180),
            1,
            Refusal::NotAllocated { at: frame(0x1180) },
        ),
        (stranger, at(own), 8, Refusal::Unknown),
    ] {
        world.refuses(refusal, |folios| folios.free_frames(owner, base, frames));
    }
    // A good beginning does not help: what is behind it is no frame of its owner's that can be freed.
    let behind = frame(own.base().number() + own.frames());
    let head = world.folios.map().folio_of(behind);
    assert_ne!(head.map(|(folio, _)| folio), Some(own));
    let refusal = world.folios.clone().free_frames(owner, at(own), 9);
    world.refuses(refusal.expect_err("must be refused"), |folios| {
        folios.free_frames(owner, at(own), 9)
    });
}

#[test]
fn what_may_not_be_divided_stays_whole() {
    let mut world = World::new();
    let World {
        owner,
        own,
        theirs,
        pinned,
        still,
        free,
        ..
    } = world;
    let at = |extent: Extent| extent.base();
    let inside = |extent: Extent| extent.frame(3).unwrap();
    for (base, order, refusal) in [
        (at(theirs), 0, Refusal::Foreign { at: at(theirs) }),
        (inside(own), 0, Refusal::Misaligned),
        (at(own), 4, Refusal::Misaligned),
        (at(own), u8::MAX, Refusal::Misaligned),
        (at(pinned), 0, Refusal::Busy { at: at(pinned) }),
        (at(still), 0, Refusal::Busy { at: at(still) }),
        (at(free), 0, Refusal::NotAllocated { at: at(free) }),
    ] {
        world.refuses(refusal, |folios| folios.divide(owner, base, order));
    }
}

#[test]
fn areas_outside_memory_or_over_others_are_not_set_apart() {
    let mut world = World::new();
    let own = world.own.base();
    let outside = |number| Refusal::OutsideMemory {
        first_bad: frame(number),
    };
    for (base, frames, refusal) in [
        (0x1380, 0, Refusal::ZeroLength),
        (last(), 2, Refusal::Overflow),
        (0x1380, u64::MAX, Refusal::Overflow),
        (0x1180, 1, outside(0x1180)),
        (0x10f0, 0x20, outside(0x1100)),
        (0x1430, 0x20, outside(0x1440)),
        (0x12f0, 0x20, Refusal::Overlap { at: frame(0x1300) }),
        (0x1320, 0x40, Refusal::Overlap { at: frame(0x1320) }),
        (own.number(), 1, Refusal::Busy { at: own }),
    ] {
        world.refuses(refusal, |folios| folios.declare_area(frame(base), frames));
    }
}

#[test]
fn bad_contiguous_requests_keep_nothing() {
    let mut world = World::new();
    let World {
        owner,
        other,
        stranger,
        area,
        ended,
        ..
    } = world;
    let [ordinary, none] = world.strange_areas;
    let left = LIMIT - 8;
    for (owner, area, (frames, align), refusal) in [
        (owner, area, (0, 0), Refusal::ZeroLength),
        (owner, area, (0x41, 0), TOO_LARGE),
        (owner, area, (u64::MAX, 0), TOO_LARGE),
        (owner, area, (1, 7), TOO_LARGE),
        (owner, area, (1, u8::MAX), TOO_LARGE),
        (stranger, area, (1, 0), Refusal::Unknown),
        (owner, ordinary, (1, 0), Refusal::Unknown),
        (owner, none, (1, 0), Refusal::Unknown),
        (other, area, (left + 1, 0), Refusal::Limit { left }),
    ] {
        world.refuses(refusal, |folios| folios.claim(owner, area, frames, align));
    }
    world.refuses(Refusal::Unknown, |folios| folios.moved(ended, 0));
    world.refuses(Refusal::Unknown, |folios| folios.finish(ended));
    world.refuses(Refusal::Unknown, |folios| folios.abandon(ended));
    world.refuses(Refusal::Unknown, |folios| folios.place(ended));
    world.refuses(Refusal::Unknown, |folios| {
        folios.moves(ended).map(|moves| moves.count())
    });
}

#[test]
fn only_ones_own_folios_are_pinned_and_mapped() {
    let mut world = World::new();
    let World {
        owner,
        own,
        theirs,
        still,
        free,
        ..
    } = world;
    let foreign = Refusal::Foreign { at: theirs.base() };
    let gone = Refusal::NotAllocated { at: free.base() };
    let busy = Refusal::Busy { at: still.base() };
    let not_pinned = Refusal::NotAllocated { at: own.base() };
    for (extent, refusal) in [(theirs, foreign), (free, gone), (still, busy)] {
        world.refuses(refusal, |folios| folios.pin(owner, extent));
    }
    for (extent, refusal) in [(theirs, foreign), (free, gone), (own, not_pinned)] {
        world.refuses(refusal, |folios| folios.unpin(owner, extent, true));
    }
    let inside = own.frame(1).unwrap();
    let no_head = Refusal::NotAllocated { at: inside };
    for (base, refusal) in [
        (theirs.base(), foreign),
        (free.base(), gone),
        (inside, no_head),
    ] {
        world.refuses(refusal, |folios| folios.note_mapped(owner, base));
        world.refuses(refusal, |folios| folios.note_unmapped(owner, base));
        world.refuses(refusal, |folios| folios.keep_still(owner, base, true));
    }
    world.refuses(not_pinned, |folios| folios.note_unmapped(owner, own.base()));
    world.refuses(
        Refusal::OutsideMemory {
            first_bad: frame(0x1180),
        },
        |folios| folios.poison(frame(0x1180)),
    );
    // As often as can be counted, and not once more.
    let busy = Refusal::Busy { at: own.base() };
    while world.folios.pin(owner, own).is_ok() {}
    world.refuses(busy, |folios| folios.pin(owner, own));
    while world.folios.note_mapped(owner, own.base()).is_ok() {}
    world.refuses(busy, |folios| folios.note_mapped(owner, own.base()));
}

#[test]
fn what_is_no_extent_is_none() {
    let world = World::new();
    let map = world.folios.map();
    assert_eq!(FrameNumber::of_address(0x1200_0001), None);
    for (base, frames, refusal) in [
        (0x1200, 0, Refusal::ZeroLength),
        (last(), 2, Refusal::Overflow),
        (0x1200, u64::MAX, Refusal::Overflow),
        (0x1200, 0x41, TOO_LARGE),
        (
            0x10f0,
            0x20,
            Refusal::OutsideMemory {
                first_bad: frame(0x1100),
            },
        ),
        (
            0x13f0,
            0x20,
            Refusal::NonContiguous {
                first_bad: frame(0x1400),
            },
        ),
    ] {
        let extent = Extent::new(map, frame(base), frames);
        assert_eq!(extent.map(drop), Err(refusal));
        if refusal != Refusal::ZeroLength && frames < 1 << 30 {
            let entry = Entry::new(map, frame(base), 0, frames << 12);
            assert_eq!(entry.map(drop), Err(refusal));
        }
    }
    for (first, frames, refusal) in [
        (0, 0, Refusal::ZeroLength),
        (u64::MAX, 2, Refusal::Overflow),
        (0, 9, Refusal::Overflow),
        (8, 1, Refusal::Overflow),
    ] {
        assert_eq!(world.own.part(first, frames).map(drop), Err(refusal));
    }
}

#[test]
fn a_scatter_list_takes_no_bad_entry() {
    let world = World::new();
    let map = world.folios.map();
    for (offset, length, refusal) in [
        (4096, 1, Refusal::Misaligned),
        (0, 0, Refusal::ZeroLength),
        (1, u64::MAX, Refusal::Overflow),
    ] {
        let entry = Entry::new(map, frame(0x1200), offset, length);
        assert_eq!(entry.map(drop), Err(refusal));
    }
    let mut list = ScatterList::new(1);
    list.add(map, &world.own, 0, 100).unwrap();
    let before = list.clone();
    for (extent, offset, length, refusal) in [
        (world.own, 0, 0, Refusal::ZeroLength),
        (world.own, 1, u64::MAX, Refusal::Overflow),
        (world.own, 8 << 12, 1, Refusal::Overflow),
        (world.own, 8 << 12, u64::MAX, Refusal::Overflow),
        // There is a hole between them, and room for one entry.
        (world.mapped, 0, 1, Refusal::TooMany),
    ] {
        let added = list.add(map, &extent, offset, length);
        assert_eq!(added, Err(refusal));
        assert_eq!(list.entries(), before.entries());
    }
    let entry = list.entries()[0];
    assert_eq!(list.push(entry), Err(Refusal::TooMany));
    assert_eq!(list.entries(), before.entries());
}
