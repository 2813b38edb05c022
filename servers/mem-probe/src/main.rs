//! A client of the memory server that does what its arguments say: within its limit or not, politely
//! or not. For scenarios that look at what the others notice.
//!
//! | arguments | it |
//! |---|---|
//! | `measure` | asks once in a millisecond, first while all is quiet, then while others flood, and compares |
//! | `flood` | asks for more than its quota, is refused, and then asks without end |
//! | `move PAGES` | lets that many of its pages lie in an area, and takes that area then |
//! | `watch` | as `measure`, but others take the area meanwhile |
//! | `nodes MEBIBYTES` | asks node 1, whose memory lies behind so many, for more than it has, and nodes that there are not |
//! | `contiguous PAGES COUNT [AFTER EVERY]` | takes that many contiguous pieces and gives them back: the first so many milliseconds after the start, then one in so many; six seconds, and one, if not given |
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod run {
    use alloc::vec::Vec;
    use mem_api::{Allocation, Mem, Metrics, Pages, Refusal, Reply, Request};
    use rt::Endpoint;
    use rt::client::CallFailure;

    rt::entry!(main);

    /// Requests of a measured phase.
    const SAMPLES: u64 = 200;
    /// Milliseconds from the start until others flood.
    const FLOOD_AFTER: u64 = 2000;
    /// Milliseconds from the start until contiguous pieces are asked for: Linux runs by then.
    const CLAIM_AFTER: u64 = 6000;
    /// Milliseconds from one of them to the next.
    const CLAIM_EVERY: u64 = 1000;
    /// Milliseconds from the start in which the first phase begins.
    const QUIET_AFTER: u64 = 500;
    /// The mean time of an answer may grow by so many instructions while others flood.
    const TOLERANCE: u64 = 4000;

    /// No answer may take more instructions while memory is moved: a piece of it, and what comes with
    /// that. A folio of 2 MiB has 32 pieces.
    const PIECE: u64 = 200_000;
    /// Pages of a folio of 2 MiB.
    const FOLIO: u32 = 512;
    /// Pages that are asked of a node at a time.
    const CHUNK: u32 = 2048;

    /// One page.
    const ONE: Pages = match Pages::new(1) {
        Some(pages) => pages,
        None => panic!(),
    };

    /// What the process works with.
    struct Probe {
        server: Endpoint,
        /// Nobody calls here: receiving passes time.
        quiet: Endpoint,
        /// Ticks of a millisecond.
        millisecond: u64,
        start: u64,
    }

    fn main(_: u64) -> ! {
        match Probe::new() {
            Some(probe) => probe.run(),
            None => rt::log!("probe: a grant is missing"),
        }
        rt::spawn::exit()
    }

    impl Probe {
        fn new() -> Option<Self> {
            let core = rt::cores::current();
            Some(Self {
                server: rt::cores::peer("mem", core)?,
                quiet: rt::cores::endpoint_of(core)?,
                millisecond: rt::grant::value("ticks")? / 1000,
                start: rt::sys::counter(),
            })
        }

        /// Does what the arguments say.
        fn run(&self) {
            let text = rt::grant::bytes("arguments").unwrap_or_default();
            let mut words = core::str::from_utf8(text).unwrap_or("").split_whitespace();
            let verb = words.next();
            let mut number = || words.next().and_then(|word| word.parse().ok());
            match (verb, number(), number()) {
                (Some("measure"), ..) => self.measure(),
                (Some("watch"), ..) => self.watch(),
                (Some("flood"), ..) => self.flood(),
                (Some("move"), Some(pages), _) => self.make_move(pages),
                (Some("nodes"), Some(border), _) => self.nodes(u64::from(border) << 20),
                (Some("contiguous"), Some(pages), Some(count)) => {
                    let after = number().map_or(CLAIM_AFTER, u64::from);
                    let every = number().map_or(CLAIM_EVERY, u64::from);
                    self.contiguous(pages, u64::from(count), (after, every));
                }
                _ => rt::log!("probe: it is not said what to do"),
            }
        }

        /// Waits until so many milliseconds after the start.
        fn wait_until(&self, milliseconds: u64) {
            self.wait(self.start + milliseconds * self.millisecond);
        }

        /// Waits until a time of the counter.
        fn wait(&self, deadline: u64) {
            while self.quiet.receive(deadline).is_ok() {}
        }

        /// Asks the server.
        fn ask(&self, request: Request) -> Result<Reply, Refusal> {
            match rt::client::request::<Mem>(self.server, &request) {
                Ok(reply) => reply,
                Err(failure) => {
                    Self::report(failure);
                    Err(Refusal::NoClient)
                }
            }
        }

        /// Says that the server was not reached.
        fn report(failure: CallFailure) {
            rt::log!("probe: FAILED: {failure:?}");
        }

        /// Returns how many pages the process may have.
        fn own_limit(&self) -> u64 {
            let own = rt::grant::value("process");
            for client in 0.. {
                match self.ask(Request::Account { client }) {
                    Ok(Reply::Account(Some(account))) if Some(account.process.into()) == own => {
                        return account.limit_pages;
                    }
                    Ok(Reply::Account(Some(_))) => {}
                    _ => break,
                }
            }
            rt::log!("probe: FAILED: there is no account");
            0
        }

        /// Measures the answers of a phase; returns the mean and the greatest number of
        /// instructions.
        fn phase(&self, begin: u64) -> (u64, u64) {
            let (mut sum, mut most) = (0, 0);
            for sample in 0..SAMPLES {
                self.wait_until(begin + sample);
                let before = rt::sys::instruction_counter();
                let answer = self.ask(Request::Account { client: 0 });
                let after = rt::sys::instruction_counter();
                if !matches!(answer, Ok(Reply::Account(Some(_)))) {
                    rt::log!("probe: FAILED: {answer:?}");
                }
                let taken = rt::sys::counted_instructions(before, after);
                sum += taken;
                most = most.max(taken);
            }
            (sum / SAMPLES, most)
        }

        /// Compares answers while it is quiet with those while others flood.
        fn measure(&self) {
            let quiet = self.phase(QUIET_AFTER);
            let flooded = self.phase(FLOOD_AFTER + 500);
            rt::log!(
                "probe: an answer takes {} instructions, at most {}; in the flood {}, at most {}",
                quiet.0,
                quiet.1,
                flooded.0,
                flooded.1
            );
            if !self.somebody_was_slowed() {
                rt::log!("probe: FAILED: nobody was refused, or nobody slowed");
            }
            if flooded.0 <= quiet.0 + TOLERANCE {
                rt::log!("probe: the neighbour noticed nothing");
            } else {
                rt::log!("probe: FAILED: the neighbour was disturbed");
            }
        }

        /// Compares answers while it is quiet with those while memory is moved.
        fn watch(&self) {
            let quiet = self.phase(QUIET_AFTER);
            let before = self.moved();
            let moving = self.phase(FLOOD_AFTER);
            let moved = self.moved() - before;
            rt::log!(
                "probe: an answer takes {} instructions, at most {}; while {moved} pages move {}, at \
                 most {}",
                quiet.0,
                quiet.1,
                moving.0,
                moving.1
            );
            if moved < u64::from(FOLIO) * 4 {
                rt::log!("probe: FAILED: little was moved");
            }
            if moving.1 <= quiet.1 + PIECE {
                rt::log!("probe: the neighbour waits for a piece at most");
            } else {
                rt::log!("probe: FAILED: the neighbour was disturbed");
            }
        }

        /// Returns how many pages were moved until now.
        fn moved(&self) -> u64 {
            self.metrics().map_or(0, |metrics| metrics.moved_pages)
        }

        /// Asks how the memory is.
        fn metrics(&self) -> Option<Metrics> {
            match self.ask(Request::Metrics) {
                Ok(Reply::Metrics(metrics)) => Some(metrics),
                _ => None,
            }
        }

        /// Takes memory.
        fn allocate(&self, pages: u32) -> Option<Allocation> {
            let request = Request::Allocate {
                pages: Pages::new(pages)?,
                start_page: 0,
                node: 0,
            };
            match self.ask(request) {
                Ok(Reply::Allocated { allocation, .. }) => Some(allocation),
                other => {
                    rt::log!("probe: FAILED: {other:?}");
                    None
                }
            }
        }

        /// Gets pages out of the area, and takes all of it.
        fn make_move(&self, pages: u32) {
            let Some(metrics) = self.metrics() else {
                return;
            };
            let others = metrics.free_pages - metrics.area_free_pages;
            // Only what has no other place lies in an area.
            let others = self.allocate(u32::try_from(others).unwrap_or(0));
            if self.allocate(pages).is_none() {
                return;
            }
            if let Some(others) = others {
                self.release(others);
            }
            self.wait_until(FLOOD_AFTER);
            let mut taken = 0;
            while let Ok(Reply::Allocated { .. }) = self.ask(Request::Contiguous {
                pages: Pages::new(FOLIO).unwrap_or(ONE),
                align: 9,
                area: 0,
            }) {
                taken += 1;
            }
            rt::log!("probe: {taken} pieces of the area are taken");
        }

        /// Asks node 1, whose memory lies from `border` on, for as much as the allocations of a
        /// client can be.
        fn nodes(&self, border: u64) {
            let places = [0, 1].map(|node| self.address_of(self.chunk_on(node, 1)?));
            let [Some(low), Some(high)] = places else {
                rt::log!("probe: FAILED: nothing was given");
                return;
            };
            if low >= border || high < border {
                rt::log!("probe: FAILED: node 0 gave {low:#x}, node 1 {high:#x}");
                return;
            }
            rt::log!("probe: node 0 lies below, node 1 behind the border");
            let chunks = core::iter::from_fn(|| self.address_of(self.chunk_on(1, CHUNK)?));
            let chunks: Vec<u64> = chunks.collect();
            let near = chunks.iter().take_while(|address| **address >= border);
            let near = near.count();
            rt::log!("probe: node 1 gave {near} chunks of 8 MiB");
            if near == 0 || near == chunks.len() || chunks[near..].iter().any(|at| *at >= border) {
                rt::log!("probe: FAILED: of {} chunks", chunks.len());
                return;
            }
            rt::log!("probe: another node served then");
            match self.ask(Self::on(2, ONE)) {
                Err(Refusal::NoSuchNode) => {
                    rt::log!("probe: a node that there is not is refused");
                }
                other => rt::log!("probe: FAILED: node 2: {other:?}"),
            }
        }

        /// Returns the request for pages that prefers a node.
        const fn on(node: u8, pages: Pages) -> Request {
            Request::Allocate {
                pages,
                start_page: 0,
                node,
            }
        }

        /// Takes pages from a node, if possible.
        fn chunk_on(&self, node: u8, pages: u32) -> Option<Allocation> {
            match self.ask(Self::on(node, Pages::new(pages)?)) {
                Ok(Reply::Allocated { allocation, .. }) => Some(allocation),
                _ => None,
            }
        }

        /// Returns where the first page of an allocation lies: pins it, so that this is told.
        fn address_of(&self, allocation: Allocation) -> Option<u64> {
            let (page, pages) = (0, ONE);
            self.ask(Request::Pin {
                allocation,
                page,
                pages,
            })
            .ok()?;
            let entries = self.ask(Request::Scatter {
                allocation,
                offset: 0,
                length: 1,
                entries: 1,
            });
            match entries {
                Ok(Reply::Scatter([Some(entry), ..])) => Some(entry.address),
                _ => None,
            }
        }

        /// Returns whether there is a client that was refused and slowed.
        fn somebody_was_slowed(&self) -> bool {
            let accounts = (0..).map_while(|client| match self.ask(Request::Account { client }) {
                Ok(Reply::Account(account)) => account,
                _ => None,
            });
            accounts
                .into_iter()
                .any(|account| account.refused > 0 && account.slowed > 0)
        }

        /// Asks for too much, and then too often.
        fn flood(&self) {
            let limit = self.own_limit();
            let Some(pages) = u32::try_from(limit + 1).ok().and_then(Pages::new) else {
                return;
            };
            let request = Request::Allocate {
                pages,
                start_page: 0,
                node: 0,
            };
            rt::log!("probe: over the limit: {:?}", self.ask(request));
            self.wait_until(FLOOD_AFTER);
            loop {
                if self.ask(request).is_ok() {
                    rt::log!("probe: FAILED: it got more than its limit");
                }
            }
        }

        /// Takes contiguous pieces, and gives them back.
        fn contiguous(&self, pages: u32, count: u64, (after, every): (u64, u64)) {
            let Some(pages) = Pages::new(pages) else {
                return;
            };
            let mut taken = [None; 64];
            for (place, index) in taken.iter_mut().zip(0..count) {
                self.wait_until(after + every * index);
                let request = Request::Contiguous {
                    pages,
                    align: 0,
                    area: 0,
                };
                match self.ask(request) {
                    Ok(Reply::Allocated { allocation, .. }) => *place = Some(allocation),
                    other => rt::log!("probe: no contiguous piece: {other:?}"),
                }
            }
            let got = taken.iter().flatten().count();
            if let Ok(Reply::Metrics(metrics)) = self.ask(Request::Metrics) {
                rt::log!(
                    "probe: {got} contiguous pieces of {} pages, {} pages moved for them",
                    pages.count(),
                    metrics.moved_pages
                );
            }
            taken
                .into_iter()
                .flatten()
                .for_each(|piece| self.release(piece));
        }

        /// Gives a piece back.
        fn release(&self, allocation: Allocation) {
            let answer = self.ask(Request::Release { allocation });
            if answer != Ok(Reply::Released) {
                rt::log!("probe: FAILED: {answer:?}");
            }
        }
    }
}

/// On a developer's machine there is no memory server to ask.
#[cfg(not(target_os = "none"))]
fn main() {}
