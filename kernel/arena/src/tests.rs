//! The arena's laws, small enough for Miri.

use crate::{Arena, Entry, Handle, KindError, PAGE_SIZE, RAW, TABLE};
use core::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;
use zerocopy::FromBytes;

#[derive(FromBytes)]
#[repr(C, align(64))]
struct Small {
    words: [AtomicU64; 8],
}

#[derive(FromBytes)]
#[repr(C, align(128))]
struct Inner {
    words: [AtomicU64; 16],
}

#[derive(FromBytes)]
#[repr(C, align(1024))]
struct Whole {
    first: [Inner; 1],
    middle: [Inner; 3],
    rest: [AtomicU64; 64],
}

#[derive(FromBytes)]
#[repr(C)]
struct Large {
    words: [AtomicU64; 1536],
}

crate::objects! {
    [] 8 => Small,
    [] 9 => Whole,
    [] 10 => Large,
}

struct Program;

crate::parts! {
    [] Inner, Program, []:
    Whole, middle, 3;
}

const BASE: u64 = 0x8000_0000;

fn arena() -> Arena {
    Arena::on_host(BASE, 8)
}

fn handle<T>(address: u64) -> Handle<T> {
    Handle::from_address(address).expect("not zero")
}

/// Ends a grace period that this core alone acknowledges.
fn release(arena: &Arena, entry: &mut Entry<'_>, address: u64, length: u64) -> bool {
    assert!(arena.grace().begin(1 << entry.core()));
    arena.grace().acknowledge(entry);
    let quiescent = arena.grace().finish(entry);
    quiescent.is_some_and(|proof| Entry::release(arena, address, length, &proof).is_ok())
}

#[test]
fn a_core_is_inside_once_at_a_time() {
    let arena = arena();
    let entry = arena.enter(3).expect("outside");
    assert!(arena.enter(3).is_none());
    assert!(arena.enter(4).is_some());
    assert!(arena.enter(crate::MAX_CORES).is_none());
    drop(entry);
    assert!(arena.enter(3).is_some());
}

#[test]
fn objects_are_found_where_they_were_carved_and_nowhere_else() {
    let arena = arena();
    let entry = arena.enter(0).expect("outside");
    let first = entry.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    assert_eq!(first.address(), BASE);
    entry.get(first).words[7].store(5, Ordering::Relaxed);
    let last = handle::<Small>(BASE + PAGE_SIZE - 64);
    entry.get(last).words[0].store(6, Ordering::Relaxed);
    assert_eq!(entry.get(first).words[7].load(Ordering::Relaxed), 5);
    for wrong in [BASE + 8, BASE + PAGE_SIZE, BASE - 64, u64::MAX - 63, 64] {
        assert!(entry.find(handle::<Small>(wrong)).is_none(), "{wrong:#x}");
    }
    assert!(entry.find(handle::<Whole>(BASE)).is_none(), "another type");
}

#[test]
fn parts_lie_where_their_owner_has_them() {
    let arena = arena();
    let entry = arena.enter(0).expect("outside");
    entry.carve::<Whole>(BASE, PAGE_SIZE).expect("raw");
    for owner in (BASE..BASE + PAGE_SIZE).step_by(1024) {
        for offset in (0..1024).step_by(64) {
            let found = entry.part::<Inner, Program>(handle(owner + offset));
            let expected = [128, 256, 384].contains(&offset);
            assert_eq!(found.is_some(), expected, "{offset}");
        }
        let whole = entry.get(handle::<Whole>(owner));
        whole.middle[2].words[15].store(owner, Ordering::Relaxed);
        let part = entry
            .part::<Inner, Program>(handle(owner + 384))
            .expect("there");
        assert_eq!(part.words[15].load(Ordering::Relaxed), owner);
        let _ = (&whole.first, &whole.rest);
    }
}

#[test]
fn large_objects_have_no_beginning_in_their_middle() {
    let arena = arena();
    let entry = arena.enter(0).expect("outside");
    let large = entry.carve::<Large>(BASE, 6 * PAGE_SIZE).expect("raw");
    entry.get(large).words[1535].store(1, Ordering::Relaxed);
    assert!(entry.find(handle::<Large>(BASE + 3 * PAGE_SIZE)).is_some());
    for middle in [1, 2, 4, 5] {
        assert!(
            entry
                .find(handle::<Large>(BASE + middle * PAGE_SIZE))
                .is_none()
        );
    }
    assert!(matches!(
        entry.carve::<Large>(BASE + 6 * PAGE_SIZE, PAGE_SIZE),
        Err(KindError::NotPages)
    ));
}

#[test]
fn carving_refuses_what_is_not_raw_or_not_pages() {
    let arena = arena();
    let entry = arena.enter(0).expect("outside");
    entry.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    entry
        .carve_tables(BASE + PAGE_SIZE, PAGE_SIZE)
        .expect("raw");
    for taken in [BASE, BASE + PAGE_SIZE] {
        assert!(matches!(
            entry.carve::<Small>(taken, 2 * PAGE_SIZE),
            Err(KindError::NotRaw)
        ));
        assert_eq!(entry.carve_tables(taken, PAGE_SIZE), Err(KindError::NotRaw));
        assert_eq!(entry.zero(taken, PAGE_SIZE), Err(KindError::NotRaw));
    }
    for (base, length) in [
        (BASE + 8, PAGE_SIZE),
        (BASE, 100),
        (BASE + 7 * PAGE_SIZE, 2 * PAGE_SIZE),
        (0, PAGE_SIZE),
        (BASE, 0xffff_ffff_ffff_f000),
    ] {
        assert!(matches!(
            entry.carve::<Small>(base, length),
            Err(KindError::NotPages)
        ));
    }
    assert_eq!(arena.kind(BASE + 2 * PAGE_SIZE), RAW, "nothing changed");
}

#[test]
fn words_are_of_raw_and_table_pages_only() {
    let arena = arena();
    let entry = arena.enter(0).expect("outside");
    entry.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    entry
        .carve_tables(BASE + PAGE_SIZE, 2 * PAGE_SIZE)
        .expect("raw");
    assert!(entry.words(BASE, 8).is_none());
    assert!(
        entry.words(BASE + 2 * PAGE_SIZE, 2 * PAGE_SIZE).is_none(),
        "two kinds"
    );
    assert!(entry.words(BASE + PAGE_SIZE + 4, 8).is_none());
    assert!(entry.words(BASE + PAGE_SIZE, 0).is_none());
    assert!(entry.words(u64::MAX - 7, 64).is_none());
    let words = entry
        .words(BASE + PAGE_SIZE, 2 * PAGE_SIZE)
        .expect("tables");
    words[1023].store(3, Ordering::Relaxed);
    let last = entry
        .words(BASE + 3 * PAGE_SIZE - 8, 8)
        .expect("a table's end");
    assert_eq!(last[0].load(Ordering::Relaxed), 3);
}

#[test]
fn a_stale_handle_gives_nothing_once_its_page_was_released() {
    let arena = arena();
    let mut entry = arena.enter(0).expect("outside");
    let stale = entry.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    entry.get(stale).words[0].store(9, Ordering::Relaxed);
    assert!(release(&arena, &mut entry, BASE, PAGE_SIZE));
    assert!(entry.find(stale).is_none());
    entry.zero(BASE, PAGE_SIZE).expect("raw");
    entry.carve::<Whole>(BASE, PAGE_SIZE).expect("raw");
    assert!(entry.find(stale).is_none(), "the page holds another type");
    assert!(release(&arena, &mut entry, BASE, PAGE_SIZE));
    entry.zero(BASE, PAGE_SIZE).expect("raw");
    entry.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    assert_eq!(
        entry.get(stale).words[0].load(Ordering::Relaxed),
        0,
        "the right type, a new object"
    );
}

#[test]
fn releasing_needs_every_core_that_was_ever_inside() {
    let arena = arena();
    let mut others: Vec<Entry<'_>> = (1..4).filter_map(|core| arena.enter(core)).collect();
    let mut entry = arena.enter(0).expect("outside");
    // Even who asks for fewer cores waits for those that may hold references.
    assert!(arena.grace().begin(1));
    assert!(!arena.grace().begin(1), "one period at a time");
    assert!(
        arena.enter(9).is_none(),
        "a new core waits for the end of the period"
    );
    assert!(!arena.grace().acknowledge(&mut entry));
    for (index, other) in others.iter_mut().enumerate() {
        assert!(arena.grace().finish(&mut entry).is_none());
        assert!(arena.grace().waits_for(other.core()));
        assert_eq!(arena.grace().acknowledge(other), index == 2);
    }
    assert!(arena.grace().is_over());
    assert!(arena.grace().finish(&mut entry).is_some());
    assert!(arena.grace().finish(&mut entry).is_none(), "once");
    assert!(arena.enter(9).is_some());
    assert_eq!(TABLE, 2);
}

#[test]
fn a_pin_names_an_object_until_its_core_acknowledges() {
    let arena = arena();
    let entry = arena.enter(0).expect("outside");
    entry.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    let [first, second] = [BASE, BASE + 64];
    assert!(entry.pinned::<Small>(first, 0).is_none());
    assert!(entry.again::<Small>(first, 0).is_some());
    assert!(entry.pinned::<Small>(first, 0).is_some());
    assert!(entry.pinned::<Small>(second, 0).is_none(), "another object");
    assert!(entry.pinned::<Small>(first, 1).is_none(), "another pin");
    assert!(entry.pinned::<Whole>(first, 0).is_none(), "another type");
    assert!(entry.again::<Whole>(first, 0).is_none());
    assert!(entry.again::<Small>(BASE + 8, 0).is_none());
    assert!(entry.again::<Small>(0, 0).is_none());
    assert!(entry.again::<Small>(first, crate::PINS).is_none());
    entry
        .pinned::<Small>(first, 0)
        .expect("it stays where others are not found")
        .words[0]
        .store(9, Ordering::Relaxed);
    assert_eq!(
        entry.get(handle::<Small>(first)).words[0].load(Ordering::Relaxed),
        9
    );
    drop(entry);
    let mut entry = arena.enter(0).expect("outside");
    assert!(
        entry.pinned::<Small>(first, 0).is_some(),
        "the core's, not the entry's"
    );
    assert!(release(&arena, &mut entry, BASE, PAGE_SIZE));
    assert!(entry.pinned::<Small>(first, 0).is_none());
}

#[test]
fn nothing_is_pinned_until_what_a_period_is_for_has_happened() {
    let arena = arena();
    let mut entry = arena.enter(0).expect("outside");
    entry.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    let mut other = arena.enter(1).expect("outside");
    assert!(arena.grace().begin(3));
    arena.grace().acknowledge(&mut other);
    assert!(other.again::<Small>(BASE, 0).is_some(), "it is there still");
    assert!(other.pinned::<Small>(BASE, 0).is_none());
    arena.grace().acknowledge(&mut entry);
    let proof = arena.grace().finish(&mut entry).expect("over");
    assert!(other.again::<Small>(BASE, 0).is_some());
    assert!(other.pinned::<Small>(BASE, 0).is_none());
    assert!(!arena.grace().begin(3), "one period at a time");
    Entry::release(&arena, BASE, PAGE_SIZE, &proof).expect("a whole page");
    drop(proof);
    assert!(other.again::<Small>(BASE, 0).is_none());
    other.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    assert!(other.again::<Small>(BASE, 0).is_some());
    assert!(other.pinned::<Small>(BASE, 0).is_some());
}

#[test]
fn another_arenas_proof_proves_nothing() {
    let (left, right) = (arena(), arena());
    let mut entry = left.enter(0).expect("outside");
    let mut other = right.enter(0).expect("outside");
    assert!(left.grace().begin(1));
    assert!(!left.grace().acknowledge(&mut other));
    assert!(left.grace().waits_for(0));
    assert!(left.grace().acknowledge(&mut entry));
    assert!(left.grace().finish(&mut other).is_none());
    let proof = left.grace().finish(&mut entry).expect("over");
    assert!(Entry::release(&right, BASE, PAGE_SIZE, &proof).is_err());
}

#[test]
fn cores_share_objects_without_a_data_race() {
    let arena = arena();
    {
        let entry = arena.enter(0).expect("outside");
        entry.carve::<Small>(BASE, PAGE_SIZE).expect("raw");
    }
    std::thread::scope(|scope| {
        for core in 0..3 {
            let arena = &arena;
            scope.spawn(move || {
                for round in 0..10 {
                    let entry = arena.enter(core).expect("outside");
                    let object = entry.get(handle::<Small>(BASE));
                    object.words[core].store(round, Ordering::Relaxed);
                    object.words[7].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let entry = arena.enter(0).expect("outside");
    assert_eq!(
        entry.get(handle::<Small>(BASE)).words[7].load(Ordering::Relaxed),
        30
    );
}
