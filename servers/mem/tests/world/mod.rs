//! A steward with two guests and a client without one, and what the guests wrote where.

#![allow(dead_code, reason = "each test uses a part")]

pub mod fake;

use fake::Fake;
use mem::{
    Client, Decision, Emptying, FrameNumber, Geometry, Gigantic, Made, Slot, Step, Steward, Touch,
};
use mem_api::{Mem, Refusal, Reply, Request};
use std::collections::BTreeMap;

pub const ROOTS: [(u64, u8); 2] = [(0x400, 10), (0x1000, 9)];
/// The area: a quarter of the first block.
pub const AREA: (u64, u64) = (0x500, 0x100);
/// Process of each client: one with an eager guest, one with a lazy one, one without.
pub const CLIENTS: [u16; 3] = [3, 5, 8];
pub const LIMIT: u64 = 700;

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
        let base = FrameNumber::new(base).unwrap();
        steward.grant(base, order, slot).unwrap();
    }
    let (base, frames) = AREA;
    let base = FrameNumber::new(base).unwrap();
    steward.declare_area(base, frames).unwrap();
    for (process, guest) in CLIENTS.into_iter().zip([Some(0), Some(1), None]) {
        let client = Client {
            process,
            guest,
            limit: LIMIT,
            is_lazy: guest == Some(1),
        };
        steward.add_client(client).unwrap();
    }
    steward
}

/// Steward, and what the guests wrote where.
pub struct World {
    pub steward: Steward<Fake>,
    written: BTreeMap<(u16, u64), u64>,
    /// Contiguous requests that are under way, and what is to be copied for them.
    pub emptying: Vec<(Emptying, Option<(Slot, Slot)>)>,
    next_value: u64,
}

impl World {
    pub fn new() -> Self {
        Self {
            steward: steward(),
            written: BTreeMap::new(),
            emptying: Vec::new(),
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
            Ok(Decision::Done(reply, frames)) => Ok((reply, frames)),
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

    pub fn check(&mut self) {
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
