//! The laws of the rings, with an honest and with a hostile other side.
#![allow(missing_docs)]

use api::ring::{CAPACITY, Ends, PAGE_WORDS};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

fn page() -> Vec<AtomicU64> {
    (0..PAGE_WORDS).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn a_page_that_is_too_short_has_no_rings() {
    assert!(Ends::of_peer(&page()[..PAGE_WORDS / 2]).is_none());
    assert!(Ends::of_console(&[]).is_none());
}

#[test]
fn the_two_directions_do_not_meet() {
    let page = page();
    let mut console = Ends::of_console(&page).unwrap();
    let mut peer = Ends::of_peer(&page).unwrap();
    assert_eq!(peer.output.push(b"up"), 2);
    assert_eq!(console.output.push(b"down"), 4);
    let mut buffer = [0; 8];
    assert_eq!(console.input.pop(&mut buffer), 2);
    assert_eq!(&buffer[..2], b"up");
    assert_eq!(peer.input.pop(&mut buffer), 4);
    assert_eq!(&buffer[..4], b"down");
    assert_eq!(peer.input.pop(&mut buffer), 0);
}

#[test]
fn who_comes_back_goes_on_where_it_was() {
    let page = page();
    let mut peer = Ends::of_peer(&page).unwrap();
    peer.output.push(b"abc");
    let mut console = Ends::of_console(&page).unwrap();
    let mut buffer = [0; 1];
    console.input.pop(&mut buffer);
    let mut console = Ends::of_console(&page).unwrap();
    let mut peer = Ends::of_peer(&page).unwrap();
    peer.output.push(b"d");
    let mut buffer = [0; 8];
    assert_eq!(console.input.pop(&mut buffer), 3);
    assert_eq!(&buffer[..3], b"bcd");
}

#[test]
fn every_byte_arrives_in_order_from_another_thread() {
    let page = page();
    let total = 100_000_usize;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = Ends::of_peer(&page).unwrap();
            let mut sent = 0;
            while sent < total {
                let bytes: Vec<u8> = (sent..total.min(sent + 100)).map(|n| n as u8).collect();
                sent += peer.output.push(&bytes);
            }
        });
        let mut console = Ends::of_console(&page).unwrap();
        let (mut seen, mut buffer) = (0, [0; 77]);
        while seen < total {
            let count = console.input.pop(&mut buffer);
            for byte in &buffer[..count] {
                assert_eq!(*byte, seen as u8);
                seen += 1;
            }
        }
    });
}

#[test]
fn a_producer_without_room_is_always_told_of_room() {
    for first in 0..=CAPACITY {
        let page = page();
        let mut peer = Ends::of_peer(&page).unwrap();
        let mut console = Ends::of_console(&page).unwrap();
        let mut buffer = [0; CAPACITY];
        peer.output.push(&vec![b'x'; first]);
        // The ring is filled up after the console has looked, and before it gives places away.
        console.input.pop(&mut buffer[..first]);
        let told = console.input.take_notice();
        peer.output.push(&vec![b'x'; CAPACITY - first]);
        console.input.pop(&mut buffer);
        assert!(told || console.input.take_notice(), "{first}");
    }
}

/// What one side does.
#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    Pop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..700).prop_map(Step::Push),
        (0_usize..700).prop_map(Step::Pop),
    ]
}

proptest! {
    #[test]
    fn a_ring_is_a_bounded_queue(start: u64, steps in prop::collection::vec(step(), 0..40)) {
        let page = page();
        for word in [0, 8] {
            page[word].store(start, Relaxed);
        }
        let mut peer = Ends::of_peer(&page).unwrap();
        let mut console = Ends::of_console(&page).unwrap();
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Step::Push(bytes) => {
                    let count = peer.output.push(&bytes);
                    prop_assert_eq!(count, bytes.len().min(CAPACITY - model.len()));
                    model.extend(&bytes[..count]);
                }
                Step::Pop(most) => {
                    let mut buffer = vec![0; most];
                    let count = console.input.pop(&mut buffer);
                    prop_assert_eq!(count, most.min(model.len()));
                    let expected: Vec<u8> = model.drain(..count).collect();
                    prop_assert_eq!(&buffer[..count], &expected[..]);
                }
            }
            prop_assert_eq!(console.input.waiting(), model.len());
            prop_assert_eq!(peer.output.room(), CAPACITY - model.len());
        }
    }

    #[test]
    fn no_words_of_the_other_side_do_harm(
        lies in prop::collection::vec((0..PAGE_WORDS, any::<u64>(), step()), 1..60),
    ) {
        let page = page();
        let mut own = Ends::of_console(&page).unwrap();
        for (word, lie, step) in lies {
            page[word].store(lie, Relaxed);
            page[word / 256 * 256 + 8 * (word % 2)].store(lie, Relaxed);
            match step {
                Step::Push(bytes) => prop_assert!(own.output.push(&bytes) <= CAPACITY),
                Step::Pop(most) => {
                    let mut buffer = vec![0; most];
                    prop_assert!(own.input.pop(&mut buffer) <= CAPACITY);
                }
            }
            prop_assert!(own.output.waiting() <= CAPACITY && own.input.waiting() <= CAPACITY);
            own = Ends::of_console(&page).unwrap();
        }
    }
}
