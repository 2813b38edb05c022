//! Every start and every length on a small map whose sections are small and have their descriptors
//! in disorder.

use mem::{
    Area, Descriptor, Extent, Folios, FrameMap, FrameNumber, Geometry, Gigantic, Memory, Owner,
    Refusal, Want,
};

/// Frames of the map.
const FRAMES: u64 = 1 << 12;
/// First of them.
const FIRST: u64 = 0x7_0000;
/// Sections of 16 frames.
const SHIFT: u8 = 4;

fn geometry(vmemmap: bool, gigantic: Gigantic) -> Geometry {
    Geometry {
        section_shift: SHIFT,
        vmemmap,
        gigantic,
    }
}

fn frame(number: u64) -> FrameNumber {
    FrameNumber::new(number).unwrap()
}

/// Sections in the order in which they get their descriptors: mostly in runs of three, the runs
/// backwards. Every 29th section is a hole, every 31st has only half of its frames.
fn sections() -> Vec<Memory> {
    let count = FRAMES >> SHIFT;
    let runs: Vec<Vec<u64>> = (0..count)
        .collect::<Vec<_>>()
        .chunks(3)
        .map(<[u64]>::to_vec)
        .collect();
    let order = runs.into_iter().rev().flatten();
    let present = order.filter(|section| section % 29 != 7);
    present
        .map(|section| Memory {
            first: frame(FIRST + (section << SHIFT)),
            frames: if section % 31 == 5 { 8 } else { 16 },
            node: u8::from(section >= count / 2),
        })
        .collect()
}

/// The map by its definition: where each frame's descriptor is, and its node.
fn reference() -> Vec<Option<(usize, u8)>> {
    let mut places = vec![None; FRAMES as usize];
    for (rank, memory) in sections().iter().enumerate() {
        for index in 0..memory.frames {
            let at = memory.first.number() - FIRST + index;
            places[at as usize] = Some(((rank << SHIFT) + index as usize, memory.node));
        }
    }
    places
}

/// Whether the first frame of a range and its neighbours go on in a row up to `index`.
fn follows(places: &[Option<(usize, u8)>], first: usize, index: usize, vmemmap: bool) -> bool {
    let (Some(Some(start)), Some(Some(here))) = (places.get(first), places.get(index)) else {
        return false;
    };
    here.1 == start.1 && (vmemmap || here.0 == start.0 + (index - first))
}

fn check_every_extent(vmemmap: bool, gigantic: Gigantic) {
    let mut map = FrameMap::new(geometry(vmemmap, gigantic));
    for memory in sections() {
        map.add(memory, 0).unwrap();
    }
    let places = reference();
    let max = 1 << map.geometry().max_order();
    for first in 0..FRAMES as usize {
        let mut whole = true;
        for frames in 1..=FRAMES {
            let last = first + frames as usize - 1;
            whole = whole && follows(&places, first, last, vmemmap);
            let base = frame(FIRST + first as u64);
            let made = Extent::new(&map, base, frames);
            assert_eq!(made.is_ok(), whole && frames <= max, "{base:?} {frames}");
            match made {
                Ok(extent) => {
                    assert_eq!((extent.base(), extent.frames()), (base, frames));
                    assert!(extent.frames() <= 1 << extent.order());
                    assert!(extent.order() <= map.geometry().max_order());
                }
                Err(Refusal::TooLarge { .. }) => assert!(frames > max),
                Err(
                    Refusal::OutsideMemory { first_bad } | Refusal::NonContiguous { first_bad },
                ) => {
                    let bad = (first_bad.number() - FIRST) as usize;
                    assert!((first..=last).contains(&bad));
                    assert!(!follows(&places, first, bad, vmemmap));
                }
                Err(other) => panic!("{other:?}"),
            }
            if !whole && frames > max + 2 {
                break;
            }
        }
    }
}

#[test]
fn no_extent_has_a_hole_in_frames_or_descriptors() {
    check_every_extent(false, Gigantic::OneGib);
}

#[test]
fn with_a_vmemmap_extents_cross_sections_but_no_holes() {
    check_every_extent(true, Gigantic::OneGib);
}

#[test]
fn nothing_comes_out_of_nothing() {
    let mut map = FrameMap::new(geometry(false, Gigantic::No));
    let memory = Memory {
        first: frame(FIRST),
        frames: 16,
        node: 0,
    };
    map.add(memory, 0).unwrap();
    assert_eq!(Extent::new(&map, frame(FIRST), 0), Err(Refusal::ZeroLength));
    let last = frame((1 << 52) - 1);
    assert_eq!(Extent::new(&map, last, 2), Err(Refusal::Overflow));
    assert_eq!(Extent::new(&map, last, u64::MAX), Err(Refusal::Overflow));
    let again = map.add(memory, 0);
    assert_eq!(again, Err(Refusal::Overlap { at: frame(FIRST) }));
}

#[test]
fn above_the_largest_order_every_entrance_is_closed() {
    for (vmemmap, gigantic, max_order) in [
        (false, Gigantic::OneGib, SHIFT),
        (true, Gigantic::No, 10),
        (true, Gigantic::OneGib, 18),
        (true, Gigantic::SixteenGib, 22),
    ] {
        let mut folios = Folios::new(geometry(vmemmap, gigantic));
        let owner = folios.add_owner(u64::MAX).unwrap();
        let too_large = Refusal::TooLarge { max_order };
        let order = max_order + 1;
        let want = mem::Want {
            order,
            node: None,
            movable: true,
        };
        assert_eq!(folios.allocate(owner, want), Err(too_large));
        assert_eq!(folios.register_size(owner, order), Err(too_large));
        let memory = Memory {
            first: frame(0),
            frames: 1 << order,
            node: 0,
        };
        assert_eq!(folios.donate(memory, order), Err(too_large));
        assert_eq!(folios.register_size(owner, max_order), Ok(()));
        assert_eq!(folios.account(owner).unwrap().sizes(), 1 << max_order);
    }
}

/// Frames of ordinary memory behind the map: room for what is moved.
const ROOM: u64 = 32;

/// The small map, all of it areas that are full of single frames, none of which can be moved.
struct Full {
    folios: Folios,
    owner: Owner,
    /// The area of each frame.
    areas: Vec<Option<Area>>,
}

impl Full {
    fn new() -> Self {
        let mut folios = Folios::new(geometry(false, Gigantic::OneGib));
        let room = Memory {
            first: frame(FIRST + FRAMES),
            frames: ROOM,
            node: 0,
        };
        // Pools are few: what gets its descriptors in a row is one.
        let mut donations: Vec<Memory> = vec![room];
        for memory in sections() {
            let end = |last: &Memory| last.first.number() + last.frames;
            match donations.last_mut() {
                Some(last) if end(last) == memory.first.number() && last.node == memory.node => {
                    last.frames += memory.frames;
                }
                _ => donations.push(memory),
            }
        }
        for memory in donations {
            folios.donate(memory, 0).unwrap();
        }
        let mut areas = vec![None; FRAMES as usize];
        let places = reference();
        let mut first = 0;
        while first < places.len() {
            let node = places[first].map(|(_, node)| node);
            let is_in = |place: &&Option<(usize, u8)>| place.map(|(_, node)| node) == node;
            let count = places[first..].iter().take_while(is_in).count();
            if node.is_some() {
                let base = frame(FIRST + first as u64);
                let area = folios.declare_area(base, count as u64).unwrap();
                areas[first..first + count].fill(Some(area));
            }
            first += count;
        }
        let owner = folios.add_owner(u64::MAX).unwrap();
        let want = Want {
            order: 0,
            node: None,
            movable: true,
        };
        let mut full = Self {
            folios,
            owner,
            areas,
        };
        while full.folios.allocate(owner, want).is_ok() {}
        full.folios.free_frames(owner, room.first, ROOM).unwrap();
        (0..FRAMES).for_each(|at| full.hold(at, true));
        full
    }

    /// Pins a frame, or unpins it, if it is memory.
    fn hold(&mut self, at: u64, holds: bool) {
        if let Ok(extent) = Extent::new(self.folios.map(), frame(FIRST + at), 1) {
            let held = if holds {
                self.folios.pin(self.owner, extent)
            } else {
                self.folios.unpin(self.owner, extent, false)
            };
            held.unwrap();
        }
    }

    /// All that can be seen of it.
    fn seen(&mut self) -> (Vec<Descriptor>, mem::Metrics, mem::Account) {
        let frames = (0..FRAMES + ROOM).map(|at| self.folios.map().get(frame(FIRST + at)));
        let account = self.folios.account(self.owner).unwrap();
        (frames.collect(), self.folios.metrics(), account)
    }

    /// Checks that a contiguous request gets just this place, or is refused where that is no extent.
    fn check_request(&mut self, (start, frames): (u64, u64), align: u8, exists: bool) {
        let Some(area) = self.areas[start as usize] else {
            return;
        };
        let before = (start % 16 == 3).then(|| self.seen());
        let claim = self.folios.claim(self.owner, area, frames, align);
        assert_eq!(claim.is_ok(), exists, "{start:#x}, {frames} frames");
        match claim {
            Ok(claim) => {
                let place = self.folios.place(claim).unwrap();
                let wanted = (frame(FIRST + start), frames);
                assert_eq!((place.base(), place.frames()), wanted);
                assert_eq!(self.folios.moves(claim).unwrap().count() as u64, frames);
                self.folios.abandon(claim).unwrap();
            }
            Err(refusal) => assert_eq!(refusal, Refusal::OutOfMemory),
        }
        assert!(before.is_none_or(|before| before == self.seen()));
    }
}

#[test]
fn a_contiguous_request_succeeds_wherever_a_compatible_place_exists() {
    let mut full = Full::new();
    let places = reference();
    for start in 0..FRAMES {
        for frames in 1..=1 << SHIFT {
            let last = start + frames - 1;
            // Nothing but this range can be moved: a request gets it, or nothing.
            if last < FRAMES {
                full.hold(last, false);
            }
            let mut range = start as usize..=last as usize;
            let exists = range.all(|at| follows(&places, start as usize, at, false));
            for align in 0..=SHIFT {
                let is_aligned = (FIRST + start).is_multiple_of(1 << align);
                full.check_request((start, frames), align, exists && is_aligned);
            }
        }
        let end = FRAMES.min(start + (1 << SHIFT));
        (start..end).for_each(|at| full.hold(at, true));
    }
}
