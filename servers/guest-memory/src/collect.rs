//! Getting the memory: folios from the memory server, four at a time, each mapped at its place.

use crate::GuestMemory;
use abi::{Error, Rights, SlotAddress};
use core::fmt;
use mem_api::{Allocation, FOLIOS_PER_REPLY, Folio, Mem, Pages, Refusal, Reply, Request};
use rt::client::CallFailure;
use rt::{Endpoint, Frame, Space};

/// Where a guest's memory comes from, and where its capabilities go.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The memory server.
    pub server: Endpoint,
    /// The own space.
    pub space: Space,
    /// First of the empty slots of the own table that the Frames go to.
    pub first_slot: u32,
    /// How many there are.
    pub slots: u32,
}

/// Why a guest has no memory here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectError {
    /// The range is empty, not made of pages, or too large.
    Range,
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
        let memory = Self::place(base, bytes).ok_or(CollectError::Range)?;
        let pages = Pages::from_bytes(bytes).ok_or(CollectError::Range)?;
        if !base.is_multiple_of(abi::PAGE_SIZE) {
            return Err(CollectError::Range);
        }
        let request = Request::Allocate {
            pages,
            start_page: base >> abi::PAGE_SHIFT,
            node: 0,
        };
        let Reply::Allocated { allocation, folios } = ask(plan.server, &request)? else {
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
                covered += memory.map(plan, first, folio)?;
                first += 1;
            }
        }
        if covered == bytes {
            Ok(memory)
        } else {
            Err(CollectError::Answer)
        }
    }

    /// Maps folio number `index`, whose Frame has arrived, and returns its bytes.
    fn map(&self, plan: &Plan, index: u32, folio: Folio) -> Result<u64, CollectError> {
        let offset = u64::from(folio.offset_pages) << abi::PAGE_SHIFT;
        let bytes = 1_u64
            .checked_shl(folio.order.into())
            .ok_or(CollectError::Answer)?;
        let end = offset.checked_add(bytes).ok_or(CollectError::Answer)?;
        if end > self.bytes || index >= plan.slots {
            return Err(CollectError::Answer);
        }
        let access = Rights::new().with_read(true).with_write(true);
        Frame::own(plan.first_slot + index)
            .map(plan.space.capability(), self.window + offset, access)
            .map_err(|error| CollectError::Map { offset, error })?;
        Ok(bytes)
    }
}

/// Asks for the folios from number `first` on; there is at least one.
fn collect_batch(
    plan: &Plan,
    allocation: Allocation,
    first: u32,
) -> Result<[Option<Folio>; FOLIOS_PER_REPLY], CollectError> {
    let slot = |index: usize| SlotAddress::own(plan.first_slot + first + index as u32);
    let slots: [SlotAddress; FOLIOS_PER_REPLY] = core::array::from_fn(slot);
    rt::message::set_receive_slots(&slots);
    let reply = ask(plan.server, &Request::Collect { allocation, first })?;
    rt::message::set_receive_slots(&[SlotAddress::own(0); FOLIOS_PER_REPLY]);
    match reply {
        Reply::Folios(folios) if folios.iter().any(Option::is_some) => Ok(folios),
        _ => Err(CollectError::Answer),
    }
}

/// Asks the memory server.
fn ask(server: Endpoint, request: &Request) -> Result<Reply, CollectError> {
    let reply = rt::client::request::<Mem>(server, request).map_err(CollectError::Call)?;
    reply.map_err(CollectError::Refused)
}
