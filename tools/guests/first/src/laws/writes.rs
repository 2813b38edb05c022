//! Both processors write to all memory all the time, and look whether what they wrote last is there:
//! `writes=SECONDS` on the command line asks for this, and for nothing else.
//!
//! Every round of a processor writes another number to a word of its own in every page, having found
//! that of the round before there. A write that is lost is missed in the next round.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU64};

use crate::machine::{Machine, This};
use crate::report::{Verdict, hold};
use crate::second::{self, Task};
use crate::waiting;

/// Words of a page.
const PAGE: usize = 512;
/// Words from that of the one processor to that of the other: two lines of a cache.
const APART: usize = 32;

/// How long.
static SECONDS: AtomicU8 = AtomicU8::new(0);

/// Writes on both processors for so many seconds.
pub fn for_seconds(seconds: u8) -> Verdict {
    SECONDS.store(seconds, SeqCst);
    second::begin(Task::Write)?;
    let rounds = write_all()?;
    second::finish()?;
    Ok(rounds)
}

/// Writes on this processor; returns how many rounds there were.
pub fn write_all() -> Verdict {
    let end = waiting::after(1000 * u64::from(SECONDS.load(SeqCst)));
    each_page(|word| {
        word.store(0, Relaxed);
        Ok(1)
    })?;
    let mut round = 0;
    while This::now() < end {
        each_page(|word| {
            let found = word.load(Relaxed);
            word.store(round + 1, Relaxed);
            hold(found == round, "a write was lost", round, found)
        })?;
        round += 1;
    }
    hold(round > 10, "there was hardly any round", 11, round)?;
    Ok(round)
}

/// Does something with the word of this processor in every page; stops where something is wrong.
fn each_page(each: impl Fn(&AtomicU64) -> Verdict) -> Verdict {
    let own = APART * This::index();
    let mut verdict = Ok(0);
    This::for_each_memory(&mut |memory| {
        for page in memory.chunks_exact(PAGE) {
            if verdict.is_ok() {
                verdict = each(&page[own]);
            }
        }
    });
    verdict
}
