//! The measured pieces of a benchmark's rows: what is executed between two readings of the counter.
//!
//! A program that measures reads the counter before and behind, and executes a mark when it prints a
//! row. A row's piece is one of the most frequent before its mark, that which has so many instructions as the
//! row counted; that the numbers agree is what makes sure that it is the right one. A server that reads
//! the counter in between for its own use divides a piece: so pieces that follow each other and all
//! enter the kernel are taken together as well.

use std::cmp::Reverse;
use std::collections::HashMap;

use ::trace::operation::Operations;
use ::trace::record::Record;

use super::Sink;
use super::known::Book;

/// A piece that is longer than this is none of a row's.
const LONGEST: usize = 50_000;
/// The most instructions that belong to counting, beside those that a row counts: x86-64 moves what it
/// reads.
const COUNTING: u64 = 12;
/// The most readings within a piece by somebody else than who measures.
const READINGS: usize = 3;

/// Numbers of instructions in their order.
pub type Piece = Vec<u32>;

/// The pieces of a run.
#[derive(Debug)]
pub struct Rows {
    /// The instructions.
    pub book: Book,
    current: Piece,
    is_too_long: bool,
    /// The pieces before the current one that it may go on with, the last one first.
    before: Vec<Piece>,
    /// How often which pieces were executed, before each mark and behind the last.
    pieces: Vec<HashMap<Piece, u64>>,
}

impl Rows {
    /// Returns nothing yet.
    pub fn new(book: Book) -> Self {
        Self {
            book,
            current: Piece::new(),
            is_too_long: false,
            before: Vec::new(),
            pieces: vec![HashMap::new()],
        }
    }

    /// Returns how many marks there were.
    pub fn marks(&self) -> usize {
        self.pieces.len() - 1
    }

    /// Returns the piece of the row that the mark with this index is of, which counted so many
    /// instructions. Rows that are measured in turn are printed one behind the other: a row's pieces may
    /// be before an earlier mark.
    pub fn piece(&self, mark: usize, counted: u64) -> Option<&Piece> {
        let before = self.pieces.get(..=mark)?;
        before
            .iter()
            .rev()
            .find_map(|pieces| self.best(pieces, counted))
    }

    /// Returns the most frequent piece with so many instructions.
    fn best<'a>(&self, pieces: &'a HashMap<Piece, u64>, counted: u64) -> Option<&'a Piece> {
        let slack = |piece: &Piece| (piece.len() as u64).checked_sub(counted);
        let fits = |piece: &Piece| {
            slack(piece).is_some_and(|more| more <= COUNTING) && self.enters_kernel(piece)
        };
        let found = pieces.iter().filter(|(piece, _)| fits(piece));
        let most = found.clone().map(|(_, count)| *count).max()?;
        // Two rows that are measured in turn can be as long but for what counting takes. Of as near and
        // as frequent ones it is the shorter, and then the first by its numbers: the same in each run.
        let usual = self.book.counting();
        let order = |(piece, count): &(&Piece, &u64)| {
            let is_frequent = **count * 2 >= most;
            let distance = slack(piece).map(|more| usual.abs_diff(more));
            (
                is_frequent,
                Reverse((distance, Reverse(**count), piece.len())),
            )
        };
        let best =
            found.max_by(|one, other| order(one).cmp(&order(other)).then(other.0.cmp(one.0)));
        best.map(|(piece, _)| piece)
    }

    /// Tells whether a piece has instructions of the kernel.
    fn enters_kernel(&self, piece: &Piece) -> bool {
        let is_kernel = |number: &u32| self.book.get(*number).is_some_and(|known| known.is_kernel);
        piece.iter().any(is_kernel)
    }

    /// Returns what a piece has of each kind of operations.
    pub fn operations(&self, piece: &Piece) -> Operations {
        let mut operations = Operations::default();
        for known in piece.iter().filter_map(|number| self.book.get(*number)) {
            operations += known.operation;
        }
        operations
    }

    /// Ends the current piece at a reading of the counter.
    fn end(&mut self, reading: u32) {
        let piece = std::mem::take(&mut self.current);
        if std::mem::take(&mut self.is_too_long) {
            self.before.clear();
            return;
        }
        if !self.enters_kernel(&piece) {
            self.before.clear();
            self.count(piece);
            return;
        }
        let mut whole = piece.clone();
        for earlier in std::mem::take(&mut self.before) {
            whole = [earlier.clone(), whole].concat();
            self.count(whole.clone());
            self.before.push(earlier);
        }
        self.before.truncate(READINGS - 1);
        self.before.insert(0, [&piece[..], &[reading]].concat());
        self.count(piece);
    }

    /// Counts a piece.
    fn count(&mut self, piece: Piece) {
        if let Some(pieces) = self.pieces.last_mut() {
            *pieces.entry(piece).or_default() += 1;
        }
    }
}

impl Sink for Rows {
    fn take(&mut self, record: &Record) {
        match record {
            Record::Define(instruction) => self.book.define(instruction),
            Record::Access(_) => {}
            Record::Execute { number, .. } => {
                let Some(known) = self.book.get(*number) else {
                    return;
                };
                let operation = known.operation;
                if operation.reads_counter && !known.is_kernel {
                    self.end(*number);
                } else if operation.is_mark {
                    self.pieces.push(HashMap::new());
                    self.is_too_long = true;
                    self.before.clear();
                } else if self.current.len() < LONGEST {
                    self.current.push(*number);
                } else {
                    self.is_too_long = true;
                }
            }
        }
    }
}
