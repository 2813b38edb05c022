//! Memory for devices: pinned, told of in contiguous entries, and readable up to a defect.

use crate::case::{Case, Failure, Outcome, case, ensure, ensure_equal};
use crate::cases::{PIECE, contiguous, free};
use crate::client::{Client, ONE};
use crate::contents::{check_all, write_all};
use crate::refusals::{contiguous_request, free_request};
use alloc::vec::Vec;
use mem_api::{Allocation, Entry, FolioState, Pages, Refusal, Reply, Request};

/// Bytes that the manifest lets the suite have pinned.
const PINS: u64 = 4 << 20;
/// Bytes of a page.
const PAGE: u64 = 4096;
/// The most pins of a client.
const MAX_PINNINGS: u32 = 64;
/// The most defects that a client can report.
const MAX_DEFECTS: u32 = 16;

/// Returns the request to pin pages.
fn pin(allocation: Allocation, page: u32, pages: u32) -> Request {
    Request::Pin {
        allocation,
        page,
        pages: Pages::new(pages).unwrap_or(ONE),
    }
}

/// Returns the request to unpin pages.
fn unpin(allocation: Allocation, page: u32, pages: u32, wrote: bool) -> Request {
    Request::Unpin {
        allocation,
        page,
        pages: Pages::new(pages).unwrap_or(ONE),
        wrote,
    }
}

/// Returns the request for entries.
const fn scatter(allocation: Allocation, (offset, length): (u64, u64), entries: u8) -> Request {
    Request::Scatter {
        allocation,
        offset,
        length,
        entries,
    }
}

/// Returns the question how much can be read.
const fn readable(allocation: Allocation, offset: u64, length: u64) -> Request {
    Request::Readable {
        allocation,
        offset,
        length,
    }
}

/// Returns the report of a defect.
const fn defect(allocation: Allocation, page: u32) -> Request {
    Request::ReportDefect { allocation, page }
}

/// Makes a request that has to be granted with this answer.
#[track_caller]
fn grants(client: &Client, request: Request, expected: Reply) -> Outcome {
    ensure!(client.get(request)? == expected);
    Ok(())
}

/// Returns the entries of bytes.
#[track_caller]
fn entries(client: &Client, request: Request) -> Outcome<Vec<Entry>> {
    match client.get(request)? {
        Reply::Scatter(entries) => Ok(entries.into_iter().flatten().collect()),
        _ => Err(Failure::of("the answer fits")),
    }
}

/// Returns what is known of a folio.
#[track_caller]
fn inspect(client: &Client, allocation: Allocation, page: u32) -> Outcome<FolioState> {
    match client.get(Request::Inspect { allocation, page })? {
        Reply::Inspected(state) => Ok(state),
        _ => Err(Failure::of("the answer fits")),
    }
}

/// Lets an allocation of 64 pages lie in the area: there, and nowhere else, is room for it.
#[track_caller]
fn in_the_area(client: &Client) -> Outcome<Allocation> {
    let metrics = client.metrics()?;
    let others = metrics.free_pages - metrics.area_free_pages;
    let others = client.allocate(u32::try_from(others).unwrap_or(0), 0)?;
    let allocation = client.allocate(64, 0)?;
    client.release(others)?;
    let lent = client.metrics()?;
    ensure_equal!(lent.area_pages - lent.area_free_pages, 64);
    Ok(allocation)
}

/// What is pinned is not moved, and what is not pinned any more is.
fn pinned_stays(client: &Client) -> Outcome {
    let allocation = in_the_area(client)?;
    write_all(client, allocation, 91)?;
    client.drop_frames();
    grants(client, pin(allocation, 8, 1), Reply::Pinned)?;
    let bytes = (8 * PAGE, PAGE);
    let before = entries(client, scatter(allocation, bytes, 1))?;
    let metrics = client.metrics()?;
    // All of the area is to be had but the piece that the page is in.
    for _ in 1..metrics.area_pages / u64::from(PIECE) {
        contiguous(client, PIECE, 9)?;
    }
    client.refuses(contiguous_request(PIECE, 9, 0), Refusal::NoPlace)?;
    ensure!(entries(client, scatter(allocation, bytes, 1))? == before);
    ensure_equal!(client.metrics()?.moved_pages, metrics.moved_pages);
    check_all(client, allocation, 91)?;
    client.drop_frames();
    client.refuses(Request::Release { allocation }, Refusal::Busy { page: 0 })?;
    grants(client, unpin(allocation, 8, 1, false), Reply::Unpinned)?;
    contiguous(client, PIECE, 9)?;
    ensure_equal!(client.metrics()?.moved_pages, metrics.moved_pages + 64);
    check_all(client, allocation, 91)
}

/// Entries have all bytes, in order, and one begins only where the one before cannot go on.
fn entries_are_contiguous(client: &Client) -> Outcome {
    for (pages, start) in [(1, 0), (64, 0), (63, 1), (40, 3)] {
        let allocation = client.allocate(pages, start)?;
        let bytes = u64::from(pages) * PAGE;
        grants(client, pin(allocation, 0, pages), Reply::Pinned)?;
        for range in [(0, bytes), (100, bytes - 101), (bytes - 1, 1)] {
            let list = entries(client, scatter(allocation, range, 8))?;
            ensure_equal!(list.iter().map(|entry| entry.length).sum::<u64>(), range.1);
            ensure_equal!(list[0].address % PAGE, range.0 % PAGE);
            for pair in list.windows(2) {
                ensure!(pair[0].address + pair[0].length != pair[1].address);
                ensure_equal!(pair[1].address % PAGE, 0);
            }
            let Some(fewer) = list.len().checked_sub(1) else {
                return Err(Failure::of("there is an entry"));
            };
            let length: u64 = list[..fewer].iter().map(|entry| entry.length).sum();
            let page = u32::try_from((range.0 + length) / PAGE).unwrap_or(u32::MAX);
            let fewer = u8::try_from(fewer).unwrap_or(0);
            let refused = Refusal::NonContiguous { page };
            client.refuses(scatter(allocation, range, fewer), refused)?;
        }
        grants(client, unpin(allocation, 0, pages, false), Reply::Unpinned)?;
        client.release(allocation)?;
    }
    Ok(())
}

/// What was taken contiguous is one entry.
fn contiguous_is_one_entry(client: &Client) -> Outcome {
    let allocation = contiguous(client, 777, 0)?;
    grants(client, pin(allocation, 0, 777), Reply::Pinned)?;
    let list = entries(client, scatter(allocation, (0, 777 * PAGE), 1))?;
    ensure_equal!(list.len(), 1);
    grants(client, unpin(allocation, 0, 777, true), Reply::Unpinned)
}

/// Each pin counts, and who says that the device wrote makes the folio dirty.
fn pins_count(client: &Client) -> Outcome {
    let allocation = client.allocate(64, 0)?;
    grants(client, pin(allocation, 0, 8), Reply::Pinned)?;
    grants(client, pin(allocation, 4, 8), Reply::Pinned)?;
    ensure_equal!(inspect(client, allocation, 63)?.pins, 16);
    grants(client, unpin(allocation, 0, 8, false), Reply::Unpinned)?;
    let not_pinned = Refusal::NotPinned { page: 0 };
    client.refuses(unpin(allocation, 0, 8, false), not_pinned)?;
    let state = inspect(client, allocation, 0)?;
    ensure!(state.pins == 8 && !state.is_dirty);
    grants(client, unpin(allocation, 4, 8, true), Reply::Unpinned)?;
    let state = inspect(client, allocation, 0)?;
    ensure!(state.pins == 0 && state.is_dirty);
    Ok(())
}

/// What is wrong about a pin is refused.
fn bad_pins(client: &Client) -> Outcome {
    let allocation = client.allocate(2048, 0)?;
    free(client, allocation, 100, 1)?;
    grants(client, pin(allocation, 0, 4), Reply::Pinned)?;
    let left_bytes = PINS - 4 * PAGE;
    let far = u32::MAX;
    for (request, refusal) in [
        (pin(allocation, 2047, 2), Refusal::Overflow),
        (pin(allocation, far, far), Refusal::Overflow),
        (pin(allocation, 0, 101), Refusal::NotAllocated { page: 100 }),
        (pin(allocation, 200, 1024), Refusal::PinQuota { left_bytes }),
        (
            unpin(allocation, 0, 3, true),
            Refusal::NotPinned { page: 0 },
        ),
        (
            unpin(allocation, 1, 3, true),
            Refusal::NotPinned { page: 1 },
        ),
        (
            unpin(allocation, far, far, true),
            Refusal::NotPinned { page: far },
        ),
        (free_request(allocation, 3, 1), Refusal::Busy { page: 0 }),
        (Request::Release { allocation }, Refusal::Busy { page: 0 }),
    ] {
        client.refuses(request, refusal)?;
    }
    for _ in 1..MAX_PINNINGS {
        grants(client, pin(allocation, 300, 1), Reply::Pinned)?;
    }
    client.refuses(pin(allocation, 300, 1), Refusal::TooMany)?;
    for _ in 1..MAX_PINNINGS {
        grants(client, unpin(allocation, 300, 1, false), Reply::Unpinned)?;
    }
    grants(client, unpin(allocation, 0, 4, false), Reply::Unpinned)
}

/// What is wrong about bytes of an allocation is refused.
fn bad_bytes(client: &Client) -> Outcome {
    let allocation = client.allocate(16, 0)?;
    free(client, allocation, 8, 1)?;
    grants(client, pin(allocation, 0, 2), Reply::Pinned)?;
    for (request, refusal) in [
        (scatter(allocation, (0, 0), 8), Refusal::ZeroLength),
        (scatter(allocation, (1, u64::MAX), 8), Refusal::Overflow),
        (scatter(allocation, (16 * PAGE, 1), 8), Refusal::Overflow),
        (
            scatter(allocation, (PAGE, 2 * PAGE), 8),
            Refusal::NotPinned { page: 1 },
        ),
        (
            scatter(allocation, (8 * PAGE, 1), 8),
            Refusal::NotAllocated { page: 8 },
        ),
        (
            scatter(allocation, (0, 1), 0),
            Refusal::NonContiguous { page: 0 },
        ),
        (readable(allocation, 0, 0), Refusal::ZeroLength),
        (readable(allocation, 1, u64::MAX), Refusal::Overflow),
        (readable(allocation, 15 * PAGE, PAGE + 1), Refusal::Overflow),
        (
            readable(allocation, 8 * PAGE, 1),
            Refusal::NotAllocated { page: 8 },
        ),
        (defect(allocation, 16), Refusal::Overflow),
        (defect(allocation, 8), Refusal::NotAllocated { page: 8 }),
        (
            Request::Inspect {
                allocation,
                page: 16,
            },
            Refusal::NotAllocated { page: 16 },
        ),
    ] {
        client.refuses(request, refusal)?;
    }
    grants(
        client,
        readable(allocation, 0, 16 * PAGE),
        Reply::Readable(8 * PAGE),
    )?;
    grants(client, unpin(allocation, 0, 2, false), Reply::Unpinned)
}

/// A registered size is given as one folio, and another one is not.
fn sizes(client: &Client) -> Outcome {
    let folio = |order, start_page| Request::AllocateFolio {
        order,
        start_page,
        node: 0,
    };
    client.refuses(folio(9, 0), Refusal::NoSuchSize)?;
    for order in [19, 64, 255] {
        for request in [Request::RegisterSize { order }, folio(order, 0)] {
            match client.ask(request)? {
                Err(Refusal::TooLarge { max_order }) => ensure!(max_order < order),
                _ => return Err(Failure::of("the refusal is the documented one")),
            }
        }
    }
    grants(
        client,
        Request::RegisterSize { order: 9 },
        Reply::Registered,
    )?;
    client.refuses(folio(9, 256), Refusal::Misaligned)?;
    client.refuses(folio(8, 0), Refusal::NoSuchSize)?;
    let Reply::Allocated { allocation, folios } = client.get(folio(9, 512))? else {
        return Err(Failure::of("the answer fits"));
    };
    ensure_equal!(folios, 1);
    let state = inspect(client, allocation, 511)?;
    ensure!(state.folio.order == 21 && state.folio.offset_pages == 0);
    Ok(())
}

/// What is reported as defect can be read up to, is not pinned, and nobody gets it again.
fn defects(client: &Client) -> Outcome {
    let allocation = client.allocate(64, 0)?;
    let free = client.metrics()?.free_pages;
    grants(client, defect(allocation, 40), Reply::Reported)?;
    grants(client, defect(allocation, 40), Reply::Reported)?;
    ensure!(inspect(client, allocation, 0)?.is_damaged);
    let can_read = |offset: u64, length, bytes| {
        grants(
            client,
            readable(allocation, offset, length),
            Reply::Readable(bytes),
        )
    };
    can_read(5, 64 * PAGE - 5, 40 * PAGE - 5)?;
    can_read(40 * PAGE, 1, 0)?;
    can_read(41 * PAGE + 7, PAGE, PAGE)?;
    let refused = Refusal::Defect { page: 40 };
    client.refuses(pin(allocation, 33, 8), refused)?;
    for page in 1..MAX_DEFECTS {
        grants(client, defect(allocation, page), Reply::Reported)?;
    }
    client.refuses(defect(allocation, 50), Refusal::TooManyDefects)?;
    client.release(allocation)?;
    ensure_equal!(
        client.metrics()?.free_pages,
        free + 64 - u64::from(MAX_DEFECTS)
    );
    Ok(())
}

/// Memory for devices.
pub const CASES: &[Case] = &[
    case("what is pinned stays where it is", pinned_stays),
    case(
        "entries for a device are contiguous",
        entries_are_contiguous,
    ),
    case("a contiguous piece is one entry", contiguous_is_one_entry),
    case("a pin counts until it is taken back", pins_count),
    case("a bad pin is refused", bad_pins),
    case("bad ranges of bytes are refused", bad_bytes),
    case("a registered size is one folio", sizes),
    // The last one: what is defect stays so.
    case("what is defect is not given again", defects),
];
