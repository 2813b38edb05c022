//! Why the server refuses.

use postcard::experimental::max_size::MaxSize;
use serde::{Deserialize, Serialize};

/// Why a request was refused; it had no effect. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Refusal {
    /// There is too little memory; nobody is to blame.
    TooLittle {
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// The client would have more than its quota; the client is to blame.
    Quota {
        /// Bytes that it could still have.
        left_bytes: u64,
    },
    /// The client has no such allocation, or it has no such folio; the client is to blame.
    NoSuchAllocation,
    /// The server's tables are full.
    TooMany,
    /// The machine has no such node; the client is to blame.
    NoSuchNode,
    /// The range of pages wraps around or ends behind its allocation; the client is to blame.
    Overflow,
    /// Memory at these pages of the guest was given before; the client is to blame.
    Overlap {
        /// Page number of the first that was, in the guest.
        page: u64,
    },
    /// More pages, or a larger alignment, than the largest folio has; the client is to blame.
    TooLarge {
        /// Base-two logarithm of the largest folio's pages.
        max_order: u8,
    },
    /// A page was freed before; the client is to blame.
    NotAllocated {
        /// Pages from the start of the allocation.
        page: u32,
    },
    /// A page is mapped into the guest; the client is to blame.
    Mapped {
        /// Pages from the start of the allocation.
        page: u32,
    },
    /// A page is pinned, or just being moved; nobody is to blame.
    Busy {
        /// Pages from the start of the allocation.
        page: u32,
    },
    /// There is no such area; the client is to blame.
    NoSuchArea,
    /// No place in the area is contiguous and can be emptied; nobody is to blame.
    NoPlace,
    /// The client has no memory of this server at all; the manifest is to blame.
    NoClient,
    /// There are no bytes in the range; the client is to blame.
    ZeroLength,
    /// The first page in the guest is no multiple of the folio's pages; the client is to blame.
    Misaligned,
    /// The client did not register this size; the client is to blame.
    NoSuchSize,
    /// The client would have more pinned than the manifest allows; the client is to blame.
    PinQuota {
        /// Bytes that it could still pin.
        left_bytes: u64,
    },
    /// No pin of the client's has this page, or just these pages; the client is to blame.
    NotPinned {
        /// Pages from the start of the allocation.
        page: u32,
    },
    /// A page's memory was reported as defect; the client is to blame.
    Defect {
        /// Pages from the start of the allocation.
        page: u32,
    },
    /// The bytes are in more pieces than the entries that were asked for; nobody is to blame.
    NonContiguous {
        /// The page that begins the first piece too many, from the start of the allocation.
        page: u32,
    },
    /// The client reported as many defects as a client can.
    TooManyDefects,
}
