//! A steward with two guests and a client without one, and what the guests wrote where.

#![allow(dead_code, reason = "each test uses a part")]

pub mod fake;

use fake::Fake;
use mem::{
    Block, Client, Decision, Emptying, FrameNumber, Geometry, Gigantic, Made, Slot, Step, Steward,
    Touch,
};
use mem_api::{Allocation, Entry, Mem, Pages, Refusal, Reply, Request};
use std::collections::BTreeMap;

pub const ROOTS: [(u64, u8); 2] = [(0x400, 10), (0x1000, 9)];
/// The node of each of them.
pub const NODES: [u8; 2] = [0, 1];
/// The area: a quarter of the first block.
pub const AREA: (u64, u64) = (0x500, 0x100);
/// Process of each client: one with an eager guest, one with a lazy one, one without.
pub const CLIENTS: [u16; 3] = [3, 5, 8];
pub const LIMIT: u64 = 700;
pub const PINS: u64 = 300;

pub fn steward() -> Steward<Fake> {
    let mut fake = Fake::default();
    for ((base, order), slot) in ROOTS.into_iter().zip(1..) {
        fake.grant(slot, base, order);
    }
    let geometry = Geometry {
        section_shift: 15,
        vmemmap: true,
        gigantic: Gigantic::OneGib,
    };
    let mut steward = Steward::new(fake, geometry, 18, 100..300);
    for ((base, order), slot) in ROOTS.into_iter().zip(1..) {
        let block = Block {
            base: FrameNumber::new(base).unwrap(),
            order,
            node: NODES[slot as usize - 1],
            slot,
        };
        steward.grant(&block).unwrap();
    }
    let (base, frames) = AREA;
    let base = FrameNumber::new(base).unwrap();
    steward.declare_area(base, frames).unwrap();
    for (process, guest) in CLIENTS.into_iter().zip([Some(0), Some(1), None]) {
        let client = Client {
            process,
            guest,
            limit: LIMIT,
            pins: PINS,
            is_lazy: guest == Some(1),
        };
        steward.add_client(client).unwrap();
    }
    steward
}

/// Pages that a client pinned, and the frames that they are.
#[derive(Clone)]
struct Pinned {
    process: u16,
    allocation: Allocation,
    page: u32,
    frames: Vec<u64>,
}

/// Steward, and what the guests wrote where.
pub struct World {
    pub steward: Steward<Fake>,
    written: BTreeMap<(u16, u64), u64>,
    /// Contiguous requests that are under way, and what is to be copied for them.
    pub emptying: Vec<(Emptying, Option<(Slot, Slot)>)>,
    pinned: Vec<Pinned>,
    next_value: u64,
}

impl World {
    pub fn new() -> Self {
        Self {
            steward: steward(),
            written: BTreeMap::new(),
            emptying: Vec::new(),
            pinned: Vec::new(),
            next_value: 1,
        }
    }

    fn fill(&mut self, fill: &mem::Fill) -> Result<Reply, Refusal> {
        fill.frames
            .iter()
            .for_each(|slot| self.steward.kernel_mut().clear(*slot));
        self.steward.filled(fill)
    }

    /// Makes a request to its end, but for a contiguous one, which is begun only.
    pub fn ask(&mut self, process: u16, request: Request) -> Result<(Reply, Vec<Slot>), Refusal> {
        let before = self.steward.picture();
        let kernel = self.steward.kernel().clone();
        match self.steward.decide(process, request) {
            Ok(Decision::Done(reply, frames)) => {
                self.note_pins(process, request, reply);
                Ok((reply, frames))
            }
            Ok(Decision::Fill(fill)) => Ok((self.fill(&fill)?, Vec::new())),
            Ok(Decision::Empty(emptying)) => {
                self.emptying.push((emptying, None));
                Ok((Reply::Freed, Vec::new()))
            }
            Ok(Decision::Later) => Err(LATER),
            Err(refusal) => {
                assert_eq!(self.steward.picture(), before, "{request:?} is refused");
                let frames = |fake: &Fake| {
                    let frames = fake.slots.values();
                    let frames = frames.filter(|object| object.made == Made::Frame);
                    frames.copied().collect::<Vec<_>>()
                };
                assert_eq!(frames(self.steward.kernel()).len(), frames(&kernel).len());
                Err(refusal)
            }
        }
    }

    /// Makes one step of a contiguous request: a folio is taken away, or it is copied.
    pub fn step(&mut self) {
        let Some((emptying, copying)) = self.emptying.pop() else {
            return;
        };
        if let Some((from, to)) = copying {
            self.steward.kernel_mut().copy(from, to);
            match self.steward.copied(emptying, true) {
                Ok(()) => self.emptying.push((emptying, None)),
                Err(refusal) => assert_eq!(refusal, Refusal::TooMany),
            }
            return;
        }
        match self.steward.next_step(emptying) {
            Ok(Step::Copy { from, to }) => self.emptying.push((emptying, Some((from, to)))),
            Ok(Step::Fill(fill)) => drop(self.fill(&fill)),
            Err(refusal) => assert_eq!(refusal, Refusal::TooMany),
        }
    }

    /// A guest touches a page; where it is there, it finds what it wrote and writes something else.
    pub fn touch(&mut self, guest: u16, page: u64) {
        if self.steward.kernel().at(guest.into(), page).is_none() {
            let touch = self.steward.touch(guest, page << 12);
            assert_ne!(touch, Touch::Failed);
            let is_there = self.steward.kernel().at(guest.into(), page).is_some();
            assert_eq!(is_there, touch == Touch::Mapped, "{guest} {page:#x}");
        }
        self.check_page(guest, page);
        if let Some(frame) = self.steward.kernel().at(guest.into(), page) {
            let value = self.next_value;
            self.next_value += 1;
            self.steward.kernel_mut().contents.insert(frame, value);
            self.written.insert((guest, page), value);
        }
    }

    /// What a guest wrote to a page that it has is there; what it has not is forgotten.
    fn check_page(&mut self, guest: u16, page: u64) {
        let Some(frame) = self.steward.kernel().at(guest.into(), page) else {
            return;
        };
        let found = self.steward.kernel().contents.get(&frame).copied();
        let wrote = self.written.get(&(guest, page)).copied();
        assert_eq!(found, wrote, "guest {guest}, page {page:#x}");
    }

    /// Forgets what was written to memory that a guest gave back.
    pub fn forget(&mut self) {
        let steward = &mut self.steward;
        let mut is_there = |guest, page: u64| {
            let touch = steward.touch(guest, page << 12);
            matches!(touch, Touch::Mapped | Touch::Later)
        };
        self.written
            .retain(|(guest, page), _| is_there(*guest, *page));
    }

    /// Returns the frame that a page of an allocation is.
    fn frame_of(&mut self, process: u16, allocation: Allocation, page: u32) -> u64 {
        let find = Request::Find { allocation, page };
        match self.steward.decide(process, find) {
            Ok(Decision::Done(Reply::Folios([Some(folio), ..]), slots)) => {
                let frame = self.steward.kernel().slots[&slots[0]];
                frame.base + u64::from(page - folio.offset_pages)
            }
            other => panic!("page {page} is there: {other:?}"),
        }
    }

    /// Notes where pinned pages are, and checks what is told of them.
    fn note_pins(&mut self, process: u16, request: Request, reply: Reply) {
        match (request, reply) {
            (
                Request::Pin {
                    allocation,
                    page,
                    pages,
                },
                _,
            ) => {
                let frames = (page..page + pages.count())
                    .map(|page| self.frame_of(process, allocation, page))
                    .collect();
                self.pinned.push(Pinned {
                    process,
                    allocation,
                    page,
                    frames,
                });
            }
            (
                Request::Unpin {
                    allocation,
                    page,
                    pages,
                    ..
                },
                _,
            ) => {
                let is_it = |pinned: &Pinned| {
                    (pinned.allocation, pinned.page) == (allocation, page)
                        && pinned.frames.len() == pages.count() as usize
                };
                let index = self.pinned.iter().position(is_it).expect("it was pinned");
                assert_eq!(self.pinned.swap_remove(index).process, process);
            }
            (
                Request::Scatter {
                    allocation,
                    offset,
                    length,
                    entries: most,
                },
                Reply::Scatter(entries),
            ) => {
                let entries: Vec<_> = entries.into_iter().flatten().collect();
                assert!((1..=usize::from(most)).contains(&entries.len()));
                let sum: u64 = entries.iter().map(|entry| entry.length).sum();
                assert_eq!(sum, length);
                self.check_entries((process, allocation), offset, &entries);
            }
            _ => {}
        }
    }

    /// Entries say where the bytes of pinned pages are.
    fn check_entries(
        &mut self,
        (process, allocation): (u16, Allocation),
        offset: u64,
        entries: &[Entry],
    ) {
        let mut at = offset;
        for entry in entries {
            let end = at + entry.length;
            for page in at >> 12..end.div_ceil(4096) {
                let frame = self.frame_of(process, allocation, u32::try_from(page).unwrap());
                let byte = at.max(page << 12);
                let address = (frame << 12) + byte % 4096;
                assert_eq!(entry.address + (byte - at), address);
                let is_there = |pinned: &Pinned| pinned.frames.contains(&frame);
                assert!(self.pinned.iter().any(is_there));
            }
            at = end;
        }
    }

    /// What is pinned is where it was when it was pinned.
    fn check_pins(&mut self) {
        for index in 0..self.pinned.len() {
            let Pinned {
                process,
                allocation,
                page,
                frames,
            } = self.pinned[index].clone();
            // Folios move as a whole.
            for (page, frame) in (page..).zip(frames).step_by(7) {
                assert_eq!(self.frame_of(process, allocation, page), frame);
            }
        }
    }

    /// Unpins everything.
    pub fn unpin_all(&mut self) {
        while let Some(Pinned {
            process,
            allocation,
            page,
            frames,
        }) = self.pinned.last().cloned()
        {
            let unpin = Request::Unpin {
                allocation,
                page,
                pages: Pages::new(u32::try_from(frames.len()).unwrap()).unwrap(),
                wrote: false,
            };
            self.ask(process, unpin).expect("it was pinned");
        }
    }

    pub fn check(&mut self) {
        self.check_pins();
        let mut frames = BTreeMap::new();
        for (slot, object) in &self.steward.kernel().slots {
            if object.made == Made::Frame {
                for frame in object.frames() {
                    assert_eq!(frames.insert(frame, *slot), None, "one frame, two owners");
                }
            }
        }
        let pages: Vec<_> = self.written.keys().copied().collect();
        for (guest, page) in pages {
            self.check_page(guest, page);
        }
    }
}

/// What [`World::ask`] answers where the server would let the client wait.
pub const LATER: Refusal = Refusal::Busy { page: u32::MAX };

/// Bytes of one step of [`run`], at most, behind its first one.
const STEP: usize = 24;

/// Lets clients send whatever `data` has: a byte says who does what, the next ones are the words of a
/// message, or a page that a guest touches.
pub fn run(data: &[u8]) {
    let mut world = World::new();
    for step in data.chunks(STEP + 1) {
        let Some((what, bytes)) = step.split_first() else {
            return;
        };
        let mut words = [0; STEP / 8];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(whole);
        }
        let client = usize::from(what >> 2) % (CLIENTS.len() + 1);
        let process = CLIENTS.get(client).copied().unwrap_or(99);
        match what & 3 {
            0 => world.touch(u16::from(client == 0), words[0] % 1024),
            1 => world.step(),
            _ => {
                let label = <Mem as api::Protocol>::VERSION;
                let Ok(request) = api::envelope::open_request::<Mem>(label, &words) else {
                    continue;
                };
                let answer = world.ask(process, request);
                if matches!(answer, Ok((Reply::Released | Reply::Freed, _))) {
                    world.forget();
                }
            }
        }
        world.check();
    }
}
