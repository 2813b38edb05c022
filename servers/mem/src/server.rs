//! Requests of clients, and second-stage faults of their guests.

use crate::blocks::{Blocks, Taken};
use abi::exit::ExitReply;
use abi::{DeliveryKind, Rights, SlotAddress};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use mem_api::{Allocation, FOLIOS_PER_REPLY, Folio, Mem, Refusal, Reply, Request, Statistics};
use rt::api::delivery::MAX_VCPUS;
use rt::api::{Deliveries, Last};
use rt::serve::{answer, refusal};
use rt::window::{FIRST, Window};
use rt::{Frame, GuestSpace, Incoming, Outgoing, ReplyAction, Space, TicketLock};

/// Badge bit of second-stage faults.
const FAULT_BADGE: u64 = 1 << 32;

/// One allocation; an empty one was released.
struct Given {
    client: u64,
    /// The guest of the client, and its space.
    guest: (u64, GuestSpace),
    /// Guest-physical address of its first byte.
    start: u64,
    bytes: u64,
    folios: Vec<(Folio, Taken)>,
    /// Which of the folios are not in the guest's space yet.
    unmapped: Vec<bool>,
}

/// What the server knows.
struct State {
    blocks: Blocks,
    given: Vec<Given>,
    /// Faults, by guest and vCPU, and how they were answered.
    faults: BTreeMap<u64, Deliveries<ExitReply, Vec<Last<ExitReply>>>>,
}

/// Shared by the threads of all cores.
static STATE: TicketLock<Option<State>> = TicketLock::new(None);

/// Serves every core for ever.
pub fn run() -> ! {
    let blocks = Blocks::granted();
    rt::info!(
        "{=u64} MiB for guests, largest block of order {=u8}",
        blocks.bytes() >> 20,
        blocks.largest()
    );
    *STATE.lock() = Some(State {
        blocks,
        given: Vec::new(),
        faults: BTreeMap::new(),
    });
    rt::cores::run_on_cores(serve_core);
    rt::spawn::exit()
}

/// Serves the clients of one core.
fn serve_core(core: u64) {
    let Some(endpoint) = rt::cores::endpoint_of(core) else {
        rt::log!("mem: no endpoint on core {core}");
        return;
    };
    rt::debug!("core {=u64} is served", core);
    if let Err(error) = rt::serve(endpoint, handle) {
        rt::log!("mem: core {core}: {error:?}");
    }
}

/// Handles one message.
fn handle(message: &Incoming) -> ReplyAction {
    match message.kind() {
        Some(DeliveryKind::Exit) if message.badge & FAULT_BADGE != 0 => {
            ReplyAction::Reply(answer_fault(message))
        }
        Some(DeliveryKind::Call) => ReplyAction::Reply(answer_call(message)),
        _ => ReplyAction::Wait,
    }
}

/// Answers a second-stage fault in a guest's memory: maps the folio where that is put off until the
/// guest touches it. Other faults met a translation from before, or memory that was never given.
fn answer_fault(message: &Incoming) -> Outgoing {
    let guest = (message.badge >> 8) & 0xff_ffff;
    let vcpu = message.vcpu() & 0xff;
    let [_, address, ..] = message.words;
    let mut guard = STATE.lock();
    let label = guard.as_mut().map_or(ExitReply::Decline, |state| {
        state.fault((guest, vcpu), message.sequence, address)
    });
    Outgoing::new(u16::try_from(label.number()).unwrap_or(0))
}

/// Answers a request.
fn answer_call(message: &Incoming) -> Outgoing {
    let client = message.badge.wrapping_sub(1);
    let mut slots = Vec::new();
    let outgoing = answer::<Mem>(message, |request| {
        let mut guard = STATE.lock();
        let state = guard.as_mut().ok_or(Refusal::TooMany)?;
        let (reply, frames) = state.decide(client, request)?;
        slots = frames;
        Ok(reply)
    });
    if slots.is_empty() {
        return outgoing;
    }
    if slots.len() > FOLIOS_PER_REPLY {
        return refusal(rt::api::Refused::Malformed);
    }
    outgoing.with_capabilities(&slots)
}

impl State {
    /// Returns whether an address of a guest is memory that it was given; it is mapped then.
    fn touch(&mut self, guest: u64, address: u64) -> bool {
        let holds = |given: &&mut Given| {
            let offset = address.wrapping_sub(given.start);
            offset < given.bytes && given.guest.0 == guest
        };
        let Some(given) = self.given.iter_mut().find(holds) else {
            return false;
        };
        match given.map_folio(address) {
            Ok(()) => true,
            Err(error) => {
                rt::log!("mem: guest {guest}: {address:#x} is not mapped: {error:?}");
                false
            }
        }
    }

    /// Decides about a fault of a guest's vCPU; one that comes again gets the same answer.
    fn fault(&mut self, (guest, vcpu): (u64, usize), sequence: u64, address: u64) -> ExitReply {
        let none = || Deliveries::new(vec![Last::default(); MAX_VCPUS]);
        let mut faults = self.faults.remove(&guest).unwrap_or_else(none);
        let label = faults.serve((vcpu, sequence), ExitReply::Decline, || {
            if self.touch(guest, address) {
                ExitReply::Resume
            } else {
                ExitReply::Decline
            }
        });
        self.faults.insert(guest, faults);
        label
    }

    /// Decides about a request; the second part are frames that travel along.
    fn decide(
        &mut self,
        client: u64,
        request: Request,
    ) -> Result<(Reply, Vec<SlotAddress>), Refusal> {
        match request {
            Request::Allocate {
                pages,
                start_page,
                node,
            } => {
                if node != 0 {
                    return Err(Refusal::NoSuchNode);
                }
                let reply = self.allocate(client, pages.bytes(), start_page << 12)?;
                Ok((reply, Vec::new()))
            }
            Request::Collect { allocation, first } => self.collect(client, allocation, first),
            Request::Release { allocation } => {
                self.release(client, allocation)?;
                Ok((Reply::Released, Vec::new()))
            }
            Request::Statistics => {
                let used = self.given.iter().map(|given| given.bytes).sum();
                let statistics = Statistics {
                    free_bytes: self.blocks.bytes(),
                    used_bytes: used,
                    largest_order: self.blocks.largest(),
                    allocations: u32::try_from(self.given.len()).unwrap_or(u32::MAX),
                };
                Ok((Reply::Statistics(statistics), Vec::new()))
            }
        }
    }

    /// Takes memory for the guest of a client, zeroes it and, unless that is put off, maps it into
    /// the guest.
    fn allocate(&mut self, client: u64, bytes: u64, start: u64) -> Result<Reply, Refusal> {
        let quota = rt::grant(&format!("quota.{client}")).map_or(0, |grant| grant.value);
        let has: u64 = self
            .given
            .iter()
            .filter(|given| given.client == client)
            .map(|given| given.bytes)
            .sum();
        let left_bytes = quota.saturating_sub(has);
        if bytes > left_bytes {
            return Err(Refusal::Quota { left_bytes });
        }
        let too_little = Refusal::TooLittle {
            free_bytes: self.blocks.bytes(),
        };
        let plan = mem::plan(&self.blocks.ranges(), start, bytes).map_err(|_| too_little)?;
        let (guest, space) = guest_of(client).ok_or(Refusal::TooMany)?;
        let is_lazy = rt::grant(&format!("lazy.{client}")).is_some();
        let mut folios = Vec::new();
        for folio in &plan.folios {
            let taken = self.blocks.take(folio).map_err(|_| Refusal::TooMany)?;
            clear(taken.frame).map_err(|_| Refusal::TooMany)?;
            if !is_lazy {
                map(space, taken.frame, start + folio.offset).map_err(|_| Refusal::TooMany)?;
            }
            rt::trace!(
                "client {=u64}: a folio of order {=u8} at offset {=u64:#x}",
                client,
                folio.order,
                folio.offset
            );
            let offset_pages = u32::try_from(folio.offset >> 12).map_err(|_| too_little)?;
            folios.push((
                Folio {
                    offset_pages,
                    order: folio.order,
                },
                taken,
            ));
        }
        let count = u32::try_from(folios.len()).unwrap_or(u32::MAX);
        rt::debug!(
            "client {=u64} got {=u64} MiB from {=u64:#x} on in {=u32} folios",
            client,
            bytes >> 20,
            start,
            count
        );
        let allocation = Allocation(u32::try_from(self.given.len()).unwrap_or(u32::MAX));
        self.given.push(Given {
            client,
            guest: (guest, space),
            start,
            bytes,
            unmapped: alloc::vec![is_lazy; folios.len()],
            folios,
        });
        Ok(Reply::Allocated {
            allocation,
            folios: count,
        })
    }

    /// Takes an allocation back: its frames are deleted wherever they went, and their memory is
    /// free again.
    fn release(&mut self, client: u64, allocation: Allocation) -> Result<(), Refusal> {
        self.find(client, allocation)?;
        let index = usize::try_from(allocation.0).map_err(|_| Refusal::NoSuchAllocation)?;
        let given = self.given.get_mut(index).ok_or(Refusal::NoSuchAllocation)?;
        given.bytes = 0;
        for (_, taken) in core::mem::take(&mut given.folios) {
            self.blocks.put_back(taken);
        }
        Ok(())
    }

    /// Returns an allocation of a client.
    fn find(&self, client: u64, allocation: Allocation) -> Result<&Given, Refusal> {
        let index = usize::try_from(allocation.0).map_err(|_| Refusal::NoSuchAllocation)?;
        let is_theirs = |given: &&Given| given.client == client && given.bytes != 0;
        let given = self.given.get(index).filter(is_theirs);
        given.ok_or(Refusal::NoSuchAllocation)
    }

    /// Returns folios of an allocation and their frames.
    fn collect(
        &self,
        client: u64,
        allocation: Allocation,
        first: u32,
    ) -> Result<(Reply, Vec<SlotAddress>), Refusal> {
        let given = self.find(client, allocation)?;
        let first = usize::try_from(first).map_err(|_| Refusal::NoSuchAllocation)?;
        let part = given.folios.get(first..).ok_or(Refusal::NoSuchAllocation)?;
        let mut folios = [None; FOLIOS_PER_REPLY];
        let mut slots = Vec::new();
        for (place, (folio, taken)) in folios.iter_mut().zip(part) {
            *place = Some(*folio);
            slots.push(taken.frame.capability().slot());
        }
        Ok((Reply::Folios(folios), slots))
    }
}

impl Given {
    /// Maps the folio that an address lies in, if it is not mapped yet.
    fn map_folio(&mut self, address: u64) -> Result<(), abi::Error> {
        // Folios come by rising offset and without gaps.
        let page = address.wrapping_sub(self.start) >> 12;
        let next = self
            .folios
            .partition_point(|(folio, _)| u64::from(folio.offset_pages) <= page);
        let index = next.checked_sub(1).ok_or(abi::Error::OutOfRange)?;
        let (Some((folio, taken)), Some(unmapped)) =
            (self.folios.get(index), self.unmapped.get_mut(index))
        else {
            return Err(abi::Error::OutOfRange);
        };
        if *unmapped {
            let at = self.start + (u64::from(folio.offset_pages) << 12);
            map(self.guest.1, taken.frame, at)?;
            *unmapped = false;
        }
        Ok(())
    }
}

/// Returns the guest of a client, and its space.
fn guest_of(client: u64) -> Option<(u64, GuestSpace)> {
    let guest = rt::grant(&format!("client.{client}"))?.value;
    let grant = rt::grant(&format!("guest.{guest}"))?;
    Some((guest, GuestSpace::own(grant.index())))
}

/// Fills a folio with zeros: it may have been somebody else's.
fn clear(frame: Frame) -> Result<(), abi::Error> {
    let rights = Rights::new().with_read(true).with_write(true);
    Window::map(frame, Space::own(abi::boot::SLOT_SPACE), FIRST, rights)?.clear();
    frame.unmap()
}

/// Maps a folio into a guest.
fn map(space: GuestSpace, frame: Frame, address: u64) -> Result<(), abi::Error> {
    let rights = Rights::new()
        .with_read(true)
        .with_write(true)
        .with_execute(true);
    frame.map(space.capability(), address, rights)
}
