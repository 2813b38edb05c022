//! Many requests in a row, at random from a seed, and what is in the memory meanwhile.

use crate::case::{Case, Failure, Outcome, case, ensure_equal};
use crate::cases::contiguous;
use crate::client::Client;
use crate::contents::{check, write_all};
use alloc::vec::Vec;
use mem_api::{Allocation, Pages, Refusal, Reply, Request};

/// Requests of the load.
const ROUNDS: u64 = 400;
/// Where the numbers come from.
const SEED: u64 = 0x5eed_0005;
/// Allocations at a time.
const MOST: usize = 24;

/// The load.
pub const CASES: &[Case] = &[case(
    "many requests leave nobody without what is his",
    |client| {
        let before = client.metrics()?;
        let mut random = Random(SEED);
        let mut has = Vec::new();
        for round in 0..ROUNDS {
            step(client, &mut random, (&mut has, round))?;
            client.drop_frames();
        }
        for one in has {
            one.check(client)?;
            client.release(one.allocation)?;
            client.drop_frames();
        }
        let after = client.metrics()?;
        ensure_equal!(after.free_pages, before.free_pages);
        ensure_equal!(after.area_free_pages, before.area_free_pages);
        Ok(())
    },
)];

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    /// Returns a number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// An allocation, and what has to be in it.
struct Has {
    allocation: Allocation,
    seed: u64,
    pages: u32,
    /// The pages that were freed.
    freed: Vec<core::ops::Range<u32>>,
}

impl Has {
    /// Returns whether a page is still there.
    fn has(&self, page: u32) -> bool {
        !self.freed.iter().any(|range| range.contains(&page))
    }

    /// Checks what is in it.
    fn check(&self, client: &Client) -> Outcome {
        let pieces = client.collect(self.allocation)?;
        let mut pages = 0;
        for piece in &pieces {
            check(piece, self.seed)?;
            pages += piece.pages();
        }
        let left = (0..self.pages).filter(|page| self.has(*page)).count();
        ensure_equal!(pages, left);
        Ok(())
    }

    /// Frees some pages, but not the first one.
    fn free(&mut self, client: &Client, random: &mut Random) -> Outcome {
        if self.pages < 3 {
            return Ok(());
        }
        let page = 1 + random.below(u64::from(self.pages) - 1) as u32;
        let count = 1 + random.below(u64::from(self.pages - page)) as u32;
        let range = page..page + count;
        let Some(pages) = Pages::new(count) else {
            return Ok(());
        };
        let allocation = self.allocation;
        let request = Request::Free {
            allocation,
            page,
            pages,
        };
        let first_gone = range.clone().find(|page| !self.has(*page));
        match (client.ask(request)?, first_gone) {
            (Ok(Reply::Freed), None) => self.freed.push(range),
            (Err(Refusal::NotAllocated { page }), Some(gone)) if page == gone => {}
            _ => return Err(Failure::of("pages are freed once")),
        }
        Ok(())
    }
}

/// Makes one request, of what there is.
fn step(client: &Client, random: &mut Random, (has, round): (&mut Vec<Has>, u64)) -> Outcome {
    let choice = random.below(8);
    if has.is_empty() || (choice < 4 && has.len() < MOST) {
        let most = 1 << random.below(8);
        let pages = 1 + random.below(most) as u32;
        let allocation = if choice == 0 {
            contiguous(client, pages, 0)?
        } else {
            client.allocate(pages, random.below(1024))?
        };
        write_all(client, allocation, round)?;
        let freed = Vec::new();
        has.push(Has {
            allocation,
            seed: round,
            pages,
            freed,
        });
        return Ok(());
    }
    let index = random.below(has.len() as u64) as usize;
    if choice == 7 {
        let one = has.swap_remove(index);
        one.check(client)?;
        return client.release(one.allocation);
    }
    has[index].free(client, random)
}
