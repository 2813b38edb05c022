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
        /// The memory node to prefer; 0 where there is only one.
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
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
        let mut buffer = [0; 256];
        postcard::to_slice(value, &mut buffer).unwrap().to_vec()
    }

    fn reply(reply: Reply) -> Vec<u8> {
        encoded(&Ok::<_, Refusal>(reply))
    }

    fn refusal(refusal: Refusal) -> Vec<u8> {
        encoded(&Err::<Reply, _>(refusal))
    }

    #[test]
    fn requests_keep_their_bytes() {
        let pages = Pages::from_bytes(256 << 20).unwrap();
        let allocate = Request::Allocate {
            pages,
            start_page: 0x8_0000,
            node: 0,
        };
        assert_eq!(encoded(&allocate), [0, 0x80, 0x80, 4, 0x80, 0x80, 0x20, 0]);
        let allocation = Allocation(3);
        assert_eq!(
            encoded(&Request::Collect {
                allocation,
                first: 4
            }),
            [1, 3, 4]
        );
        assert_eq!(encoded(&Request::Release { allocation }), [2, 3]);
        assert_eq!(encoded(&Request::Statistics), [3]);
        let find = Request::Find {
            allocation,
            page: 9,
        };
        assert_eq!(encoded(&find), [4, 3, 9]);
        let pages = Pages::new(300).unwrap();
        let free = Request::Free {
            allocation,
            page: 1,
            pages,
        };
        assert_eq!(encoded(&free), [5, 3, 1, 0xac, 2]);
        let contiguous = Request::Contiguous {
            pages,
            align: 9,
            area: 1,
        };
        assert_eq!(encoded(&contiguous), [6, 0xac, 2, 9, 1]);
        assert_eq!(encoded(&Request::Metrics), [7]);
        assert_eq!(encoded(&Request::Account { client: 2 }), [8, 2]);
    }

    #[test]
    fn replies_keep_their_bytes() {
        let allocated = Reply::Allocated {
            allocation: Allocation(3),
            folios: 2,
        };
        assert_eq!(reply(allocated), [0, 0, 3, 2]);
        let folio = Folio {
            offset_pages: 512,
            order: 21,
        };
        let folios = Reply::Folios([Some(folio), None, None, None]);
        assert_eq!(reply(folios), [0, 1, 1, 0x80, 4, 21, 0, 0, 0]);
        assert_eq!(reply(Reply::Released), [0, 2]);
        let statistics = Statistics {
            free_bytes: 4096,
            used_bytes: 1,
            largest_order: 12,
            allocations: 1,
        };
        assert_eq!(
            reply(Reply::Statistics(statistics)),
            [0, 3, 0x80, 0x20, 1, 12, 1]
        );
        assert_eq!(reply(Reply::Freed), [0, 4]);
        let mut metrics = Metrics {
            free_pages: 7,
            area_pages: 300,
            area_free_pages: 6,
            moved_pages: 5,
            fragmentation: 1000,
            ..Metrics::default()
        };
        metrics.free_blocks[1] = 2;
        let mut bytes = [0; 33];
        bytes[..2].copy_from_slice(&[0, 5]);
        bytes[3] = 2;
        bytes[26..].copy_from_slice(&[7, 0xac, 2, 6, 5, 0xe8, 7]);
        assert_eq!(reply(Reply::Metrics(metrics)), bytes);
        let account = Account {
            process: 4,
            guest: Some(1),
            used_pages: 5,
            limit_pages: 128,
            refused: 1,
            slowed: 2,
        };
        assert_eq!(
            reply(Reply::Account(Some(account))),
            [0, 6, 1, 4, 1, 1, 5, 0x80, 1, 1, 2]
        );
        assert_eq!(reply(Reply::Account(None)), [0, 6, 0]);
    }

    #[test]
    fn refusals_keep_their_bytes() {
        assert_eq!(refusal(Refusal::TooLittle { free_bytes: 5 }), [1, 0, 5]);
        assert_eq!(refusal(Refusal::Quota { left_bytes: 6 }), [1, 1, 6]);
        assert_eq!(refusal(Refusal::NoSuchAllocation), [1, 2]);
        assert_eq!(refusal(Refusal::TooMany), [1, 3]);
        assert_eq!(refusal(Refusal::NoSuchNode), [1, 4]);
        assert_eq!(refusal(Refusal::Overflow), [1, 5]);
        assert_eq!(refusal(Refusal::Overlap { page: 128 }), [1, 6, 0x80, 1]);
        assert_eq!(refusal(Refusal::TooLarge { max_order: 18 }), [1, 7, 18]);
        assert_eq!(refusal(Refusal::NotAllocated { page: 1 }), [1, 8, 1]);
        assert_eq!(refusal(Refusal::Mapped { page: 2 }), [1, 9, 2]);
        assert_eq!(refusal(Refusal::Busy { page: 3 }), [1, 10, 3]);
        assert_eq!(refusal(Refusal::NoSuchArea), [1, 11]);
        assert_eq!(refusal(Refusal::NoPlace), [1, 12]);
        assert_eq!(refusal(Refusal::NoClient), [1, 13]);
    }

    #[test]
    fn messages_fit_and_travel() {
        let words = api::encode_request::<Mem>(&Request::Statistics).unwrap();
        let request = api::decode_request::<Mem>(words.as_slice());
        assert_eq!(request, Ok(Request::Statistics));
    }

    proptest! {
        #[test]
        fn bytes_and_pages_agree(bytes in 0u64..1 << 46) {
            let pages = Pages::from_bytes(bytes);
            let whole = bytes > 0 && bytes % 4096 == 0 && bytes >> 12 <= u64::from(u32::MAX);
            prop_assert_eq!(pages.map(Pages::bytes), whole.then_some(bytes));
        }
    }

    #[test]
    fn nothing_is_no_number_of_pages() {
        assert!(postcard::from_bytes::<Request>(&[0, 0, 0, 0]).is_err());
    }
}
