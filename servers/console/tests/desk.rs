//! The desk between a driver and two guests.
#![allow(missing_docs)]

use api::ring::{CAPACITY, Ends, PAGE_WORDS};
use console::{ConsoleId, Desk, Mode, Multiplexer};
use proptest::prelude::*;
use std::sync::atomic::AtomicU64;

type Page = Vec<AtomicU64>;

fn pages() -> [Page; 3] {
    [0; 3].map(|_| (0..PAGE_WORDS).map(|_| AtomicU64::new(0)).collect())
}

fn desk(pages: &[Page; 3]) -> (Desk<'_>, Multiplexer) {
    let mut ends = pages.iter().map(|page| Ends::of_console(page).unwrap());
    let driver = ends.next().unwrap();
    let mut multiplexer = Multiplexer::new(Mode::Interactive);
    for (number, name) in [(1, "left"), (2, "right")] {
        multiplexer.set_name(ConsoleId::new(number).unwrap(), name);
    }
    (Desk::new(driver, ends.collect()), multiplexer)
}

fn peers(pages: &[Page; 3]) -> [Ends<'_>; 3] {
    [0, 1, 2].map(|index| Ends::of_peer(&pages[index]).unwrap())
}

fn drain(ends: &mut Ends<'_>) -> Vec<u8> {
    let mut buffer = [0; CAPACITY];
    let count = ends.input.pop(&mut buffer);
    buffer[..count].to_vec()
}

#[test]
fn keys_go_to_the_focused_guest_and_the_escape_moves_the_focus() {
    let pages = pages();
    let (mut desk, mut multiplexer) = desk(&pages);
    let [mut driver, mut left, mut right] = peers(&pages);
    driver.output.push(b"lost\x1d1ab\x1d2c\x1d9d");
    let outcome = desk.gather(&mut multiplexer);
    assert_eq!(outcome.bells, 0b110);
    assert_eq!(drain(&mut left), b"ab");
    assert_eq!(drain(&mut right), b"cd", "there is no console 9");
    driver.output.push(b"\x1dq\x1dm");
    let outcome = desk.gather(&mut multiplexer);
    assert!(outcome.quit && outcome.metrics);
}

#[test]
fn a_guest_that_does_not_read_does_not_stop_the_keys() {
    let pages = pages();
    let (mut desk, mut multiplexer) = desk(&pages);
    let [mut driver, mut left, mut right] = peers(&pages);
    driver.output.push(b"\x1d1");
    for _ in 0..100 {
        driver.output.push(&[b'x'; 200]);
        desk.gather(&mut multiplexer);
    }
    driver.output.push(b"\x1d2y");
    desk.gather(&mut multiplexer);
    assert_eq!(drain(&mut right), b"y");
    assert_eq!(drain(&mut left), [b'x'; CAPACITY]);
    assert_eq!(desk.gather(&mut multiplexer).bells, 0b10);
    assert_eq!(drain(&mut left), [b'x'; CAPACITY]);
}

proptest! {
    #[test]
    fn output_of_the_focused_guest_arrives_whole(
        pieces in prop::collection::vec((1_usize..900, 0_usize..900), 1..60),
    ) {
        let pages = pages();
        let (mut desk, mut multiplexer) = desk(&pages);
        let [mut driver, mut left, _] = peers(&pages);
        driver.output.push(b"\x1d1");
        desk.gather(&mut multiplexer);
        desk.show(&mut multiplexer);
        let notice = drain(&mut driver).len();
        let (mut sent, mut seen) = (Vec::new(), Vec::new());
        for (push, pop) in pieces {
            let bytes: Vec<u8> = (0..push).map(|n| b'a' + ((sent.len() + n) % 26) as u8).collect();
            let count = left.output.push(&bytes);
            sent.extend_from_slice(&bytes[..count]);
            desk.gather(&mut multiplexer);
            desk.show(&mut multiplexer);
            let mut buffer = vec![0; pop];
            let count = driver.input.pop(&mut buffer);
            seen.extend_from_slice(&buffer[..count]);
        }
        for _ in 0..100 {
            desk.gather(&mut multiplexer);
            desk.show(&mut multiplexer);
            seen.extend(drain(&mut driver));
        }
        prop_assert!(notice > 0 && desk.is_drained() && !desk.is_waiting());
        prop_assert_eq!(sent, seen);
    }
}
