//! A client of the memory server, and what it has at the moment.

use crate::case::{Failure, Outcome, ensure_equal};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use mem_api::{
    Account, Allocation, FOLIOS_PER_REPLY, Folio, Mem, Metrics, Pages, Refusal, Reply, Request,
    Statistics,
};
use rt::abi::SlotAddress;
use rt::{Capability, Endpoint};

/// First slot of the own table that Frames go to: behind the grants.
const FIRST_SLOT: u32 = 128;
/// End of these slots.
const END_SLOT: u32 = 1024;

/// What the server answers.
pub type Answer = Result<Reply, Refusal>;

/// A folio, and the slot of its Frame.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub folio: Folio,
    pub slot: u32,
}

impl Piece {
    /// Returns how many pages it has.
    pub const fn pages(&self) -> u32 {
        1 << (self.folio.order - 12)
    }
}

/// The client.
pub struct Client {
    pub server: Endpoint,
    /// Number of its account.
    account: u16,
    next_slot: Cell<u32>,
    allocations: RefCell<Vec<Allocation>>,
    pins: RefCell<Vec<(Allocation, u32, Pages)>>,
}

impl Client {
    /// Finds the server, and the own account.
    pub fn new() -> Option<Self> {
        let mut client = Self {
            server: rt::cores::peer("mem", rt::cores::current())?,
            account: 0,
            next_slot: Cell::new(FIRST_SLOT),
            allocations: RefCell::new(Vec::new()),
            pins: RefCell::new(Vec::new()),
        };
        let process = rt::grant::value("process")?;
        let mut accounts = (0..).map_while(|number| Some((number, client.account_of(number)?)));
        let (account, _) = accounts.find(|(_, account)| u64::from(account.process) == process)?;
        client.account = account;
        Some(client)
    }

    /// Returns an account; nothing behind the last one.
    fn account_of(&self, client: u16) -> Option<Account> {
        match self.ask(Request::Account { client }) {
            Ok(Ok(Reply::Account(account))) => account,
            _ => None,
        }
    }

    /// Returns the own account.
    #[track_caller]
    pub fn account(&self) -> Outcome<Account> {
        self.account_of(self.account)
            .ok_or_else(|| Failure::of("there is an account"))
    }

    /// Asks the server.
    #[track_caller]
    pub fn ask(&self, request: Request) -> Outcome<Answer> {
        let answer = rt::client::request::<Mem>(self.server, &request);
        let answer = answer.or(Err(Failure::of("the server is reached and understood")))?;
        match (answer, request) {
            (Ok(Reply::Allocated { allocation, .. }), _) => {
                self.allocations.borrow_mut().push(allocation);
            }
            (
                Ok(Reply::Pinned),
                Request::Pin {
                    allocation,
                    page,
                    pages,
                },
            ) => self.pins.borrow_mut().push((allocation, page, pages)),
            (
                Ok(Reply::Unpinned),
                Request::Unpin {
                    allocation,
                    page,
                    pages,
                    ..
                },
            ) => {
                let mut pins = self.pins.borrow_mut();
                let is_it = |pin: &(Allocation, u32, Pages)| *pin == (allocation, page, pages);
                if let Some(index) = pins.iter().position(is_it) {
                    pins.swap_remove(index);
                }
            }
            _ => {}
        }
        Ok(answer)
    }

    /// Asks for what the server has to grant.
    #[track_caller]
    pub fn get(&self, request: Request) -> Outcome<Reply> {
        self.ask(request)?
            .or(Err(Failure::of("the request is granted")))
    }

    /// Takes memory, from a page of a guest on that does not exist.
    #[track_caller]
    pub fn allocate(&self, pages: u32, start_page: u64) -> Outcome<Allocation> {
        match self.get(allocate(pages, start_page))? {
            Reply::Allocated { allocation, .. } => Ok(allocation),
            _ => Err(Failure::of("the answer fits")),
        }
    }

    /// Gives an allocation back.
    #[track_caller]
    pub fn release(&self, allocation: Allocation) -> Outcome {
        match self.get(Request::Release { allocation })? {
            Reply::Released => {
                self.forget(allocation);
                Ok(())
            }
            _ => Err(Failure::of("the answer fits")),
        }
    }

    /// Forgets an allocation that is gone.
    pub fn forget(&self, allocation: Allocation) {
        self.allocations
            .borrow_mut()
            .retain(|other| *other != allocation);
    }

    /// Returns the next empty slots of the own table.
    #[track_caller]
    fn slots(&self) -> Outcome<[u32; FOLIOS_PER_REPLY]> {
        let first = self.next_slot.get();
        if first + FOLIOS_PER_REPLY as u32 > END_SLOT {
            return Err(Failure::of("a case uses fewer slots"));
        }
        self.next_slot.set(first + FOLIOS_PER_REPLY as u32);
        Ok(core::array::from_fn(|index| first + index as u32))
    }

    /// Asks for Frames; returns those that came.
    #[track_caller]
    pub fn frames(&self, request: Request) -> Outcome<Vec<Piece>> {
        let slots = self.slots()?;
        rt::message::set_receive_slots(&slots.map(SlotAddress::own));
        let reply = self.get(request);
        rt::message::set_receive_slots(&[SlotAddress::own(0); FOLIOS_PER_REPLY]);
        let Reply::Folios(folios) = reply? else {
            return Err(Failure::of("the answer fits"));
        };
        let pieces = folios.into_iter().zip(slots);
        Ok(pieces
            .filter_map(|(folio, slot)| {
                Some(Piece {
                    folio: folio?,
                    slot,
                })
            })
            .collect())
    }

    /// Collects all folios of an allocation.
    #[track_caller]
    pub fn collect(&self, allocation: Allocation) -> Outcome<Vec<Piece>> {
        let mut pieces: Vec<Piece> = Vec::new();
        loop {
            let first = pieces.len() as u32;
            let batch = self.frames(Request::Collect { allocation, first })?;
            let is_last = batch.len() < FOLIOS_PER_REPLY;
            pieces.extend(batch);
            if is_last {
                return Ok(pieces);
            }
        }
    }

    /// Returns the one folio that a page of an allocation lies in.
    #[track_caller]
    pub fn find(&self, allocation: Allocation, page: u32) -> Outcome<Piece> {
        let pieces = self.frames(Request::Find { allocation, page })?;
        ensure_equal!(pieces.len(), 1);
        Ok(pieces[0])
    }

    /// Forgets the Frames that were collected, and uses their slots again.
    pub fn drop_frames(&self) {
        for slot in FIRST_SLOT..self.next_slot.get() {
            // The server took some of them away.
            let _ = Capability::own(slot).delete();
        }
        self.next_slot.set(FIRST_SLOT);
    }

    /// Says how the memory is.
    #[track_caller]
    pub fn metrics(&self) -> Outcome<Metrics> {
        match self.get(Request::Metrics)? {
            Reply::Metrics(metrics) => Ok(metrics),
            _ => Err(Failure::of("the answer fits")),
        }
    }

    /// Says how much there is.
    #[track_caller]
    pub fn statistics(&self) -> Outcome<Statistics> {
        match self.get(Request::Statistics)? {
            Reply::Statistics(statistics) => Ok(statistics),
            _ => Err(Failure::of("the answer fits")),
        }
    }

    /// Makes a request that has to be refused so, and to change nothing but the count of refusals.
    #[track_caller]
    pub fn refuses(&self, request: Request, expected: Refusal) -> Outcome {
        let before = self.picture()?;
        let answer = self.ask(request)?;
        let after = self.picture()?;
        if answer != Err(expected) {
            rt::log::write(format_args!("{answer:?} "));
            return Err(Failure::of("the refusal is the documented one"));
        }
        if before != after {
            return Err(Failure::of("a refused request changes nothing"));
        }
        Ok(())
    }

    /// Returns all that the server tells of its state.
    #[track_caller]
    fn picture(&self) -> Outcome<(Account, Statistics, Metrics)> {
        let mut account = self.account()?;
        account.refused = 0;
        account.slowed = 0;
        Ok((account, self.statistics()?, self.metrics()?))
    }

    /// Gives everything back; what is left over is a failure.
    pub fn clean_up(&self) -> Outcome {
        self.drop_frames();
        for (allocation, page, pages) in self.pins.take() {
            self.get(Request::Unpin {
                allocation,
                page,
                pages,
                wrote: false,
            })?;
        }
        for allocation in self.allocations.take() {
            self.release(allocation)?;
        }
        ensure_equal!(self.account()?.used_pages, 0);
        ensure_equal!(self.statistics()?.used_bytes, 0);
        Ok(())
    }
}

/// Returns the request for memory.
pub fn allocate(pages: u32, start_page: u64) -> Request {
    Request::Allocate {
        pages: Pages::new(pages).unwrap_or(ONE),
        start_page,
        node: 0,
    }
}

/// One page.
pub const ONE: Pages = match Pages::new(1) {
    Some(pages) => pages,
    None => panic!(),
};
