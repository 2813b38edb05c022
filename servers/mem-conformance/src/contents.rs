//! What stands in memory: every page that a case writes to has a word of its own at both ends.

use crate::case::{Outcome, ensure, ensure_equal};
use crate::client::{Client, Piece};
use mem_api::Allocation;
use rt::abi::{self, Rights};
use rt::window::{self, Window};
use rt::{Frame, Space};

/// Words of a page.
const WORDS: usize = 512;

/// Maps a piece; where, is for its size alone to say.
fn open(piece: &Piece) -> Outcome<Window> {
    let rights = Rights::new().with_read(true).with_write(true);
    let space = Space::own(abi::boot::SLOT_SPACE);
    Ok(Window::map(
        Frame::own(piece.slot),
        space,
        window::FIRST,
        rights,
    )?)
}

/// Does something with the words of a piece.
#[track_caller]
fn with_window(piece: &Piece, act: impl FnOnce(Window) -> Outcome) -> Outcome {
    let window = open(piece)?;
    let outcome = act(window);
    Frame::own(piece.slot).unmap()?;
    outcome
}

/// Returns the word of a page.
const fn word_of(seed: u64, page: u32) -> u64 {
    seed << 32 | page as u64 | 1 << 31
}

/// Writes the word of each page of a piece.
#[track_caller]
pub fn write(piece: &Piece, seed: u64) -> Outcome {
    with_window(piece, |window| {
        for index in 0..piece.pages() {
            let word = word_of(seed, piece.folio.offset_pages + index);
            let first = index as usize * WORDS;
            window.store(first, word);
            window.store(first + WORDS - 1, !word);
        }
        Ok(())
    })
}

/// Checks the word of each page of a piece.
#[track_caller]
pub fn check(piece: &Piece, seed: u64) -> Outcome {
    with_window(piece, |window| {
        for index in 0..piece.pages() {
            let word = word_of(seed, piece.folio.offset_pages + index);
            let first = index as usize * WORDS;
            ensure_equal!(window.load(first), word);
            ensure_equal!(window.load(first + WORDS - 1), !word);
        }
        Ok(())
    })
}

/// Checks that all words of a piece are 0.
#[track_caller]
pub fn check_zero(piece: &Piece) -> Outcome {
    with_window(piece, |window| {
        ensure!((0..window.words()).all(|index| window.load(index) == 0));
        Ok(())
    })
}

/// Writes the words of all pages of an allocation.
#[track_caller]
pub fn write_all(client: &Client, allocation: Allocation, seed: u64) -> Outcome {
    let pieces = client.collect(allocation)?;
    pieces.iter().try_for_each(|piece| write(piece, seed))
}

/// Checks the words of all pages of an allocation, wherever they are now.
#[track_caller]
pub fn check_all(client: &Client, allocation: Allocation, seed: u64) -> Outcome {
    let pieces = client.collect(allocation)?;
    pieces.iter().try_for_each(|piece| check(piece, seed))
}
