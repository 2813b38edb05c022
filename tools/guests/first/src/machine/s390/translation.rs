//! Dynamic address translation: a space of two segments, of which the first is as it is in memory.

use core::arch::asm;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use s390_regs::{Asce, PageEntry, SegmentEntry, TableType, lowcore};

use super::laws::{catch, expect};
use super::prefix;
use crate::machine::{Machine, This};
use crate::report::{Verdict, equal};

/// Code of the exception of a page that has no translation.
pub const PAGE_TRANSLATION: u64 = 0x11;
/// Bytes of a page.
const PAGE: u64 = 4096;
/// First address of the second segment, which one page is in, and nothing else.
const SECOND: u64 = 1 << 20;
/// How often an access is tried.
const ROUNDS: u64 = 100;

/// A segment table of 512 entries, two page tables and the page.
#[repr(C, align(4096))]
struct Tables {
    segments: [AtomicU64; 512],
    pages: [[AtomicU64; 256]; 2],
    page: [AtomicU64; 512],
}

/// The tables.
static TABLES: Tables = Tables {
    segments: [const { AtomicU64::new(SegmentEntry::EMPTY.into_bits()) }; 512],
    pages: [const { [const { AtomicU64::new(PageEntry::EMPTY.into_bits()) }; 256] }; 2],
    page: [const { AtomicU64::new(0) }; 512],
};

/// Returns the address of some words.
fn address(words: &[AtomicU64]) -> u64 {
    words.as_ptr().addr() as u64
}

/// Fills the tables and makes them the primary space.
fn enter() {
    for (entry, table) in TABLES.segments.iter().zip(&TABLES.pages) {
        let bits = SegmentEntry::page_table_at(address(table)).into_bits();
        entry.store(bits, Relaxed);
    }
    let [first, second] = &TABLES.pages;
    for (frame, entry) in (0..).zip(first) {
        entry.store(PageEntry::leaf(frame, true, true).into_bits(), Relaxed);
    }
    let frame = address(&TABLES.page) / PAGE;
    second[0].store(PageEntry::leaf(frame, true, true).into_bits(), Relaxed);
    let space = Asce::new()
        .with_frame(address(&TABLES.segments) / PAGE)
        .with_root(TableType::Segment)
        .into_bits();
    // SAFETY: the primary space is used where translation is on, below alone.
    unsafe { asm!("lctlg %c1, %c1, 0({})", in(reg_addr) &raw const space, options(nostack)) };
}

/// Exchanges the word at an address of the space with translation on; returns what was there.
fn exchange(at: u64, value: u64) -> u64 {
    let mut old = 0_u8;
    let found: u64;
    // SAFETY: code, stack and `old` are in the first segment, whose addresses mean the same with and
    // without translation, and interruptions are masked; what the access provokes is caught.
    unsafe {
        asm!("stosm 0({old}), 4", "lg {found}, 0({at})", "stg {value}, 0({at})", "stnsm 0({old}), 0xfb",
             old = in(reg_addr) &raw mut old, at = in(reg_addr) at, value = in(reg) value,
             found = out(reg) found, options(nostack));
    }
    found
}

/// Accesses the page through the tables and without them.
pub fn access() -> Verdict {
    enter();
    This::mask();
    let tried = (1..=ROUNDS).try_for_each(|round| {
        let place = &TABLES.page[round as usize];
        place.store(!round, Relaxed);
        equal("loaded", !round, exchange(SECOND + 8 * round, round))?;
        equal("stored", round, place.load(Relaxed)).map(|_| ())
    });
    This::unmask();
    tried.map(|()| ROUNDS)
}

/// Accesses a page that is not there.
pub fn fault() -> Verdict {
    enter();
    let (absent, mut old, mut at) = (SECOND + PAGE, 0_u8, 0_u64);
    This::mask();
    let found = catch(|| {
        // SAFETY: as in `exchange`; the load is an exception, which is caught.
        unsafe {
            asm!("larl {at}, 2f", "stosm 0({old}), 4", "2: lg {value}, 8({absent})", "stnsm 0({old}), 0xfb",
                 at = out(reg) at, old = in(reg_addr) &raw mut old, absent = in(reg_addr) absent,
                 value = out(reg) _, options(nostack));
        }
    });
    This::unmask();
    expect(found, PAGE_TRANSLATION, at)?;
    let page = prefix::load(lowcore::TRANSLATION_EXCEPTION) & !(PAGE - 1);
    equal("address", absent, page)
}
