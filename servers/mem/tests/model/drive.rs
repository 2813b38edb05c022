//! Draws requests, makes them, and compares.

use crate::reference::{Folio, Frame, Reference};
use mem::{
    Area, Descriptor, Extent, Folios, FrameNumber, Geometry, Gigantic, Memory, Owner, Refusal,
    State, Want,
};
use std::collections::BTreeMap;

const FRAMES: u64 = 1 << 12;
const FIRST: u64 = 0x7_0000;
const SHIFT: u8 = 4;
/// The area: three runs of sections, each of which has its descriptors before the one below it.
const AREA: std::ops::Range<u64> = 0x4c0..0x580;

/// Frames that are poisoned at most: of too many nothing would be left.
const MAX_POISONED: u64 = 100;

/// A generator of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// How often what was asked had which answer.
#[derive(Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Adds those of another row of requests.
    pub fn join(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// Returns how many requests there were.
    pub fn requests(&self) -> u64 {
        self.0.values().sum()
    }

    /// Fails where a request never succeeded or never failed in a way that it can.
    pub fn check_coverage(&self) {
        for name in [
            "allocate ok",
            "allocate OutOfMemory",
            "allocate Limit",
            "allocate TooLarge",
            "free ok",
            "free NotAllocated",
            "free Foreign",
            "free Mapped",
            "free Busy",
            "free ZeroLength",
            "divide ok",
            "divide Misaligned",
            "pin ok",
            "pin Foreign",
            "unpin ok",
            "unpin NotAllocated",
            "map ok",
            "unmap ok",
            "unmap NotAllocated",
            "claim ok",
            "claim OutOfMemory",
            "claim Limit",
            "abandon ok",
            "poison ok",
            "poison OutsideMemory",
        ] {
            assert!(self.0.contains_key(name), "{name} never happened");
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} requests", self.requests())?;
        let mut counts = self.0.iter();
        counts.try_for_each(|(name, count)| write!(formatter, ", {name} {count}"))
    }
}

/// What of the allocator can be observed.
type Observed = (Vec<(Descriptor, bool)>, Vec<u64>);

pub struct Driver {
    random: Random,
    folios: Folios,
    reference: Reference,
    owners: Vec<Owner>,
    area: Area,
    counts: Counts,
    requests: u64,
    poisoned: u64,
}

fn frame(index: usize) -> FrameNumber {
    FrameNumber::new(FIRST + index as u64).unwrap()
}

fn index(frame: FrameNumber) -> usize {
    usize::try_from(frame.number() - FIRST).unwrap()
}

impl Driver {
    pub fn new() -> Self {
        let mut folios = Folios::new(Geometry {
            section_shift: SHIFT,
            vmemmap: false,
            gigantic: Gigantic::OneGib,
        });
        let mut frames = vec![Frame::default(); FRAMES as usize];
        // Runs of four sections, the runs backwards; some runs are missing.
        let mut rank = 0;
        for run in (0..FRAMES >> (SHIFT + 2)).rev() {
            if run % 13 == 5 {
                continue;
            }
            let memory = Memory {
                first: frame((run as usize) << (SHIFT + 2)),
                frames: 64,
                node: u8::from(run >= 32),
            };
            folios.donate(memory, SHIFT).unwrap();
            for (offset, place) in frames[(run as usize) << 6..][..64].iter_mut().enumerate() {
                place.present = true;
                place.node = memory.node;
                place.descriptor = rank + offset;
            }
            rank += 64;
        }
        // An area over several donations of one node: the largest part of it that is present.
        let area = folios
            .declare_area(frame(AREA.start as usize), AREA.end - AREA.start)
            .unwrap();
        for place in &mut frames[AREA.start as usize..AREA.end as usize] {
            place.area = true;
        }
        let limits = [FRAMES, 700, 64];
        let owners = limits.map(|limit| folios.add_owner(limit).unwrap());
        Self {
            random: Random(1),
            folios,
            reference: Reference {
                frames,
                folios: vec![None; FRAMES as usize],
                used: [0; 3],
                limits,
            },
            owners: owners.to_vec(),
            area,
            counts: Counts::default(),
            requests: 0,
            poisoned: 0,
        }
    }

    /// Returns what was asked and answered.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    fn observe(&self) -> Observed {
        let frames = (0..FRAMES as usize).map(|index| {
            let at = frame(index);
            (self.folios.map().get(at), self.folios.is_free(at))
        });
        let used = self
            .owners
            .iter()
            .map(|&owner| self.folios.account(owner).unwrap().used());
        (frames.collect(), used.collect())
    }

    /// Makes the request that a number stands for.
    pub fn step(&mut self, request: u64) {
        self.random = Random(request.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        self.requests += 1;
        // All of the memory is looked at every now and then, as it is slow.
        let before = self.random.chance(997).then(|| self.observe());
        let (name, result) = match self.random.below(100) {
            0..32 => ("allocate", self.allocate()),
            32..62 => ("free", self.free()),
            62..66 => ("divide", self.divide()),
            66..70 => ("pin", self.pin()),
            70..82 => ("unpin", self.unpin()),
            82..85 => ("map", self.note_mapped()),
            85..95 => ("unmap", self.note_unmapped()),
            95 if self.random.chance(40) => ("poison", self.poison()),
            _ => self.claim(),
        };
        if let (Err(_), Some(before)) = (result, before) {
            assert_eq!(self.observe(), before, "a refused {name} had an effect");
        }
        if self.requests.is_multiple_of(20_011) {
            self.check_all();
        }
        let how = match result {
            Ok(()) => "ok".to_owned(),
            Err(refusal) => format!("{refusal:?}")
                .split([' ', '{'])
                .next()
                .unwrap()
                .to_owned(),
        };
        *self.counts.0.entry(format!("{name} {how}")).or_default() += 1;
    }

    /// Draws a range, mostly one that has to do with a folio.
    fn range(&mut self) -> (usize, u64) {
        let at = self.random.below(FRAMES) as usize;
        let Some(first) = self.reference.frames[at].folio else {
            return (at, self.random.below(20));
        };
        let folio = self.reference.folios[first].expect("a folio");
        match self.random.below(8) {
            0..5 => (first, folio.frames() as u64),
            5 => (at, 1),
            6 => (at, self.random.below(24)),
            _ => (first, self.random.below(folio.frames() as u64 + 1)),
        }
    }

    /// Draws a range, mostly one of a folio of a kind.
    fn range_of(&mut self, wants: impl Fn(&Folio) -> bool) -> (usize, u64) {
        for _ in 0..8 {
            let (first, frames) = self.range();
            if self.reference.folios[first].is_some_and(|folio| wants(&folio)) {
                return (first, frames);
            }
        }
        self.range()
    }

    fn owner_of(&mut self, at: usize) -> usize {
        let folio = self.reference.frames[at]
            .folio
            .and_then(|at| self.reference.folios[at]);
        match folio {
            Some(folio) if !self.random.chance(12) => usize::from(folio.owner - 1),
            _ => self.random.below(3) as usize,
        }
    }

    fn allocate(&mut self) -> Result<(), Refusal> {
        let owner = self.random.below(3) as usize;
        let zeros = self.random.next().trailing_zeros() as u8;
        let want = Want {
            order: zeros.min(SHIFT + 1),
            node: [None, Some(0), Some(1)][self.random.below(3) as usize],
            movable: self.random.chance(2),
        };
        let result = self.folios.allocate(self.owners[owner], want);
        let left = self.reference.limits[owner] - self.reference.used[owner];
        match result {
            Ok(extent) => {
                let first = index(extent.base());
                assert!(self.reference.has_block(first, want.order, want.movable));
                assert_eq!(extent.frames(), 1 << want.order);
                assert_eq!(extent.node(), self.reference.frames[first].node);
                assert!(extent.base().number().is_multiple_of(extent.frames()));
                assert!(extent.frames() <= left);
                let folio = Folio {
                    order: want.order,
                    owner: owner as u16 + 1,
                    movable: want.movable,
                    pins: 0,
                    mappings: 0,
                };
                self.reference.place(first, folio);
                self.reference.used[owner] += extent.frames();
            }
            Err(Refusal::TooLarge { max_order }) => assert!(want.order > max_order),
            Err(Refusal::Limit { left: said }) => {
                assert_eq!(said, left);
                assert!(left < 1 << want.order);
            }
            Err(Refusal::OutOfMemory) => {
                assert!(!self.reference.has_any_block(want.order, want.movable));
            }
            Err(other) => panic!("{other:?}"),
        }
        result.map(|_| ())
    }

    fn free(&mut self) -> Result<(), Refusal> {
        let (first, frames) = self.range();
        let owner = self.owner_of(first);
        let result = self
            .folios
            .free_frames(self.owners[owner], frame(first), frames);
        let expected = self.expect_free(owner, first, frames);
        assert_eq!(result.is_ok(), expected, "{result:?} {first} {frames}");
        if result.is_ok() {
            let end = first + frames as usize;
            let mut at = first;
            while at < end {
                let start = self.reference.frames[at].folio.expect("in use");
                let folio = self.reference.remove(start);
                let stop = (start + folio.frames()).min(end);
                self.reference.place_range(start..at, FIRST, folio);
                self.reference
                    .place_range(stop..start + folio.frames(), FIRST, folio);
                at = stop;
            }
            self.reference.used[owner] -= frames;
        }
        result
    }

    fn expect_free(&self, owner: usize, first: usize, frames: u64) -> bool {
        let all = |index: usize| {
            let frame = self.reference.frames.get(index);
            let folio = frame.and_then(|frame| frame.folio);
            folio
                .and_then(|at| self.reference.folios[at])
                .is_some_and(|folio| {
                    usize::from(folio.owner) == owner + 1 && folio.pins == 0 && folio.mappings == 0
                })
        };
        frames > 0 && (first..first + frames as usize).all(all)
    }

    fn divide(&mut self) -> Result<(), Refusal> {
        let (first, _) = self.range();
        let owner = self.owner_of(first);
        let order = self.random.below(4) as u8;
        let result = self.folios.divide(self.owners[owner], frame(first), order);
        let folio = self.reference.folios[first].filter(|folio| {
            usize::from(folio.owner) == owner + 1 && folio.order >= order && folio.pins == 0
        });
        assert_eq!(result.is_ok(), folio.is_some(), "{result:?}");
        if let Some(folio) = folio {
            self.reference.remove(first);
            for at in (first..first + folio.frames()).step_by(1 << order) {
                self.reference.place(at, Folio { order, ..folio });
            }
        }
        result
    }

    /// Makes a change of counts of all folios of a range, in the reference.
    fn change(&mut self, extent: Extent, change: impl Fn(&mut Folio, u64)) {
        let mut at = index(extent.base());
        let end = at + extent.frames() as usize;
        while at < end {
            let first = self.reference.frames[at].folio.expect("in use");
            let folio = self.reference.folios[first].as_mut().expect("a folio");
            let stop = (first + folio.frames()).min(end);
            change(folio, (stop - at) as u64);
            at = stop;
        }
    }

    /// Draws an extent.
    fn extent(&mut self, wants: impl Fn(&Folio) -> bool) -> (usize, Option<Extent>) {
        let (first, frames) = self.range_of(wants);
        let owner = self.owner_of(first);
        (
            owner,
            Extent::new(self.folios.map(), frame(first), frames).ok(),
        )
    }

    fn pin(&mut self) -> Result<(), Refusal> {
        let (owner, Some(extent)) = self.extent(|_| true) else {
            return Err(Refusal::ZeroLength);
        };
        self.folios.pin(self.owners[owner], extent)?;
        self.change(extent, |folio, frames| folio.pins += frames);
        Ok(())
    }

    fn unpin(&mut self) -> Result<(), Refusal> {
        let (owner, Some(extent)) = self.extent(|folio| folio.pins > 0) else {
            return Err(Refusal::ZeroLength);
        };
        let wrote = self.random.chance(2);
        self.folios.unpin(self.owners[owner], extent, wrote)?;
        self.change(extent, |folio, frames| folio.pins -= frames);
        Ok(())
    }

    fn note_mapped(&mut self) -> Result<(), Refusal> {
        let (first, _) = self.range();
        let owner = self.owner_of(first);
        self.folios.note_mapped(self.owners[owner], frame(first))?;
        self.reference.folios[first]
            .as_mut()
            .expect("a folio")
            .mappings += 1;
        Ok(())
    }

    fn note_unmapped(&mut self) -> Result<(), Refusal> {
        let (first, _) = self.range_of(|folio| folio.mappings > 0);
        let owner = self.owner_of(first);
        self.folios
            .note_unmapped(self.owners[owner], frame(first))?;
        self.reference.folios[first]
            .as_mut()
            .expect("a folio")
            .mappings -= 1;
        Ok(())
    }

    /// Poisons a frame.
    fn poison(&mut self) -> Result<(), Refusal> {
        let at = self.random.below(FRAMES) as usize;
        let present = self.reference.frames[at].present;
        if present && self.poisoned >= MAX_POISONED {
            return Err(Refusal::TooMany);
        }
        let result = self.folios.poison(frame(at));
        assert_eq!(result.is_ok(), present);
        if let Ok(folio) = result {
            self.reference.frames[at].poisoned = true;
            self.poisoned += 1;
            let expected = self.reference.frames[at].folio;
            assert_eq!(folio.map(|folio| index(folio.base())), expected);
        }
        result.map(|_| ())
    }

    fn claim(&mut self) -> (&'static str, Result<(), Refusal>) {
        let owner = self.random.below(3) as usize;
        let frames = 1 + self.random.below(16);
        let align = self.random.below(5) as u8;
        let result = self
            .folios
            .claim(self.owners[owner], self.area, frames, align);
        let places = (0..FRAMES as usize).filter(|at| at.is_multiple_of(1 << align));
        let places: Vec<_> = places
            .filter(|&at| self.reference.is_compatible(at, frames as usize))
            .collect();
        let left = self.reference.limits[owner] - self.reference.used[owner];
        match result {
            Err(Refusal::Limit { left: said }) => assert_eq!((said, frames > left), (left, true)),
            Err(Refusal::OutOfMemory) => assert_eq!(places, [], "a place was there"),
            Err(other) => panic!("{other:?}"),
            Ok(claim) => {
                let place = self.folios.place(claim).unwrap();
                assert_eq!(place.frames(), frames);
                assert!(places.contains(&index(place.base())), "{place:?}");
                return self.carry_out(owner, claim);
            }
        }
        ("claim", result.map(|_| ()))
    }

    /// Makes the moves of a claim, some or all, and ends it.
    fn carry_out(
        &mut self,
        owner: usize,
        claim: mem::ClaimId,
    ) -> (&'static str, Result<(), Refusal>) {
        let moves: Vec<_> = self.folios.moves(claim).unwrap().collect();
        let gives_up = self.random.chance(3);
        for (number, one) in moves.iter().enumerate() {
            assert_eq!(one.from.frames(), one.to.frames());
            if gives_up && self.random.chance(2) {
                self.reference_divide(one.from);
                continue;
            }
            if !gives_up {
                assert!(self.folios.finish(claim).is_err());
            }
            self.folios.moved(claim, number).unwrap();
            assert!(self.folios.moved(claim, number).is_err());
            self.reference_divide(one.from);
            let folio = self.reference.remove(index(one.from.base()));
            self.reference.place(index(one.to.base()), folio);
        }
        if gives_up {
            self.folios.abandon(claim).unwrap();
            assert!(self.folios.abandon(claim).is_err());
            return ("abandon", Ok(()));
        }
        let place = self.folios.finish(claim).unwrap();
        let first = index(place.base());
        let range = first..first + place.frames() as usize;
        assert!(range.clone().all(|at| self.reference.is_free(at)));
        let like = Folio {
            order: 0,
            owner: owner as u16 + 1,
            movable: false,
            pins: 0,
            mappings: 0,
        };
        self.reference.place_range(range, FIRST, like);
        self.reference.used[owner] += place.frames();
        ("claim", Ok(()))
    }

    /// Makes what moves a folio of its own: a folio can move in parts.
    fn reference_divide(&mut self, part: Extent) {
        let at = index(part.base());
        let first = self.reference.frames[at].folio.expect("in use");
        let mut folio = self.reference.folios[first].expect("a folio");
        if folio.order == part.order() {
            return;
        }
        self.reference.remove(first);
        let range = first..first + folio.frames();
        let mut start = range.start;
        while start < range.end {
            // The largest block that does not go beyond the part.
            let is_before = start < at;
            let mut order = folio.order.min(start.trailing_zeros() as u8);
            while (1 << order) > range.end - start
                || (is_before && start + (1 << order) > at)
                || (start == at && order > part.order())
            {
                order -= 1;
            }
            folio.order = order;
            self.reference.place(start, folio);
            start += 1 << order;
        }
    }

    /// Compares all of the memory.
    pub fn check_all(&self) {
        for at in 0..FRAMES as usize {
            let found = self.folios.map().get(frame(at));
            let expected = self.reference.frames[at];
            let free = self.folios.is_free(frame(at));
            assert_eq!(free, self.reference.is_free(at), "frame {at}");
            assert_eq!(
                found.state() != State::Absent,
                expected.present,
                "frame {at}"
            );
            assert_eq!(found.poisoned(), expected.poisoned, "frame {at}");
            let head = (found.state() == State::Head).then(|| Folio {
                order: found.order(),
                owner: found.owner(),
                movable: found.movable(),
                pins: found.pins().into(),
                mappings: found.mappings().into(),
            });
            assert_eq!(head, self.reference.folios[at], "frame {at}");
            assert!(!found.leaving(), "frame {at}");
        }
        for (number, &owner) in self.owners.iter().enumerate() {
            let account = self.folios.account(owner).unwrap();
            assert_eq!(account.used(), self.reference.used[number]);
        }
        let free = (0..FRAMES as usize)
            .filter(|&at| self.reference.is_free(at))
            .count();
        assert_eq!(self.folios.free(), free as u64);
    }
}
