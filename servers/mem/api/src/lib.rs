//! What clients may ask of the memory server.
//!
//! RAM of a guest comes as *folios*, one Frame capability each: a client allocates, learns how many
//! folios there are, and collects them, four capabilities at a time. Stage-2 faults do not come
//! this way: the kernel delivers them as exits.
//!
//! Memory may move: then the Frames that a client collected are gone, and [`Request::Find`] gets
//! the ones that are there instead. A request that is refused had no effect.
#![no_std]
#![forbid(unsafe_code)]

mod refusal;
#[cfg(test)]
mod tests;

pub use refusal::Refusal;

use postcard::experimental::max_size::MaxSize;
use serde::{Deserialize, Serialize};

/// The protocol of the memory server.
#[derive(Clone, Copy, Debug)]
pub enum Mem {}

impl api::Protocol for Mem {
    const VERSION: u16 = 2;
    type Request = Request;
    type Reply = Result<Reply, Refusal>;
}

/// Folios, and their capabilities, in one answer.
pub const FOLIOS_PER_REPLY: usize = 4;

/// A number of 4 KiB pages, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, MaxSize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Pages(u32);

/// The number of pages is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPages;

impl core::fmt::Display for NoPages {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("no pages")
    }
}

impl Pages {
    /// Returns `count` pages, or `None` for 0.
    #[must_use]
    pub const fn new(count: u32) -> Option<Self> {
        if count > 0 { Some(Self(count)) } else { None }
    }

    /// Returns as many pages as have `bytes`, or `None` where that is 0, no whole number, or more
    /// than 16 TiB.
    #[must_use]
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        let count = u32::try_from(bytes >> 12).ok()?;
        if bytes.is_multiple_of(4096) {
            Self::new(count)
        } else {
            None
        }
    }

    /// Returns the number of pages.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        (self.0 as u64) << 12
    }
}

impl TryFrom<u32> for Pages {
    type Error = NoPages;

    fn try_from(count: u32) -> Result<Self, NoPages> {
        Self::new(count).ok_or(NoPages)
    }
}

impl From<Pages> for u32 {
    fn from(pages: Pages) -> Self {
        pages.0
    }
}

/// Names an allocation of the client that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, MaxSize)]
pub struct Allocation(pub u32);

/// What a client may ask. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Request {
    /// Takes memory for a guest: zeroed, in the largest fitting folios.
    Allocate {
        /// How much.
        pages: Pages,
        /// Guest-physical page number of the first page: folios are aligned in the guest too.
        start_page: u64,
        /// The NUMA node to prefer, by the number that the machine gives it; 0 where there is
        /// only one. Where it has nothing that fits, other nodes serve.
        node: u8,
    },
    /// Asks for folios of an allocation, from the one with this number on; a client may ask again.
    Collect {
        /// The allocation.
        allocation: Allocation,
        /// Number of the first folio, from 0.
        first: u32,
    },
    /// Gives an allocation back. Its capabilities are revoked.
    Release {
        /// The allocation.
        allocation: Allocation,
    },
    /// Asks how much there is.
    Statistics,
    /// Asks for the one folio of an allocation that a page of it lies in, now.
    Find {
        /// The allocation.
        allocation: Allocation,
        /// Pages from the start of the allocation.
        page: u32,
    },
    /// Gives pages of an allocation back; those that are left stay where they are.
    Free {
        /// The allocation.
        allocation: Allocation,
        /// Pages from the start of the allocation to the first one.
        page: u32,
        /// How many.
        pages: Pages,
    },
    /// Takes memory that is contiguous in the host, out of an area that the manifest declares. What
    /// movable memory lies there is moved elsewhere.
    Contiguous {
        /// How much.
        pages: Pages,
        /// The first page begins at a multiple of 2^`align` pages of the host's memory.
        align: u8,
        /// The area, from 0.
        area: u8,
    },
    /// Asks how the memory is.
    Metrics,
    /// Asks how much a client has and may have; clients are numbered from 0.
    Account {
        /// The client.
        client: u16,
    },
    /// Says that the client will take folios of a size ([`Request::AllocateFolio`]).
    RegisterSize {
        /// Base-two logarithm of the pages.
        order: u8,
    },
    /// Takes one folio of just this size, zeroed: no smaller ones are given instead.
    AllocateFolio {
        /// Base-two logarithm of its pages: a size that the client registered.
        order: u8,
        /// Guest-physical page number of the first page, a multiple of the folio's pages.
        start_page: u64,
        /// The NUMA node to prefer, by the number that the machine gives it; 0 where there is
        /// only one. Where it has nothing that fits, other nodes serve.
        node: u8,
    },
    /// Pins pages for a device: until they are unpinned their folios are neither moved nor freed.
    /// A client may pin pages again; each time counts.
    Pin {
        /// The allocation.
        allocation: Allocation,
        /// Pages from the start of the allocation to the first one.
        page: u32,
        /// How many.
        pages: Pages,
    },
    /// Takes back what one [`Request::Pin`] of just these pages did.
    Unpin {
        /// The allocation.
        allocation: Allocation,
        /// Pages from the start of the allocation to the first one.
        page: u32,
        /// How many.
        pages: Pages,
        /// Whether the device wrote: then their folios count as changed.
        wrote: bool,
    },
    /// Asks where bytes of pinned pages are in the host, as the entries of a device's list. They
    /// are there until the pages are unpinned.
    Scatter {
        /// The allocation.
        allocation: Allocation,
        /// Bytes from the start of the allocation to the first one.
        offset: u64,
        /// How many bytes.
        length: u64,
        /// The most entries that the device takes, up to [`ENTRIES_PER_REPLY`].
        entries: u8,
    },
    /// Asks how many bytes of an allocation can be read from a place on: up to the first page that
    /// is defect or was freed.
    Readable {
        /// The allocation.
        allocation: Allocation,
        /// Bytes from the start of the allocation to the first one.
        offset: u64,
        /// How many bytes at most.
        length: u64,
    },
    /// Reports that the memory of a page is defect. It stays where it is, is not moved, and when it
    /// comes back nobody gets it any more.
    ReportDefect {
        /// The allocation.
        allocation: Allocation,
        /// Pages from the start of the allocation.
        page: u32,
    },
    /// Asks what is known of the folio that a page of an allocation lies in, now.
    Inspect {
        /// The allocation.
        allocation: Allocation,
        /// Pages from the start of the allocation.
        page: u32,
    },
}

/// One folio of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Folio {
    /// Pages from the start of the allocation.
    pub offset_pages: u32,
    /// Base-two logarithm of the bytes, 12 to 30.
    pub order: u8,
}

/// What the server answers. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Reply {
    /// The memory is the client's.
    Allocated {
        /// Its name.
        allocation: Allocation,
        /// How many folios it has.
        folios: u32,
    },
    /// Folios; capability `i` of the message is the frame of folio `i`. Behind the last folio of
    /// the allocation they are `None`.
    Folios([Option<Folio>; FOLIOS_PER_REPLY]),
    /// The memory is the server's again.
    Released,
    /// How much there is.
    Statistics(Statistics),
    /// The pages are the server's again.
    Freed,
    /// How the memory is.
    Metrics(Metrics),
    /// What a client has; `None` behind the last client.
    Account(Option<Account>),
    /// The client may take folios of that size.
    Registered,
    /// The pages are pinned.
    Pinned,
    /// The pages are pinned once less.
    Unpinned,
    /// Where the bytes are, in their order; behind the last entry they are `None`.
    Scatter([Option<Entry>; ENTRIES_PER_REPLY]),
    /// Bytes that can be read.
    Readable(u64),
    /// The page's defect is noted.
    Reported,
    /// What is known of a folio.
    Inspected(FolioState),
}

/// Entries of a device's list in one answer.
pub const ENTRIES_PER_REPLY: usize = 8;

/// Bytes in a row for a device: in frames whose numbers and whose descriptors follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Entry {
    /// Address of the first byte in the host's memory.
    pub address: u64,
    /// How many bytes.
    pub length: u64,
}

/// What is known of a folio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct FolioState {
    /// Which it is.
    pub folio: Folio,
    /// How often pages of it are pinned.
    pub pins: u32,
    /// Whether a device wrote to it.
    pub is_dirty: bool,
    /// Whether a page of it is defect.
    pub is_damaged: bool,
    /// Whether it is mapped into the guest.
    pub is_mapped: bool,
}

/// Orders of free blocks, from single pages on.
pub const ORDERS: usize = 24;

/// How the memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Metrics {
    /// Free blocks of 2^*i* pages, each free page counted in the largest block that it lies in.
    pub free_blocks: [u32; ORDERS],
    /// Free pages, those of areas included.
    pub free_pages: u64,
    /// Pages of areas.
    pub area_pages: u64,
    /// Of these, free ones.
    pub area_free_pages: u64,
    /// Pages whose contents were moved for contiguous requests.
    pub moved_pages: u64,
    /// Thousandths of the free pages that lie in blocks below 2 MiB.
    pub fragmentation: u16,
}

/// What a client has and may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Account {
    /// Index of the client's process in the manifest.
    pub process: u16,
    /// The guest whose memory it takes.
    pub guest: Option<u16>,
    /// Pages that it has.
    pub used_pages: u64,
    /// Pages that it may have.
    pub limit_pages: u64,
    /// Requests that were refused because of the limit.
    pub refused: u64,
    /// Requests that waited because there were too many of them.
    pub slowed: u64,
}

/// How much memory there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Statistics {
    /// Bytes that nobody has.
    pub free_bytes: u64,
    /// Bytes that guests have.
    pub used_bytes: u64,
    /// Order of the largest folio that could be had; 0 where there is none.
    pub largest_order: u8,
    /// Allocations.
    pub allocations: u32,
}
