//! What is refused: with the documented refusal, and without any effect.

use crate::case::{Case, Failure, Outcome, case, ensure, ensure_equal};
use crate::cases::free;
use crate::client::{Client, ONE, allocate};
use mem_api::{Allocation, Mem, Pages, Refusal, Request};
use rt::Outgoing;
use rt::api::envelope::open_reply;
use rt::api::{Protocol, Refused};

/// An allocation that nobody has.
const NOBODYS: Allocation = Allocation(4095);
/// The most allocations of a client.
const MAX_ALLOCATIONS: usize = 64;

/// Checks that an allocation is refused that the limit does not allow.
#[track_caller]
pub fn over_the_limit(client: &Client, pages: u32, left: u64) -> Outcome {
    let refused = client.account()?.refused;
    let left_bytes = left << 12;
    client.refuses(allocate(pages, 1 << 20), Refusal::Quota { left_bytes })?;
    ensure_equal!(client.account()?.refused, refused + 1);
    Ok(())
}

/// Checks that whatever is asked of an allocation is refused, as there is none.
#[track_caller]
pub fn no_such_allocation(client: &Client, allocation: Allocation) -> Outcome {
    let page = 0;
    for request in [
        Request::Collect {
            allocation,
            first: 0,
        },
        Request::Find { allocation, page },
        Request::Release { allocation },
        free_request(allocation, page, 1),
        Request::Pin {
            allocation,
            page,
            pages: ONE,
        },
        Request::Unpin {
            allocation,
            page,
            pages: ONE,
            wrote: true,
        },
        Request::Scatter {
            allocation,
            offset: 0,
            length: 1,
            entries: 1,
        },
        Request::Readable {
            allocation,
            offset: 0,
            length: 1,
        },
        Request::ReportDefect { allocation, page },
        Request::Inspect { allocation, page },
    ] {
        client.refuses(request, Refusal::NoSuchAllocation)?;
    }
    Ok(())
}

/// Returns the request to free pages.
pub fn free_request(allocation: Allocation, page: u32, pages: u32) -> Request {
    Request::Free {
        allocation,
        page,
        pages: Pages::new(pages).unwrap_or(ONE),
    }
}

/// Returns a contiguous request.
pub const fn contiguous_request(pages: u32, align: u8, area: u8) -> Request {
    Request::Contiguous {
        pages: match Pages::new(pages) {
            Some(pages) => pages,
            None => ONE,
        },
        align,
        area,
    }
}

/// Sends words that are no message of the protocol, and returns what the server says to that.
fn raw(client: &Client, label: u16, words: &[u64]) -> Outcome<Option<Refused>> {
    let answer = client
        .server
        .call(&Outgoing::new(label).with_words(words))?;
    let mut buffer = [0; rt::abi::message::MAX_WORDS];
    let words = answer.copy_words(&mut buffer);
    Ok(open_reply::<Mem>(answer.label(), words).err())
}

/// What is refused.
pub const CASES: &[Case] = &[
    case("nobody's allocation is refused", |client| {
        client.allocate(1, 0)?;
        no_such_allocation(client, NOBODYS)
    }),
    case("what was released is refused", |client| {
        let allocation = client.allocate(16, 0)?;
        client.release(allocation)?;
        no_such_allocation(client, allocation)
    }),
    case("pages that were freed are refused", |client| {
        let allocation = client.allocate(64, 0)?;
        free(client, allocation, 8, 8)?;
        let page = 8;
        let refusal = Refusal::NotAllocated { page };
        client.refuses(Request::Find { allocation, page }, refusal)?;
        client.refuses(free_request(allocation, 8, 8), refusal)?;
        client.refuses(free_request(allocation, 0, 64), refusal)
    }),
    case("pages behind an allocation are refused", |client| {
        let allocation = client.allocate(64, 0)?;
        let page = 64;
        let find = Request::Find { allocation, page };
        client.refuses(find, Refusal::NotAllocated { page })?;
        client.refuses(free_request(allocation, 60, 5), Refusal::Overflow)?;
        let far = free_request(allocation, u32::MAX, u32::MAX);
        client.refuses(far, Refusal::Overflow)?;
        let collect = Request::Collect {
            allocation,
            first: u32::MAX,
        };
        client.refuses(collect, Refusal::NoSuchAllocation)
    }),
    case(
        "a place in the guest that wraps around is refused",
        |client| {
            client.refuses(allocate(2, u64::MAX), Refusal::Overflow)?;
            client.refuses(allocate(1, u64::MAX >> 1), Refusal::Overflow)
        },
    ),
    case("a node that is none is refused", |client| {
        let request = Request::Allocate {
            pages: ONE,
            start_page: 0,
            node: 255,
        };
        client.refuses(request, Refusal::NoSuchNode)
    }),
    case("more than the limit is refused", |client| {
        let limit = client.account()?.limit_pages;
        let more = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        over_the_limit(client, more, limit)?;
        over_the_limit(client, u32::MAX, limit)
    }),
    case("an area that is none is refused", |client| {
        client.refuses(contiguous_request(1, 0, 1), Refusal::NoSuchArea)?;
        client.refuses(contiguous_request(1, 0, 255), Refusal::NoSuchArea)
    }),
    case(
        "an alignment above the largest folio's is refused",
        |client| {
            for align in [60, 255] {
                match client.ask(contiguous_request(1, align, 0))? {
                    Err(Refusal::TooLarge { max_order }) => ensure!(max_order < align),
                    _ => return Err(Failure::of("the refusal is the documented one")),
                }
            }
            Ok(())
        },
    ),
    case(
        "one allocation more than a client may have is refused",
        |client| {
            for page in 0..MAX_ALLOCATIONS as u64 {
                client.allocate(1, page)?;
            }
            client.refuses(allocate(1, 100), Refusal::TooMany)
        },
    ),
    case("what is no message of the protocol is refused", |client| {
        let version = Mem::VERSION;
        let malformed = Some(Refused::Malformed);
        ensure!(raw(client, version, &[])? == malformed);
        ensure!(raw(client, version, &[u64::MAX; 120])? == malformed);
        // Zeros are the request for an allocation of 0 pages.
        ensure!(raw(client, version, &[0])? == malformed);
        let other = Some(Refused::WrongVersion(version));
        ensure!(raw(client, version + 1, &[0])? == other);
        Ok(())
    }),
];
