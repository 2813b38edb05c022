//! The laws of a plan, against bitmaps of pages.
#![allow(missing_docs)]

use mem::plan::{MAX_ORDER, MIN_ORDER};
use mem::{Folio, PlanError, Range, plan};
use proptest::prelude::*;

const PAGE: u64 = 4096;
const RAM: u64 = 0x8000_0000;

fn pages(base: u64, count: u64) -> Range {
    Range {
        base: base * PAGE,
        bytes: count * PAGE,
    }
}

/// Disjoint ranges below 4096 pages, as gaps and lengths.
fn ranges() -> impl Strategy<Value = Vec<Range>> {
    proptest::collection::vec((1u64..40, 1u64..400), 0..10).prop_map(|list| {
        let mut at = 0;
        let mut ranges = Vec::new();
        for (gap, length) in list {
            ranges.push(pages(at + gap, length));
            at += gap + length;
        }
        ranges
    })
}

/// Which pages are free, as a bitmap.
struct Bitmap(Vec<bool>);

impl Bitmap {
    fn new(ranges: &[Range]) -> Self {
        let mut map = vec![false; 8192];
        for range in ranges {
            for page in range.base / PAGE..(range.base + range.bytes) / PAGE {
                map[page as usize] = true;
            }
        }
        Self(map)
    }

    fn has_block(&self, order: u8) -> bool {
        let size = 1usize << (order - MIN_ORDER);
        self.0
            .chunks_exact(size)
            .any(|block| block.iter().all(|&free| free))
    }

    fn take(&mut self, folio: Folio) {
        for page in folio.base / PAGE..(folio.base + folio.bytes()) / PAGE {
            assert!(
                std::mem::take(&mut self.0[page as usize]),
                "taken twice, or never free"
            );
        }
    }
}

proptest! {
    #[test]
    fn folios_cover_exactly_without_overlap_and_each_is_the_largest_that_fits(
        ranges in ranges(), count in 1u64..1500, start in 0u64..64,
    ) {
        let (start, bytes) = (RAM + start * PAGE, count * PAGE);
        let mut free = Bitmap::new(&ranges);
        let available = free.0.iter().filter(|&&free| free).count() as u64 * PAGE;
        match plan(&ranges, start, bytes) {
            Err(error) => {
                prop_assert!(available < bytes);
                prop_assert_eq!(error, PlanError::TooLittle { free: available });
            }
            Ok(plan) => {
                let mut offset = 0;
                for folio in plan.folios {
                    prop_assert_eq!(folio.offset, offset, "a gap or an overlap in the guest");
                    prop_assert_eq!(folio.base % folio.bytes(), 0);
                    prop_assert_eq!((start + offset) % folio.bytes(), 0);
                    for order in folio.order + 1..=MAX_ORDER.min(24) {
                        let size = 1u64 << order;
                        let allowed = (start + offset) % size == 0 && offset + size <= bytes;
                        prop_assert!(!allowed || !free.has_block(order), "{order} would fit");
                    }
                    free.take(folio);
                    offset += folio.bytes();
                }
                prop_assert_eq!(offset, bytes);
                prop_assert_eq!(Bitmap::new(&plan.rest).0, free.0, "the rest is what was not taken");
            }
        }
    }

    #[test]
    fn no_input_panics(
        raw in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..6),
        start: u64, count in 0u64..1 << 16,
    ) {
        let page = |value: u64, round: bool| if round { value & !(PAGE - 1) } else { value };
        let ranges: Vec<Range> = raw
            .into_iter()
            .map(|(base, bytes, round)| Range { base: page(base, round), bytes: page(bytes, round) })
            .collect();
        let _ = plan(&ranges, page(start, true), count * PAGE);
    }
}

#[test]
fn a_guest_gets_gigabytes_where_there_are_some() {
    let gib = 1 << 30;
    let host = [Range {
        base: 0x8020_0000,
        bytes: 4 * gib,
    }];
    let plan = plan(&host, RAM, 2 * gib).unwrap();
    let orders: Vec<u8> = plan.folios.iter().map(|folio| folio.order).collect();
    assert_eq!(orders, [30, 30]);
    assert_eq!(plan.folios[0].base, 0xc000_0000);
}

#[test]
fn no_folio_spans_two_ranges_even_where_they_touch() {
    let host = [pages(0, 1), pages(1, 3)];
    let plan = plan(&host, RAM, 2 * PAGE).unwrap();
    let taken: Vec<_> = plan
        .folios
        .iter()
        .map(|folio| (folio.base / PAGE, folio.order))
        .collect();
    assert_eq!(
        taken,
        [(2, 13)],
        "the first aligned pair of the second range"
    );
}

#[test]
fn small_ranges_are_used_before_large_ones_are_broken() {
    let host = [pages(0, 1024), pages(2048, 1)];
    let plan = plan(&host, RAM, PAGE).unwrap();
    assert_eq!(plan.folios[0].base, 2048 * PAGE);
}

#[test]
fn what_is_not_made_of_pages_is_refused() {
    let host = [pages(0, 16)];
    for (start, bytes) in [(RAM, 0), (RAM, 100), (RAM + 1, PAGE)] {
        assert_eq!(plan(&host, start, bytes), Err(PlanError::NotPages));
    }
}

#[test]
fn bad_ranges_are_named() {
    let bad = |ranges: &[Range], index: usize| {
        assert_eq!(
            plan(ranges, RAM, PAGE),
            Err(PlanError::BadRange(ranges[index]))
        );
    };
    bad(
        &[Range {
            base: 100,
            bytes: PAGE,
        }],
        0,
    );
    bad(&[pages(0, 4), pages(3, 4)], 1);
    bad(
        &[Range {
            base: u64::MAX - PAGE + 1,
            bytes: PAGE * 2,
        }],
        0,
    );
}
