//! What is granted: memory that is zero, one's own, and in the pieces that were asked for.

use crate::case::{Case, Failure, Outcome, case, ensure, ensure_equal};
use crate::client::{Client, ONE, Piece};
use crate::contents::{check, check_all, check_zero, write_all};
use crate::{devices, load, refusals};
use alloc::vec::Vec;
use mem_api::{Allocation, Pages, Refusal, Reply, Request};
use rt::Capability;
use rt::abi::Error;

/// Returns every case.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let others = refusals::CASES.iter().chain(load::CASES);
    CASES.iter().chain(others).chain(devices::CASES)
}

/// Checks that pieces cover so many pages, each once.
#[track_caller]
pub fn check_cover(pieces: &[Piece], pages: u32) -> Outcome {
    let mut next = 0;
    for piece in pieces {
        ensure_equal!(piece.folio.offset_pages, next);
        let frame = Capability::own(piece.slot).identify()?;
        ensure_equal!(frame.size, piece.folio.order);
        next += piece.pages();
    }
    ensure_equal!(next, pages);
    Ok(())
}

/// Takes contiguous memory.
#[track_caller]
pub fn contiguous(client: &Client, pages: u32, align: u8) -> Outcome<Allocation> {
    let request = Request::Contiguous {
        pages: Pages::new(pages).unwrap_or(ONE),
        align,
        area: 0,
    };
    match client.get(request)? {
        Reply::Allocated { allocation, .. } => Ok(allocation),
        _ => Err(Failure::of("the answer fits")),
    }
}

/// Gives pages of an allocation back.
#[track_caller]
pub fn free(client: &Client, allocation: Allocation, page: u32, pages: u32) -> Outcome {
    let request = Request::Free {
        allocation,
        page,
        pages: Pages::new(pages).unwrap_or(ONE),
    };
    ensure!(client.get(request)? == Reply::Freed);
    Ok(())
}

/// What is granted.
const CASES: &[Case] = &[
    case("an allocation has each page once", |client| {
        for (pages, start) in [(1, 0), (300, 0), (511, 3), (1024, 512), (777, 0x8_0001)] {
            let allocation = client.allocate(pages, start)?;
            check_cover(&client.collect(allocation)?, pages)?;
            client.release(allocation)?;
            client.drop_frames();
        }
        Ok(())
    }),
    case(
        "folios are as large as their place in the guest allows",
        |client| {
            let allocation = client.allocate(1024 + 1, 512 - 1)?;
            let orders: Vec<u8> = client
                .collect(allocation)?
                .iter()
                .map(|piece| piece.folio.order)
                .collect();
            ensure!(orders == [12, 21, 21]);
            Ok(())
        },
    ),
    case(
        "memory comes zeroed, also where it was somebody's",
        |client| {
            for round in 0..3 {
                let allocation = client.allocate(1500, 1)?;
                let pieces = client.collect(allocation)?;
                pieces.iter().try_for_each(check_zero)?;
                write_all(client, allocation, round)?;
                client.release(allocation)?;
                client.drop_frames();
            }
            Ok(())
        },
    ),
    case("no two allocations have a page in common", |client| {
        let mut all = Vec::new();
        for seed in 0..8 {
            let allocation = client.allocate(100, seed * 7)?;
            write_all(client, allocation, seed)?;
            all.push((allocation, seed));
        }
        all.into_iter()
            .try_for_each(|(allocation, seed)| check_all(client, allocation, seed))
    }),
    case("frames of what was released are gone", |client| {
        let allocation = client.allocate(300, 0)?;
        let pieces = client.collect(allocation)?;
        client.release(allocation)?;
        for piece in pieces {
            let frame = Capability::own(piece.slot).identify();
            ensure!(frame == Err(Error::NoCapability));
        }
        Ok(())
    }),
    case(
        "pages around freed ones stay, with what is in them",
        |client| {
            let allocation = client.allocate(64, 0)?;
            write_all(client, allocation, 5)?;
            free(client, allocation, 10, 20)?;
            ensure_equal!(client.account()?.used_pages, 44);
            client.drop_frames();
            for page in (0..10).chain(30..64) {
                check(&client.find(allocation, page)?, 5)?;
            }
            let pieces = client.collect(allocation)?;
            ensure_equal!(pieces.iter().map(Piece::pages).sum::<u32>(), 44);
            Ok(())
        },
    ),
    case(
        "an allocation of which all pages were freed is none",
        |client| {
            let allocation = client.allocate(8, 0)?;
            free(client, allocation, 4, 4)?;
            free(client, allocation, 0, 4)?;
            client.forget(allocation);
            ensure_equal!(client.account()?.used_pages, 0);
            refusals::no_such_allocation(client, allocation)
        },
    ),
    case("a client gets all of its limit, and no more", |client| {
        let limit = u32::try_from(client.account()?.limit_pages).unwrap_or(0);
        let allocation = client.allocate(limit, 0)?;
        refusals::over_the_limit(client, 1, 0)?;
        free(client, allocation, 0, 1)?;
        refusals::over_the_limit(client, 2, 1)?;
        client.allocate(1, 0).map(drop)
    }),
    case(
        "a contiguous piece is aligned, zeroed and of its size",
        |client| {
            for (pages, align) in [(1, 0), (100, 5), (512, 9), (1000, 9)] {
                let allocation = contiguous(client, pages, align)?;
                let pieces = client.collect(allocation)?;
                check_cover(&pieces, pages)?;
                pieces.iter().try_for_each(check_zero)?;
                write_all(client, allocation, 9)?;
                client.release(allocation)?;
                client.drop_frames();
            }
            Ok(())
        },
    ),
    case(
        "what is moved out of an area is whole at its new place",
        moves,
    ),
];

/// Pages of the pieces that the whole area is taken in.
pub const PIECE: u32 = 512;

/// Takes a whole area, piece by piece; returns how many there were. Behind the last one a single page
/// is refused, without any effect.
#[track_caller]
fn take_area(client: &Client) -> Outcome<u64> {
    let pages = client.metrics()?.area_pages;
    let count = pages / u64::from(PIECE);
    for _ in 0..count {
        contiguous(client, PIECE, 9)?;
    }
    ensure_equal!(client.metrics()?.area_free_pages, 0);
    client.refuses(refusals::contiguous_request(1, 0, 0), Refusal::NoPlace)?;
    Ok(count)
}

/// Contiguous requests for a whole area move what lies there.
fn moves(client: &Client) -> Outcome {
    let before = client.metrics()?;
    // While there is other memory an area is not lent.
    let others = before.free_pages - before.area_free_pages;
    let others = client.allocate(u32::try_from(others).unwrap_or(0), 0)?;
    let large = client.allocate(2048, 0)?;
    write_all(client, large, 77)?;
    client.drop_frames();
    let small = client.allocate(301, 1)?;
    write_all(client, small, 78)?;
    client.drop_frames();
    client.release(others)?;
    let lent = client.metrics()?;
    let lent = lent.area_pages - lent.area_free_pages;
    ensure!(lent >= 2048 + 301);
    take_area(client)?;
    ensure!(client.metrics()?.moved_pages - before.moved_pages >= lent);
    check_all(client, large, 77)?;
    client.drop_frames();
    check_all(client, small, 78)
}
