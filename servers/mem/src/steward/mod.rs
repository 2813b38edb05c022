//! Decides about requests of clients: who gets which memory, and as which capabilities.
//!
//! ```text
//!  request ──> decide ──> Done(reply)
//!                    ├──> Fill ── the caller clears the frames ──> filled ──> reply
//!                    ├──> Empty ─ next_step, until nothing is left ──> Fill
//!                    └──> Later ─ what is asked for is just being moved
//! ```
//! What takes long is in steps, so that a server can let others in between them. A request is
//! checked whole before it has an effect.

mod contiguous;
mod defects;
mod give;
mod pins;
mod take_back;
mod tell;

pub use contiguous::Step;

use crate::account::{Account, Owner};
use crate::area::{Area, ClaimId};
use crate::deeds::{DeedRefusal, Deeds};
use crate::descriptor::Descriptor;
use crate::extent::Extent;
use crate::folios::Folios;
use crate::geometry::{FrameNumber, Geometry};
use crate::kernel::{Kernel, Slot};
use crate::map::Memory;
use crate::refusal::Refusal;
use alloc::vec::Vec;
use core::ops::Range;
use mem_api::{Allocation, FOLIOS_PER_REPLY, Pages, Refusal as Refused, Reply, Request};

/// The most allocations of a client.
const MAX_ALLOCATIONS: usize = 64;

/// A block of untyped memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first frame.
    pub base: FrameNumber,
    /// Base-two logarithm of its frames.
    pub order: u8,
    /// The NUMA node that it belongs to.
    pub node: u8,
    /// Its capability.
    pub slot: Slot,
}

impl Block {
    /// Returns the memory that it is.
    #[must_use]
    pub const fn memory(&self) -> Memory {
        Memory {
            first: self.base,
            frames: 1 << self.order,
            node: self.node,
        }
    }
}

/// A client, as the manifest describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its process.
    pub process: u16,
    /// The guest whose memory it takes; without one it gets memory for itself.
    pub guest: Option<u16>,
    /// How many frames it may have.
    pub limit: u64,
    /// How many of them it may have pinned at a time.
    pub pins: u64,
    /// Whether its guest's memory is mapped when it is first touched.
    pub is_lazy: bool,
}

/// A client, and what is counted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    client: Client,
    owner: Owner,
    /// Requests refused because of the limit.
    refused: u64,
    /// Requests that waited.
    slowed: u64,
    /// Defects that it reported.
    defects: u8,
}

/// A folio that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    /// Frames from the start of its allocation.
    offset: u64,
    extent: Extent,
    frame: Slot,
    /// Whether it is mapped into the guest.
    is_mapped: bool,
}

impl Held {
    /// Returns whether it has a page of the allocation.
    const fn has(&self, page: u64) -> bool {
        page.wrapping_sub(self.offset) < self.extent.frames()
    }
}

/// An allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    /// Number of the client.
    client: usize,
    /// The guest that has it, and the number of its first page there.
    guest: Option<(u16, u64)>,
    frames: u64,
    /// Whether the client was told of it.
    is_ready: bool,
    /// Its folios, by rising offset.
    held: Vec<Held>,
}

impl Given {
    /// Returns the folio that a page of the allocation lies in.
    fn held_with(&mut self, page: u64) -> Option<&mut Held> {
        let next = self.held.partition_point(|held| held.offset <= page);
        let held = self.held.get_mut(next.checked_sub(1)?);
        held.filter(|held| held.has(page))
    }
}

/// A contiguous request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Underway {
    client: usize,
    claim: ClaimId,
    /// What is being copied.
    moving: Option<contiguous::Moving>,
}

/// Frames that are to be cleared before anybody gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    allocation: Allocation,
    /// Their slots.
    pub frames: Vec<Slot>,
    /// How many pages they have together.
    pub pages: u64,
}

/// Names a contiguous request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emptying(ClaimId);

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The answer, and the frames that travel with it.
    Done(Reply, Vec<Slot>),
    /// Frames are to be cleared; then [`Steward::filled`] has the answer.
    Fill(Fill),
    /// A place is to be emptied: [`Steward::next_step`].
    Empty(Emptying),
    /// What is asked for is just being moved: the request is to be made again.
    Later,
}

/// What a touch of guest memory came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It is mapped.
    Mapped,
    /// It is no memory that the guest was given.
    Outside,
    /// It is the guest's, and cannot be mapped.
    Failed,
    /// It is just being moved: it is to be touched again.
    Later,
}

/// What clients can notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    given: Vec<Option<Given>>,
    accounts: Vec<(Account, u8)>,
    free: u64,
    underway: Vec<Underway>,
    pinnings: Vec<pins::Pinning>,
    /// What is known of each folio that somebody has.
    heads: Vec<Descriptor>,
}

/// All that the server knows.
#[derive(Debug)]
pub struct Steward<K> {
    kernel: K,
    folios: Folios,
    deeds: Deeds,
    clients: Vec<Row>,
    /// By their numbers in the manifest; without those that could not be set apart.
    areas: Vec<Option<Area>>,
    given: Vec<Option<Given>>,
    underway: Vec<Underway>,
    pinnings: Vec<pins::Pinning>,
    /// The largest order of a folio: what the caller can clear.
    max_order: u8,
    moved: u64,
}

impl<K: Kernel> Steward<K> {
    /// Makes a server without memory, of folios up to an order, that may use these slots.
    #[must_use]
    pub fn new(kernel: K, geometry: Geometry, max_order: u8, slots: Range<Slot>) -> Self {
        Self {
            kernel,
            folios: Folios::new(geometry),
            deeds: Deeds::new(slots),
            clients: Vec::new(),
            areas: Vec::new(),
            given: Vec::new(),
            underway: Vec::new(),
            pinnings: Vec::new(),
            max_order: max_order.min(geometry.max_order()),
            moved: 0,
        }
    }

    /// Returns the allocator.
    #[must_use]
    pub const fn folios(&self) -> &Folios {
        &self.folios
    }

    /// Returns the kernel.
    #[must_use]
    pub const fn kernel(&self) -> &K {
        &self.kernel
    }

    /// Returns the kernel, to be told what clients do by themselves.
    pub const fn kernel_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Makes room for the descriptors of all memory that will be granted, so that they are not
    /// copied each time.
    pub fn reserve(&mut self, memory: &[Memory]) {
        self.folios.reserve(memory);
    }

    /// Takes over a block of untyped memory.
    ///
    /// # Errors
    ///
    /// As [`Folios::donate`].
    pub fn grant(&mut self, block: &Block) -> Result<(), Refusal> {
        let memory = block.memory();
        if !block.base.number().is_multiple_of(memory.frames) {
            return Err(Refusal::Misaligned);
        }
        self.folios.donate(memory, 0)?;
        self.deeds.add_root(block.base, block.order, block.slot);
        Ok(())
    }

    /// Sets an area apart for contiguous requests; it has to lie in one block that was granted.
    ///
    /// # Errors
    ///
    /// As [`Folios::declare_area`]; [`Refusal::OutsideMemory`] also where it is not in one block.
    pub fn declare_area(&mut self, base: FrameNumber, frames: u64) -> Result<(), Refusal> {
        let last = frames
            .checked_sub(1)
            .and_then(|last| base.number().checked_add(last));
        if last.and_then(FrameNumber::new).is_some() {
            self.folios.map().check_present(base, frames)?;
            if !self.deeds.has_granted(base, frames) {
                return Err(Refusal::OutsideMemory { first_bad: base });
            }
        }
        let area = self.folios.declare_area(base, frames)?;
        self.areas.push(Some(area));
        Ok(())
    }

    /// Does without the next area, which could not be set apart: those behind it keep their numbers.
    pub fn skip_area(&mut self) {
        self.areas.push(None);
    }

    /// Adds a client.
    ///
    /// # Errors
    ///
    /// As [`Folios::add_owner`].
    pub fn add_client(&mut self, client: Client) -> Result<(), Refusal> {
        let owner = self.folios.add_owner(client.limit)?;
        self.clients.push(Row {
            client,
            owner,
            refused: 0,
            slowed: 0,
            defects: 0,
        });
        Ok(())
    }

    /// Notes that a request of a process had to wait.
    pub fn note_slowed(&mut self, process: u16) {
        let is_it = |row: &&mut Row| row.client.process == process;
        if let Some(row) = self.clients.iter_mut().find(is_it) {
            row.slowed += 1;
        }
    }

    /// Returns what clients can notice.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let account = |row: &Row| Some((self.folios.account(row.owner).ok()?, row.defects));
        let held = self.given.iter().flatten().flat_map(|given| &given.held);
        let head = |held: &Held| self.folios.map().get(held.extent.base());
        Picture {
            given: self.given.clone(),
            accounts: self.clients.iter().filter_map(account).collect(),
            free: self.folios.free(),
            underway: self.underway.clone(),
            pinnings: self.pinnings.clone(),
            heads: held.map(head).collect(),
        }
    }

    /// Decides about a request of a process.
    ///
    /// # Errors
    ///
    /// A refusal; nothing was changed.
    pub fn decide(&mut self, process: u16, request: Request) -> Result<Decision, Refused> {
        match request {
            Request::Statistics => return Ok(self.statistics()),
            Request::Metrics => return Ok(self.metrics()),
            Request::Account { client } => return Ok(self.account(client)),
            _ => {}
        }
        let is_it = |row: &Row| row.client.process == process;
        let client = self.clients.iter().position(is_it);
        let client = client.ok_or(Refused::NoClient)?;
        let decision = self.decide_for(client, request);
        if matches!(decision, Err(Refused::Quota { .. })) {
            self.clients[client].refused += 1;
        }
        decision
    }

    /// Decides about a request of a client.
    fn decide_for(&mut self, client: usize, request: Request) -> Result<Decision, Refused> {
        match request {
            Request::Allocate {
                pages,
                start_page,
                node,
            } => self.allocate(client, u64::from(pages.count()), (start_page, node)),
            Request::Collect { allocation, first } => self.collect(client, allocation, first),
            Request::Find { allocation, page } => self.find(client, allocation, page),
            Request::Release { allocation } => self.release(client, allocation),
            Request::Free {
                allocation,
                page,
                pages,
            } => self.free(client, allocation, range(page, pages)),
            Request::Contiguous { pages, align, area } => {
                self.contiguous(client, u64::from(pages.count()), (align, area))
            }
            Request::RegisterSize { order } => self.register_size(client, order),
            Request::AllocateFolio {
                order,
                start_page,
                node,
            } => self.allocate_folio(client, order, (start_page, node)),
            other => self.decide_of_pages(client, other),
        }
    }

    /// Decides about a request of a client that is about pages of one of its allocations.
    fn decide_of_pages(&mut self, client: usize, request: Request) -> Result<Decision, Refused> {
        match request {
            Request::Pin {
                allocation,
                page,
                pages,
            } => self.pin(client, allocation, range(page, pages)),
            Request::Unpin {
                allocation,
                page,
                pages,
                wrote,
            } => self.unpin(client, allocation, (range(page, pages), wrote)),
            Request::Scatter {
                allocation,
                offset,
                length,
                entries,
            } => self.scatter(client, allocation, (offset, length, entries)),
            Request::Readable {
                allocation,
                offset,
                length,
            } => self.readable(client, allocation, (offset, length)),
            Request::ReportDefect { allocation, page } => {
                self.report_defect(client, allocation, page)
            }
            Request::Inspect { allocation, page } => self.inspect(client, allocation, page),
            _ => Err(Refused::NoClient),
        }
    }

    /// Returns the number of an allocation that a client was told of.
    fn number_of(&self, client: usize, allocation: Allocation) -> Result<usize, Refused> {
        let number = usize::try_from(allocation.0).map_err(|_| Refused::NoSuchAllocation)?;
        let given = self.given.get(number).and_then(Option::as_ref);
        let is_theirs = |given: &&Given| given.client == client && given.is_ready;
        given
            .filter(is_theirs)
            .map(|_| number)
            .ok_or(Refused::NoSuchAllocation)
    }

    /// Returns an allocation of a client.
    fn given(&self, client: usize, allocation: Allocation) -> Result<&Given, Refused> {
        let number = self.number_of(client, allocation)?;
        let given = self.given[number].as_ref();
        given.ok_or(Refused::NoSuchAllocation)
    }

    /// Notes an allocation whose frames are to be cleared.
    fn note(&mut self, given: Given) -> Fill {
        let frames = given.held.iter().map(|held| held.frame).collect();
        let pages = given.held.iter().map(|held| held.extent.frames()).sum();
        self.keep_still(&given, true);
        let free = self.given.iter().position(Option::is_none);
        let number = free.unwrap_or(self.given.len());
        if free.is_none() {
            self.given.push(None);
        }
        self.given[number] = Some(given);
        let allocation = Allocation(u32::try_from(number).unwrap_or(u32::MAX));
        Fill {
            allocation,
            frames,
            pages,
        }
    }

    /// Lets no folio of an allocation be moved, or lets them again: they are not its client's before
    /// they are cleared.
    fn keep_still(&mut self, given: &Given, is_still: bool) {
        let owner = self.clients[given.client].owner;
        for held in &given.held {
            let kept = self.folios.keep_still(owner, held.extent.base(), is_still);
            debug_assert_eq!(kept, Ok(()));
        }
    }

    /// Returns folios of an allocation and their frames.
    fn collect(
        &self,
        client: usize,
        allocation: Allocation,
        first: u32,
    ) -> Result<Decision, Refused> {
        let given = self.given(client, allocation)?;
        let first = usize::try_from(first).map_err(|_| Refused::NoSuchAllocation)?;
        let part = given.held.get(first..).ok_or(Refused::NoSuchAllocation)?;
        Ok(self.folios_of(part))
    }

    /// Returns the folio that a page of an allocation lies in.
    fn find(&self, client: usize, allocation: Allocation, page: u32) -> Result<Decision, Refused> {
        let given = self.given(client, allocation)?;
        let mut held = given.held.iter().filter(|held| held.has(page.into()));
        let held = held.next().ok_or(Refused::NotAllocated { page })?;
        Ok(self.folios_of(core::slice::from_ref(held)))
    }

    /// Returns the answer with the first of these folios.
    fn folios_of(&self, held: &[Held]) -> Decision {
        let mut told = held.iter().take(FOLIOS_PER_REPLY);
        if told.any(|held| contiguous::is_moving(&self.underway, held.extent)) {
            Decision::Later
        } else {
            folios(held)
        }
    }

    /// Returns what a client is told where the allocator refuses.
    fn refused(&self, refusal: Refusal) -> Refused {
        match refusal {
            Refusal::Limit { left } => Refused::Quota {
                left_bytes: left << crate::FRAME_SHIFT,
            },
            Refusal::OutOfMemory => Refused::TooLittle {
                free_bytes: self.folios.free() << crate::FRAME_SHIFT,
            },
            Refusal::TooLarge { max_order } => Refused::TooLarge { max_order },
            Refusal::Unknown => Refused::NoSuchNode,
            Refusal::Overflow | Refusal::ZeroLength => Refused::Overflow,
            _ => Refused::TooMany,
        }
    }
}

/// Returns these pages of an allocation.
fn range(page: u32, pages: Pages) -> Range<u64> {
    page.into()..u64::from(page) + u64::from(pages.count())
}

/// Returns what a client is told where there is no capability.
const fn no_deed(refusal: DeedRefusal) -> Refused {
    match refusal {
        DeedRefusal::NoSlots | DeedRefusal::NotGranted | DeedRefusal::Kernel => Refused::TooMany,
    }
}

/// Returns the answer with the first of these folios.
fn folios(held: &[Held]) -> Decision {
    let mut folios = [None; FOLIOS_PER_REPLY];
    let mut frames = Vec::new();
    for (place, held) in folios.iter_mut().zip(held) {
        *place = Some(told(held));
        frames.push(held.frame);
    }
    Decision::Done(Reply::Folios(folios), frames)
}

/// Returns what a client is told of a folio.
fn told(held: &Held) -> mem_api::Folio {
    mem_api::Folio {
        offset_pages: pins::page_name(held.offset),
        order: held.extent.order() + crate::FRAME_SHIFT as u8,
    }
}
