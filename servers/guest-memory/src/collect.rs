//! Getting the memory: folios from the memory server, four at a time, each mapped at its place; and
//! single ones again, when the server moved them.

use crate::{CopyError, GuestMemory};
use abi::{Error, Rights, SlotAddress};
use core::fmt;
use mem_api::{Allocation, FOLIOS_PER_REPLY, Folio, Mem, Pages, Refusal, Reply, Request};
use rt::client::CallFailure;
use rt::{Capability, Endpoint, Frame, Space};

/// Where a guest's memory comes from, and where its capabilities go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the process calls the memory server.
    pub server: &'static str,
    /// The own space.
    pub space: Space,
    /// First of the empty slots of the own table that the Frames go to.
    pub first_slot: u32,
    /// How many there are.
    pub slots: u32,
}

impl Plan {
    /// Returns the memory server's endpoint on the core that the thread runs on.
    fn endpoint(&self) -> Result<Endpoint, CollectError> {
        rt::cores::peer(self.server, rt::cores::current()).ok_or(CollectError::NoServer)
    }

    /// Returns a slot for one Frame that is empty.
    fn empty_slot(&self) -> Option<u32> {
        let mut slots = self.first_slot..self.first_slot.saturating_add(self.slots);
        slots.find(|slot| Capability::own(*slot).identify() == Err(Error::NoCapability))
    }
}

/// Why a guest has no memory here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectError {
    /// The range is empty, not made of pages, or too large.
    Range,
    /// The process may not call the memory server on this core.
    NoServer,
    /// The memory comes in more pieces than there are slots.
    TooManyFolios {
        /// How many.
        folios: u32,
    },
    /// The memory server refused.
    Refused(Refusal),
    /// The memory server was not reached, or not understood.
    Call(CallFailure),
    /// The memory server answered something else than it was asked, or folios with a hole.
    Answer,
    /// A folio could not be mapped.
    Map {
        /// Its offset from the start of the guest's memory.
        offset: u64,
        /// What the kernel said.
        error: Error,
    },
}

impl fmt::Display for CollectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range => formatter.write_str("the memory's range is not one that can be mapped"),
            Self::NoServer => formatter.write_str("there is no memory server"),
            Self::TooManyFolios { folios } => {
                write!(
                    formatter,
                    "the memory comes in {folios} pieces, which are too many"
                )
            }
            Self::Refused(refusal) => write!(formatter, "the memory server refuses: {refusal:?}"),
            Self::Call(failure) => write!(formatter, "the memory server: {failure:?}"),
            Self::Answer => formatter.write_str("the memory server contradicts itself"),
            Self::Map { offset, error } => {
                write!(
                    formatter,
                    "memory at offset {offset:#x} cannot be mapped: {error:?}"
                )
            }
        }
    }
}

impl GuestMemory {
    /// Takes `bytes` of zeroed memory for the guest-physical range from `base` on, and maps it.
    ///
    /// # Errors
    ///
    /// [`CollectError`]. What was allocated until then stays the process's.
    pub fn collect(plan: &Plan, base: u64, bytes: u64) -> Result<Self, CollectError> {
        let mut memory = Self::place(base, bytes).ok_or(CollectError::Range)?;
        let pages = Pages::from_bytes(bytes).ok_or(CollectError::Range)?;
        if !base.is_multiple_of(abi::PAGE_SIZE) {
            return Err(CollectError::Range);
        }
        let request = Request::Allocate {
            pages,
            start_page: base >> abi::PAGE_SHIFT,
            node: 0,
        };
        let Reply::Allocated { allocation, folios } = ask(plan.endpoint()?, &request)? else {
            return Err(CollectError::Answer);
        };
        if folios > plan.slots {
            return Err(CollectError::TooManyFolios { folios });
        }
        let mut first = 0;
        let mut covered = 0;
        while first < folios {
            let batch = collect_batch(plan, allocation, first)?;
            for folio in batch.into_iter().flatten() {
                let slot = plan.first_slot + first;
                covered += memory.map(plan, slot, folio)?;
                first += 1;
            }
        }
        memory.source = Some((*plan, allocation));
        if covered == bytes {
            Ok(memory)
        } else {
            Err(CollectError::Answer)
        }
    }

    /// Maps a folio whose Frame has arrived in `slot`, and returns its bytes.
    fn map(&self, plan: &Plan, slot: u32, folio: Folio) -> Result<u64, CollectError> {
        let offset = u64::from(folio.offset_pages) << abi::PAGE_SHIFT;
        let bytes = 1_u64
            .checked_shl(folio.order.into())
            .ok_or(CollectError::Answer)?;
        let end = offset.checked_add(bytes).ok_or(CollectError::Answer)?;
        if end > self.bytes || slot.wrapping_sub(plan.first_slot) >= plan.slots {
            return Err(CollectError::Answer);
        }
        let access = Rights::new().with_read(true).with_write(true);
        Frame::own(slot)
            .map(plan.space.capability(), self.window + offset, access)
            .map_err(|error| CollectError::Map { offset, error })?;
        Ok(bytes)
    }

    /// Repeats a copy that meets an absent page, where that page is somewhere else now.
    pub(crate) fn repeat(
        &self,
        mut copy: impl FnMut() -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let mut last = None;
        for _ in 0..ROUNDS {
            match copy() {
                Err(CopyError::Absent { address })
                    if last != Some(address) && self.collect_again(address).is_ok() =>
                {
                    last = Some(address);
                }
                ended => return ended,
            }
        }
        copy()
    }

    /// Gets the folio that a guest-physical address lies in once more: it moved, and what was mapped
    /// of it is gone.
    fn collect_again(&self, address: u64) -> Result<(), CollectError> {
        let (plan, allocation) = self.source.as_ref().ok_or(CollectError::NoServer)?;
        let page = address.wrapping_sub(self.base) >> abi::PAGE_SHIFT;
        let page = u32::try_from(page).map_err(|_| CollectError::Range)?;
        let slot = plan
            .empty_slot()
            .ok_or(CollectError::TooManyFolios { folios: plan.slots })?;
        let request = Request::Find {
            allocation: *allocation,
            page,
        };
        match ask_for_frames(plan.endpoint()?, &request, &[SlotAddress::own(slot)])? {
            Reply::Folios([Some(folio), ..]) => match self.map(plan, slot, folio) {
                // Another thread was faster, or the page was there after all.
                Err(CollectError::Map {
                    error: Error::AlreadyMapped,
                    ..
                }) => {
                    let _ = Capability::own(slot).delete();
                    Ok(())
                }
                mapped => mapped.map(drop),
            },
            _ => Err(CollectError::Answer),
        }
    }
}

/// The most folios that a copy meets which are somewhere else.
const ROUNDS: usize = 64;

/// Asks for the folios from number `first` on; there is at least one.
fn collect_batch(
    plan: &Plan,
    allocation: Allocation,
    first: u32,
) -> Result<[Option<Folio>; FOLIOS_PER_REPLY], CollectError> {
    let slot = |index: usize| SlotAddress::own(plan.first_slot + first + index as u32);
    let slots: [SlotAddress; FOLIOS_PER_REPLY] = core::array::from_fn(slot);
    let request = Request::Collect { allocation, first };
    match ask_for_frames(plan.endpoint()?, &request, &slots)? {
        Reply::Folios(folios) if folios.iter().any(Option::is_some) => Ok(folios),
        _ => Err(CollectError::Answer),
    }
}

/// Asks the memory server for frames, which go to these slots.
fn ask_for_frames(
    server: Endpoint,
    request: &Request,
    slots: &[SlotAddress],
) -> Result<Reply, CollectError> {
    rt::message::set_receive_slots(slots);
    let reply = ask(server, request);
    rt::message::set_receive_slots(&[SlotAddress::own(0); FOLIOS_PER_REPLY]);
    reply
}

/// Asks the memory server.
fn ask(server: Endpoint, request: &Request) -> Result<Reply, CollectError> {
    let reply = rt::client::request::<Mem>(server, request).map_err(CollectError::Call)?;
    reply.map_err(CollectError::Refused)
}
